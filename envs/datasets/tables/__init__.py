"""Labelled tables in CSV, gzipped CSV or Parquet; see :mod:`envs.datasets.tables.source`."""
