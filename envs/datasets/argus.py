"""Flows of Argus, as the CTU-13 captures publish them (.binetflow), with commas or tabs.

What empty cells stand for:

* ``Dport``: -1. The protocol has no ports, such as ARP. ICMP's are hexadecimal.
* ``sTos``, ``dTos``: -1. That side sent nothing, or no IP.
* packets, bytes and duration: 0.

Labels such as ``flow=From-Botnet-V42-UDP-DNS`` are read as their kind: Botnet, Malware, Normal or
Background. Flows to a bot or to a clean machine are To-Botnet and To-Normal: unknown machines
sent them, and the data set's authors warn against taking them for either.
"""

from __future__ import annotations

import re

from envs.datasets.tables.form import Field, TableFormat
from envs.datasets.tables.source import table_data_set

FIELDS = (
    Field("Dur", "s", missing=0),
    Field("Proto", "word", category=True),
    Field("Dir", "word", category=True),
    Field("Dport", "port", missing=-1),
    Field("State", "word", category=True),
    Field("sTos", "number", missing=-1),
    Field("dTos", "number", missing=-1),
    Field("TotPkts", "packets", missing=0),
    Field("TotBytes", "bytes", missing=0),
    Field("SrcBytes", "bytes", missing=0),
    Field("SrcPkts", "packets", missing=0),
)

_LABEL = re.compile(r"(?:(from|to)-)?(botnet|malware|normal|background)(?:-.*)?", re.IGNORECASE)


def label_of(cells: tuple[str, ...]) -> str:
    """The kind that a label is of; the label itself where it is of none."""
    text = cells[0].strip().removeprefix("flow=")
    found = _LABEL.fullmatch(text)
    if found is None:
        return text
    direction, kind = (found[1] or "").lower(), found[2].capitalize()
    return f"To-{kind}" if direction == "to" and kind != "Background" else kind


FORM = TableFormat(
    kind="argus",
    title="Argus",
    made_by="Argus (binetflow)",
    fields=FIELDS,
    label_of=label_of,
    keys={
        "time": ("StartTime",),
        "src_ip": ("SrcAddr",),
        "src_port": ("Sport",),
        "dst_ip": ("DstAddr",),
        "dst_port": ("Dport",),
        "protocol": ("Proto",),
    },
    telling=(("Dur", "SrcAddr", "Dir", "TotPkts", "SrcBytes"),),
    catalogue="ctu-13",
    advice="Give the .binetflow files of CTU-13, or 'ra' output in their columns",
)

ARGUS = table_data_set(
    FORM,
    about="Flows of Argus in the columns of CTU-13 (.binetflow)",
    citation="Garcia, Grill, Stiborek, Zunino: An empirical comparison of botnet detection "
    "methods, Computers and Security 45, 2014",
    labels=("Background", "Botnet", "Malware", "Normal", "To-Botnet", "To-Normal"),
)
