"""Preparing scenarios from more flows than fit into memory, on Ray Data."""
