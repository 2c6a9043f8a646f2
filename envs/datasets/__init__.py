"""Traffic and alerts: each kind of data set is one entry of :mod:`envs.datasets.registry`.

* :mod:`~envs.datasets.registry` knows all kinds, those of other packages included.
* :mod:`~envs.datasets.source` is what a kind hands on: flows, in parts or all at once.
* :mod:`~envs.datasets.tables` reads any kind that is a table: text, logs, JSON or Parquet.
* :mod:`~envs.datasets.labels` says what labels mean, :mod:`~envs.datasets.label_files` and
  :mod:`~envs.datasets.label_join` read them from files of their own.
* :mod:`~envs.datasets.schema_file` is a table that its owner describes.
* :mod:`~envs.datasets.alerts` makes scenarios of an IDS's alerts and verdicts on them.
"""
