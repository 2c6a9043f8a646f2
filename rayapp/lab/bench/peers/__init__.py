"""Those that ``kirl bench train`` lets run against each other, one file each.

All of them meet the same flows with the same state and learn with the same network; each runs in
a process of its own (:mod:`rayapp.lab.bench.peers.lap`).
"""
