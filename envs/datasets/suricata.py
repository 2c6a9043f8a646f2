"""The flow records of Suricata's eve.json, one a line or in one array; other records are passed by.

What is left out of a record stands for:

* ``dest_port``, ``icmp_type``, ``icmp_code``: -1. The protocol has none.
* packets, bytes and the age of the flow: 0.
* ``tcp.tcp_flags_ts`` and ``tcp.tcp_flags_tc``: no flag was set.
* ``app_proto``, ``tcp.state`` and other words: no word.

The flags are hexadecimal numbers of eight bits; each bit is a feature.

Three things in the records are no features, though they look like some. ``flow.alerted`` says
whether one of Suricata's own rules fired: a detector that has it repeats the rules, on flows that
they know. The rules' alerts are detections themselves, see ``kirl prepare --alerts``.
``flow.reason`` says why the record was written, which is 'shutdown' for all that was open when
the sensor or a replayed capture ended: it tells recordings apart, not traffic. Addresses,
the client's port and times are keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from envs.datasets.tables.form import Field, TableFormat
from envs.datasets.tables.source import table_data_set

FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
"""The bits of TCP flags from the lowest one."""


def bit(cell: str, place: int) -> float:
    """One bit of a hexadecimal number; NaN where it is none."""
    try:
        return float(int(cell[:8], 16) >> place & 1)
    except ValueError:
        return float("nan")


def _flags() -> Iterator[Field]:
    for side, column in (("to server", "tcp.tcp_flags_ts"), ("to client", "tcp.tcp_flags_tc")):
        for place, flag in enumerate(FLAGS):
            value = partial(bit, place=place)
            yield Field(f"{flag} {side}", "flag", (column,), missing=0, value_of=value)


FIELDS = (
    Field("dest_port", "port", missing=-1),
    Field("proto", "word", category=True),
    Field("app_proto", "word", category=True),
    Field("flow.pkts_toserver", "packets", missing=0),
    Field("flow.pkts_toclient", "packets", missing=0),
    Field("flow.bytes_toserver", "bytes", missing=0),
    Field("flow.bytes_toclient", "bytes", missing=0),
    Field("flow.age", "s", missing=0),
    Field("flow.state", "word", category=True),
    Field("tcp.state", "word", category=True),
    Field("icmp_type", "number", missing=-1),
    Field("icmp_code", "number", missing=-1),
    *_flags(),
)

FORM = TableFormat(
    kind="suricata-flow",
    title="Suricata's eve.json",
    made_by="Suricata (eve.json flow)",
    fields=FIELDS,
    labels=("label",),
    keys={
        "time": ("flow.start", "timestamp"),
        "id": ("flow_id",),
        "src_ip": ("src_ip",),
        "src_port": ("src_port",),
        "dst_ip": ("dest_ip",),
        "dst_port": ("dest_port",),
        "protocol": ("proto",),
    },
    telling=(("event_type", "flow_id", "dest_ip", "proto"),),
    catalogue="enterprise-network",
    sparse=True,
    select=("event_type", "flow"),
    advice="Give eve.json with records of event_type flow (outputs: eve-log: types: [flow])",
)

SURICATA_FLOW = table_data_set(
    FORM,
    about="Flow records of Suricata's eve.json; labels come from a file of their own",
    citation="Open Information Security Foundation: Suricata user guide, EVE JSON format, "
    "https://docs.suricata.io",
    labels=(),
)
