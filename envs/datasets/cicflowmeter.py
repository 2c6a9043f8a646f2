"""The flow features that CICFlowMeter computes, with their names in all editions and tools.

Published tables call one feature by many names: ``Total Fwd Packets`` in CICIDS2017 and
CICDDoS2019, ``Tot Fwd Pkts`` in CSE-CIC-IDS2018, ``Total Fwd Packet`` in what CICFlowMeter 4
writes, ``tot_fwd_pkts`` in ports to Python. All are in one list here, each only where meaning and
unit are the same. What a kind has beside, or measures otherwise, stands in its own file.

Names are compared by their letters and digits, so spaces, case and signs need no alias.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from envs.datasets.tables.form import Field
from envs.flows import Column, FeatureSchema

FIELDS = (
    Field("Destination Port", "port", ("Dst Port",)),
    Field("Flow Duration", "us"),
    Field("Total Fwd Packets", "packets", ("Total Fwd Packet", "Tot Fwd Pkts")),
    Field("Total Backward Packets", "packets", ("Total Bwd packets", "Tot Bwd Pkts")),
    Field(
        "Total Length of Fwd Packets",
        "bytes",
        ("Total Length of Fwd Packet", "TotLen Fwd Pkts", "Fwd Packets Length Total"),
    ),
    Field(
        "Total Length of Bwd Packets",
        "bytes",
        ("Total Length of Bwd Packet", "TotLen Bwd Pkts", "Bwd Packets Length Total"),
    ),
    Field("Fwd Packet Length Max", "bytes", ("Fwd Pkt Len Max",)),
    Field("Fwd Packet Length Min", "bytes", ("Fwd Pkt Len Min",)),
    Field("Fwd Packet Length Mean", "bytes", ("Fwd Pkt Len Mean",)),
    Field("Fwd Packet Length Std", "bytes", ("Fwd Pkt Len Std",)),
    Field("Bwd Packet Length Max", "bytes", ("Bwd Pkt Len Max",)),
    Field("Bwd Packet Length Min", "bytes", ("Bwd Pkt Len Min",)),
    Field("Bwd Packet Length Mean", "bytes", ("Bwd Pkt Len Mean",)),
    Field("Bwd Packet Length Std", "bytes", ("Bwd Pkt Len Std",)),
    Field("Flow Bytes/s", "bytes/s", ("Flow Byts/s",)),
    Field("Flow Packets/s", "packets/s", ("Flow Pkts/s",)),
    Field("Flow IAT Mean", "us"),
    Field("Flow IAT Std", "us"),
    Field("Flow IAT Max", "us"),
    Field("Flow IAT Min", "us"),
    Field("Fwd IAT Total", "us", ("Fwd IAT Tot",)),
    Field("Fwd IAT Mean", "us"),
    Field("Fwd IAT Std", "us"),
    Field("Fwd IAT Max", "us"),
    Field("Fwd IAT Min", "us"),
    Field("Bwd IAT Total", "us", ("Bwd IAT Tot",)),
    Field("Bwd IAT Mean", "us"),
    Field("Bwd IAT Std", "us"),
    Field("Bwd IAT Max", "us"),
    Field("Bwd IAT Min", "us"),
    Field("Fwd PSH Flags", "flag"),
    Field("Bwd PSH Flags", "flag"),
    Field("Fwd URG Flags", "flag"),
    Field("Bwd URG Flags", "flag"),
    Field("Fwd Header Length", "bytes", ("Fwd Header Len",)),
    Field("Bwd Header Length", "bytes", ("Bwd Header Len",)),
    Field("Fwd Packets/s", "packets/s", ("Fwd Pkts/s",)),
    Field("Bwd Packets/s", "packets/s", ("Bwd Pkts/s",)),
    Field("Min Packet Length", "bytes", ("Packet Length Min", "Pkt Len Min")),
    Field("Max Packet Length", "bytes", ("Packet Length Max", "Pkt Len Max")),
    Field("Packet Length Mean", "bytes", ("Pkt Len Mean",)),
    Field("Packet Length Std", "bytes", ("Pkt Len Std",)),
    Field("Packet Length Variance", "bytes^2", ("Pkt Len Var",)),
    Field("FIN Flag Count", "flag", ("FIN Flag Cnt",)),
    Field("SYN Flag Count", "flag", ("SYN Flag Cnt",)),
    Field("RST Flag Count", "flag", ("RST Flag Cnt",)),
    Field("PSH Flag Count", "flag", ("PSH Flag Cnt",)),
    Field("ACK Flag Count", "flag", ("ACK Flag Cnt",)),
    Field("URG Flag Count", "flag", ("URG Flag Cnt",)),
    Field("CWE Flag Count", "flag", ("CWR Flag Count",)),
    Field("ECE Flag Count", "flag", ("ECE Flag Cnt",)),
    Field("Down/Up Ratio", "ratio"),
    Field("Average Packet Size", "bytes", ("Avg Packet Size", "Pkt Size Avg")),
    Field("Avg Fwd Segment Size", "bytes", ("Fwd Segment Size Avg", "Fwd Seg Size Avg")),
    Field("Avg Bwd Segment Size", "bytes", ("Bwd Segment Size Avg", "Bwd Seg Size Avg")),
    Field("Fwd Header Length.1", "bytes"),
    Field(
        "Fwd Avg Bytes/Bulk", "bytes", ("Fwd Bytes/Bulk Avg", "Fwd Byts/b Avg", "Fwd Bytes/b Avg")
    ),
    Field("Fwd Avg Packets/Bulk", "packets", ("Fwd Packet/Bulk Avg", "Fwd Pkts/b Avg")),
    Field("Fwd Avg Bulk Rate", "bytes/s", ("Fwd Bulk Rate Avg", "Fwd Blk Rate Avg")),
    Field(
        "Bwd Avg Bytes/Bulk", "bytes", ("Bwd Bytes/Bulk Avg", "Bwd Byts/b Avg", "Bwd Bytes/b Avg")
    ),
    Field("Bwd Avg Packets/Bulk", "packets", ("Bwd Packet/Bulk Avg", "Bwd Pkts/b Avg")),
    Field("Bwd Avg Bulk Rate", "bytes/s", ("Bwd Bulk Rate Avg", "Bwd Blk Rate Avg")),
    Field("Subflow Fwd Packets", "packets", ("Subflow Fwd Pkts",)),
    Field("Subflow Fwd Bytes", "bytes", ("Subflow Fwd Byts",)),
    Field("Subflow Bwd Packets", "packets", ("Subflow Bwd Pkts",)),
    Field("Subflow Bwd Bytes", "bytes", ("Subflow Bwd Byts",)),
    Field(
        "Init_Win_bytes_forward",
        "bytes",
        ("FWD Init Win Bytes", "Init Fwd Win Byts", "Init Fwd Win Bytes"),
    ),
    Field(
        "Init_Win_bytes_backward",
        "bytes",
        ("Bwd Init Win Bytes", "Init Bwd Win Byts", "Init Bwd Win Bytes"),
    ),
    Field("act_data_pkt_fwd", "packets", ("Fwd Act Data Pkts", "Fwd Act Data Packets")),
    Field("min_seg_size_forward", "bytes", ("Fwd Seg Size Min",)),
    Field("Active Mean", "us"),
    Field("Active Std", "us"),
    Field("Active Max", "us"),
    Field("Active Min", "us"),
    Field("Idle Mean", "us"),
    Field("Idle Std", "us"),
    Field("Idle Max", "us"),
    Field("Idle Min", "us"),
)
"""The 78 features of CICIDS2017 in the published order, stripped of stray spaces; ``us`` are
microseconds.

``Fwd Header Length`` is published twice; the second one is called ``Fwd Header Length.1`` here.
"""

TWIN = "Fwd Header Length.1"

PROTOCOL = Field("Protocol", "number")
"""The IP protocol's number: 6 is TCP, 17 UDP, 1 ICMP, 0 something else."""

SCHEMA = FeatureSchema("CICFlowMeter", tuple(Column(f.name, f.unit) for f in FIELDS))
"""The features of CICIDS2017 as a schema."""

KEYS: Mapping[str, tuple[str, ...]] = {
    "time": ("Timestamp",),
    "id": ("Flow ID",),
    "src_ip": ("Source IP", "Src IP"),
    "src_port": ("Source Port", "Src Port"),
    "dst_ip": ("Destination IP", "Dst IP"),
    "dst_port": ("Destination Port", "Dst Port"),
    "protocol": ("Protocol",),
}
"""What tells one flow from another; copies without addresses have few of these columns."""

PUBLISHED = ("Flow Duration", "Total Fwd Packets", "Total Backward Packets")
"""Columns that tables of CICIDS2017 and CICDDoS2019 have, and copies of these with few columns."""

CLEANED = (*PUBLISHED, "Fwd Packets Length Total")
"""Columns of the cleaned Parquet copies of all three data sets."""

ABBREVIATED = ("Flow Duration", "Tot Fwd Pkts", "Tot Bwd Pkts", "TotLen Fwd Pkts")
"""Columns of CSE-CIC-IDS2018, and of CICFlowMeter 3."""

WRITTEN = ("Flow Duration", "Total Fwd Packet", "Total Bwd packets", "Total Length of Fwd Packet")
"""Columns that CICFlowMeter 4 writes."""


def single(fields: tuple[Field, ...] = FIELDS) -> tuple[Field, ...]:
    """The features of a table that has ``Fwd Header Length`` once."""
    return tuple(field for field in fields if field.name != TWIN)


def counted(fields: tuple[Field, ...]) -> tuple[Field, ...]:
    """The features where packets with a flag are counted, rather than told to be there or not."""
    return tuple(replace(f, unit="packets") if f.unit == "flag" else f for f in fields)
