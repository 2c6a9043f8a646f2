"""Flows as NFStream measures them, from captures by ``kirl flows`` or by NFStream itself.

Features are its statistics of packets, bytes, sizes, times between packets and TCP flags. What
tells one network or one day from another is no feature: addresses, the client's port, VLAN, the
times themselves, and the names that nDPI finds.
"""

from __future__ import annotations

from collections.abc import Iterator

from envs.datasets.tables.form import Field, TableFormat
from envs.datasets.tables.source import table_data_set

_SIDES = ("bidirectional", "src2dst", "dst2src")


def _fields() -> Iterator[Field]:
    yield Field("dst_port", "port")
    yield Field("protocol", "number")
    yield Field("ip_version", "version")
    for side in _SIDES:
        yield Field(f"{side}_duration_ms", "ms")
        yield Field(f"{side}_packets", "packets")
        yield Field(f"{side}_bytes", "bytes")
    for measure, unit in (("ps", "bytes"), ("piat_ms", "ms")):
        for side in _SIDES:
            for name in ("min", "mean", "stddev", "max"):
                yield Field(f"{side}_{name}_{measure}", unit)
    for side in _SIDES:
        for flag in ("syn", "cwr", "ece", "urg", "ack", "psh", "rst", "fin"):
            yield Field(f"{side}_{flag}_packets", "packets")


FORM = TableFormat(
    kind="nfstream",
    title="NFStream",
    made_by="NFStream",
    fields=tuple(_fields()),
    labels=(("label", "class"),),
    keys={
        "time": ("bidirectional_first_seen_ms",),
        "id": ("id",),
        "src_ip": ("src_ip",),
        "src_port": ("src_port",),
        "dst_ip": ("dst_ip",),
        "dst_port": ("dst_port",),
        "protocol": ("protocol",),
    },
    telling=(("bidirectional_packets", "bidirectional_bytes"),),
    catalogue="enterprise-network",
    advice="Make flows of a capture: kirl flows CAPTURE --out flows.parquet",
)

NFSTREAM = table_data_set(
    FORM,
    about="Flows of packet captures, as NFStream measures them",
    citation="Aouini, Pekar: NFStream: A Flexible Network Data Analysis Framework, Computer "
    "Networks 204, 2022",
    labels=(),
)
