"""CICIDS2017: the day files of MachineLearningCVE (79 columns) or GeneratedLabelledFlows (85).

They are read whole or in part, as published or saved again by another tool. One published file
has 288,602 rows of nothing but commas, which count as ``empty``.
"""

from __future__ import annotations

from envs.datasets import cicflowmeter
from envs.datasets.tables.form import TableFormat
from envs.datasets.tables.source import table_data_set

PUBLISHED_COUNTS = {
    "BENIGN": 2_271_320,
    "DDoS": 128_025,
    "DoS Hulk": 230_124,
    "DoS GoldenEye": 10_293,
    "DoS slowloris": 5_796,
    "DoS Slowhttptest": 5_499,
    "FTP-Patator": 7_935,
    "Infiltration": 36,
    "Bot": 1_956,
    "Heartbleed": 11,
    "PortScan": 158_804,
    "SSH-Patator": 5_897,
    "Web Attack - Brute Force": 1_507,
    "Web Attack - XSS": 652,
    "Web Attack - Sql Injection": 21,
}
"""Flows per published label; merged to the paper's classes they are its Table I."""

FORM = TableFormat(
    kind="cicids2017",
    title="CICIDS2017",
    made_by="CICFlowMeter",
    fields=cicflowmeter.FIELDS,
    telling=(
        ("Flow Duration", "Total Fwd Packets", "Total Backward Packets", "Fwd Avg Bytes/Bulk"),
    ),
    twins=(("Fwd Header Length", "Fwd Header Length.1"),),
    published="pcap_iscx",
    advice="Give the day files of MachineLearningCVE or GeneratedLabelledFlows",
)

CICIDS2017 = table_data_set(
    FORM,
    about="Five days of recorded traffic with attacks, as flows of CICFlowMeter",
    citation="Sharafaldin, Habibi Lashkari, Ghorbani: Toward Generating a New Intrusion Detection "
    "Dataset and Intrusion Traffic Characterization, ICISSP 2018",
    labels=list(PUBLISHED_COUNTS),
)
