"""CICIDS2017, corrected: flows measured and labelled again by Engelen, Liu and others.

Its 91 columns are those of a mended CICFlowMeter. A flow ends with its TCP connection there, and
packets with a flag are counted, so a detector of the published CICIDS2017 is of no use for it.
Labels that end in ``- Attempted`` mark flows of an attack in which nothing malicious is seen; the
authors treat them as benign, and ``kirl prepare --attempted`` may say otherwise.
"""

from __future__ import annotations

from envs.datasets import cicflowmeter
from envs.datasets.tables.form import Field, TableFormat
from envs.datasets.tables.source import table_data_set

_ALONE = ("Fwd RST Flags", "Bwd RST Flags", "ICMP Code", "ICMP Type", "Total TCP Flow Time")

_ATTACKS = (
    *("DoS Hulk", "DoS GoldenEye", "DoS Slowloris", "DoS Slowhttptest", "FTP-Patator"),
    *("SSH-Patator", "Web Attack - Brute Force", "Web Attack - XSS"),
    *("Web Attack - SQL Injection", "Botnet", "Infiltration"),
)

LABELS = (
    *("BENIGN", "DDoS", "Portscan", "Infiltration - Portscan", "Heartbleed", *_ATTACKS),
    *(f"{attack} - Attempted" for attack in _ATTACKS),
)

FORM = TableFormat(
    kind="cicids2017-corrected",
    title="the corrected CICIDS2017",
    made_by="CICFlowMeter as corrected by Engelen et al.",
    fields=(
        *cicflowmeter.counted(cicflowmeter.single()),
        cicflowmeter.PROTOCOL,
        Field("Fwd RST Flags", "packets"),
        Field("Bwd RST Flags", "packets"),
        Field("ICMP Code", "number"),
        Field("ICMP Type", "number"),
        Field("Total TCP Flow Time", "us"),
    ),
    keys={**cicflowmeter.KEYS, "id": ("id", "Flow ID")},
    telling=tuple((*cicflowmeter.WRITTEN, name) for name in _ALONE),
    catalogue="cicids2017-corrected",
    advice="Give its files as published, with 91 columns",
)

CORRECTED = table_data_set(
    FORM,
    about="CICIDS2017 with its flows measured and labelled again",
    citation="Engelen, Rimmer, Joosen: Troubleshooting an Intrusion Detection Dataset: the "
    "CICIDS2017 Case Study, IEEE Security and Privacy Workshops 2021; Liu, Engelen, Lynar, Essam, "
    "Joosen: Error Prevalence in NIDS datasets: A Case Study on CIC-IDS-2017 and CSE-CIC-IDS-2018, "
    "IEEE CNS 2022",
    labels=LABELS,
)
