"""Alerts of an IDS that runs already: Suricata, Zeek, or any table of them.

Its rules are the signatures, and no detector is trained (:mod:`envs.detector.rules`).
"""
