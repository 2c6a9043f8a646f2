"""A kind of data set of your own: connection records of a router, in CSV, with a column 'verdict'.

It is a table, so it only says what the table looks like; CSV, JSON and Parquet files, packed or
not, are read, checked and streamed by kirl. kirl finds it by an entry point in your
``pyproject.toml``::

    [project.entry-points."kirl.datasets"]
    mynet = "mynet:MYNET"

Then ``kirl datasets mynet`` shows it, and ``kirl prepare --data flows.csv --catalogue mynet.yaml
--out scenario`` recognises its files. ``mynet.yaml``, beside this file, says what the labels mean
and what can be done about them.
"""

from __future__ import annotations

from envs.datasets.tables.form import Field, TableFormat
from envs.datasets.tables.source import table_data_set

MYNET = table_data_set(
    TableFormat(
        kind="mynet",
        title="my network",
        made_by="the router's connection log",
        fields=(
            Field("duration", "s"),
            Field("bytes_in", "bytes"),
            Field("bytes_out", "bytes"),
            Field("port", "port"),
        ),
        labels=("verdict",),
    ),
    about="Connections of my network, labelled by hand",
    citation="https://example.org/mynet",
    labels=("fine", "scan", "guessing"),
)
