"""UNSW-NB15: the training and testing sets, and the four raw files, which have no header.

The sets have 45 columns, the raw files 49; names of both are known. What only one of them has,
the destination port and the packet rate, is a feature where it is there.

What cells that say nothing stand for:

* ``ct_flw_http_mthd``, ``is_ftp_login`` and ``ct_ftp_cmd`` are counts that raw files leave empty
  for flows of other protocols: 0.
* ``dsport`` is ``-`` for protocols without ports: -1. Some ports are hexadecimal.
* ``service`` is ``-`` where none was recognised: no word, as in an empty cell.

The column ``attack_cat`` names the attack. Raw files leave it empty for normal flows, and then
``label``, which is 0 for normal flows and 1 for attacks, says Normal. The 0 and 1 of a copy
whose column is called ``target`` mean no class until somebody says what they mean.
"""

from __future__ import annotations

from envs.datasets.tables.form import Field, TableFormat
from envs.datasets.tables.source import table_data_set

FIELDS = (
    Field("dur", "s"),
    Field("proto", "word", category=True),
    Field("service", "word", category=True),
    Field("state", "word", category=True),
    Field("spkts", "packets"),
    Field("dpkts", "packets"),
    Field("sbytes", "bytes"),
    Field("dbytes", "bytes"),
    Field("rate", "packets/s"),
    Field("sttl", "hops"),
    Field("dttl", "hops"),
    Field("sload", "bit/s"),
    Field("dload", "bit/s"),
    Field("sloss", "packets"),
    Field("dloss", "packets"),
    Field("sinpkt", "ms", ("Sintpkt",)),
    Field("dinpkt", "ms", ("Dintpkt",)),
    Field("sjit", "ms"),
    Field("djit", "ms"),
    Field("swin", "window"),
    Field("stcpb", "number"),
    Field("dtcpb", "number"),
    Field("dwin", "window"),
    Field("tcprtt", "s"),
    Field("synack", "s"),
    Field("ackdat", "s"),
    Field("smean", "bytes", ("smeansz",)),
    Field("dmean", "bytes", ("dmeansz",)),
    Field("trans_depth", "count"),
    Field("response_body_len", "bytes", ("res_bdy_len",)),
    Field("ct_srv_src", "flows"),
    Field("ct_state_ttl", "number"),
    Field("ct_dst_ltm", "flows"),
    Field("ct_src_dport_ltm", "flows"),
    Field("ct_dst_sport_ltm", "flows"),
    Field("ct_dst_src_ltm", "flows"),
    Field("is_ftp_login", "flag", missing=0),
    Field("ct_ftp_cmd", "count", missing=0),
    Field("ct_flw_http_mthd", "count", missing=0),
    Field("ct_src_ltm", "flows"),
    Field("ct_srv_dst", "flows"),
    Field("is_sm_ips_ports", "flag"),
    Field("dsport", "port", missing=-1),
)
"""The 42 features of the training and testing sets in their order, and the raw files' port."""

RAW_COLUMNS = (
    *("srcip", "sport", "dstip", "dsport", "proto", "state", "dur", "sbytes", "dbytes", "sttl"),
    *("dttl", "sloss", "dloss", "service", "Sload", "Dload", "Spkts", "Dpkts", "swin", "dwin"),
    *("stcpb", "dtcpb", "smeansz", "dmeansz", "trans_depth", "res_bdy_len", "Sjit", "Djit"),
    *("Stime", "Ltime", "Sintpkt", "Dintpkt", "tcprtt", "synack", "ackdat", "is_sm_ips_ports"),
    *("ct_state_ttl", "ct_flw_http_mthd", "is_ftp_login", "ct_ftp_cmd", "ct_srv_src"),
    *("ct_srv_dst", "ct_dst_ltm", "ct_src_ltm", "ct_src_dport_ltm", "ct_dst_sport_ltm"),
    *("ct_dst_src_ltm", "attack_cat", "Label"),
)
"""The 49 columns of the raw files, as the list of features names them."""

LABELS = (
    *("Normal", "Generic", "Exploits", "Fuzzers", "DoS", "Reconnaissance", "Analysis"),
    *("Backdoor", "Shellcode", "Worms"),
)


def label_of(cells: tuple[str, ...]) -> str:
    """The label of a row, given its cells of attack_cat, label and target."""
    attack, label, target = cells
    if attack.strip():
        return attack
    if label.strip() in ("0", "0.0"):
        return "Normal"
    return label if label.strip() else target


FORM = TableFormat(
    kind="unsw-nb15",
    title="UNSW-NB15",
    made_by="Argus and Bro (UNSW-NB15)",
    fields=FIELDS,
    labels=("attack_cat", "label", "target"),
    label_of=label_of,
    keys={
        "time": ("Stime",),
        "src_ip": ("srcip",),
        "src_port": ("sport",),
        "dst_ip": ("dstip",),
        "dst_port": ("dsport",),
        "protocol": ("proto",),
    },
    telling=(("sttl", "ct_state_ttl", "ct_srv_dst"),),
    catalogue="unsw-nb15",
    headless=RAW_COLUMNS,
    missing_words=("-",),
    advice="Give UNSW_NB15_training-set.csv and UNSW_NB15_testing-set.csv, or the raw files "
    "UNSW-NB15_1.csv to UNSW-NB15_4.csv",
)

UNSW_NB15 = table_data_set(
    FORM,
    about="Flows of a test bed with nine families of attacks, by Argus and Bro",
    citation="Moustafa, Slay: UNSW-NB15: a comprehensive data set for network intrusion detection "
    "systems, MilCIS 2015",
    labels=LABELS,
)
