"""Zeek's conn.log, as Zeek writes it (tabs or JSON), with the labels of IoT-23, or saved as CSV.

Columns are found by their names in ``#fields``. Logs of Stratosphere (IoT-23, CTU) have the
columns ``label`` and ``detailed-label`` or ``detailedlabel`` behind Zeek's own.

What cells that say nothing (``-``, ``(empty)``, or left out in JSON) stand for:

* ``duration``, bytes and packets: 0. Zeek leaves them out where it saw a single packet.
* ``local_orig``, ``local_resp``: -1. Nobody told Zeek which addresses are local.
* ``id.resp_p``: -1.
* ``history``: none of its events.
* ``proto``, ``service``, ``conn_state``: no word, as in an empty cell.

``history`` has a letter per event, upper case for the originator's and lower case for the
responder's. A scenario has the number of each: as a word it would be one of thousands. Addresses,
the originator's port and times are keys, not features.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from envs.datasets.labels import is_missing
from envs.datasets.tables.form import Field, TableFormat
from envs.datasets.tables.source import table_data_set

EVENTS = {
    "S": "SYN",
    "H": "SYN-ACK",
    "A": "ACK",
    "D": "data",
    "F": "FIN",
    "R": "RST",
    "C": "bad checksum",
    "G": "gap",
    "T": "retransmission",
    "W": "zero window",
    "I": "FIN with RST",
    "Q": "SYN with FIN or RST",
}
"""What the letters of ``history`` stand for."""

_TRUTH = {"t": 1.0, "true": 1.0, "1": 1.0, "f": 0.0, "false": 0.0, "0": 0.0}


def truth(cell: str) -> float:
    """1 for true, 0 for false, NaN for anything else."""
    return _TRUTH.get(cell.lower(), float("nan"))


def occurrences(cell: str, letter: str) -> float:
    """How often an event happened."""
    return float(cell.count(letter))


def _history() -> Iterator[Field]:
    for side, fold in (("orig", str.upper), ("resp", str.lower)):
        for letter, event in EVENTS.items():
            count = partial(occurrences, letter=fold(letter))
            yield Field(f"{side} {event}", "events", ("history",), missing=0, value_of=count)
    count = partial(occurrences, letter="^")
    yield Field("direction flipped", "events", ("history",), missing=0, value_of=count)


FIELDS = (
    Field("id.resp_p", "port", missing=-1),
    Field("proto", "word", category=True),
    Field("service", "word", category=True),
    Field("duration", "s", missing=0),
    Field("orig_bytes", "bytes", missing=0),
    Field("resp_bytes", "bytes", missing=0),
    Field("conn_state", "word", category=True),
    Field("local_orig", "flag", missing=-1, value_of=truth),
    Field("local_resp", "flag", missing=-1, value_of=truth),
    Field("missed_bytes", "bytes", missing=0),
    Field("orig_pkts", "packets", missing=0),
    Field("orig_ip_bytes", "bytes", missing=0),
    Field("resp_pkts", "packets", missing=0),
    Field("resp_ip_bytes", "bytes", missing=0),
    *_history(),
)

LABELS = (
    *("Benign", "Malicious", "Malicious Attack", "Malicious C&C", "Malicious C&C-FileDownload"),
    *("Malicious C&C-HeartBeat", "Malicious C&C-HeartBeat-Attack"),
    *("Malicious C&C-HeartBeat-FileDownload", "Malicious C&C-Mirai"),
    *("Malicious C&C-PartOfAHorizontalPortScan", "Malicious C&C-Torii", "Malicious DDoS"),
    *("Malicious FileDownload", "Malicious Okiru", "Malicious Okiru-Attack"),
    *("Malicious PartOfAHorizontalPortScan", "Malicious PartOfAHorizontalPortScan-Attack"),
)


def label_of(cells: tuple[str, ...]) -> str:
    """The label of a row, such as ``Malicious C&C``, given its label and detailed label.

    Benign flows are benign whatever the details say of them.
    """
    label, detail = (("" if is_missing(cell) else cell.strip()) for cell in cells)
    return label if label.casefold() == "benign" else f"{label} {detail}".strip()


FORM = TableFormat(
    kind="zeek-conn",
    title="Zeek's conn.log",
    made_by="Zeek (conn.log)",
    fields=FIELDS,
    labels=("label", ("detailed-label", "detailedlabel", "detailed_label")),
    label_of=label_of,
    # The labeller of Stratosphere writes it where none of its rules fits.
    unlabelled=("Unknown",),
    keys={
        "time": ("ts",),
        "id": ("uid",),
        "src_ip": ("id.orig_h",),
        "src_port": ("id.orig_p",),
        "dst_ip": ("id.resp_h",),
        "dst_port": ("id.resp_p",),
        "protocol": ("proto",),
    },
    telling=(("id.resp_p", "proto", "conn_state"),),
    catalogue="iot-23",
    missing_words=("-", "(empty)"),
    sparse=True,
    advice="Give conn.log as Zeek writes it, in tabs or JSON",
)

ZEEK_CONN = table_data_set(
    FORM,
    about="Connections of Zeek's conn.log, unlabelled or with the labels of IoT-23",
    citation="Garcia, Parmisano, Erquiaga: IoT-23: A labeled dataset with malicious and benign IoT "
    "network traffic, Zenodo 2020; Paxson: Bro: A System for Detecting Network Intruders in "
    "Real-Time, Computer Networks 1999",
    labels=LABELS,
)
