"""Labelled traffic: each kind of data set is one entry of :mod:`envs.datasets.registry`.

* :mod:`~envs.datasets.registry` knows all kinds, those of other packages included.
* :mod:`~envs.datasets.source` is what a kind hands on: flows, in parts or all at once.
* :mod:`~envs.datasets.tables` reads any kind that is a table in CSV or Parquet files.
* :mod:`~envs.datasets.cicids2017` and :mod:`~envs.datasets.synthetic` are the kinds that ship.
"""
