"""Benchmarks: what kirl promises of its speed, measured; one file per subject."""
