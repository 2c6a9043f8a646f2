"""CSE-CIC-IDS2018: the day files in CSV as published, or their cleaned Parquet copies.

Some published files hold their header again and again between the rows; these rows are counted.
"""

from __future__ import annotations

from envs.datasets import cicflowmeter
from envs.datasets.cicflowmeter_python import is_snake_case
from envs.datasets.tables.form import TableFormat
from envs.datasets.tables.sample import Sample
from envs.datasets.tables.source import table_data_set

LABELS = (
    *("Benign", "Bot", "Brute Force -Web", "Brute Force -XSS", "DDOS attack-HOIC"),
    *("DDOS attack-LOIC-UDP", "DDoS attacks-LOIC-HTTP", "DoS attacks-GoldenEye"),
    *("DoS attacks-Hulk", "DoS attacks-SlowHTTPTest", "DoS attacks-Slowloris", "FTP-BruteForce"),
    *("Infilteration", "SQL Injection", "SSH-Bruteforce"),
)


def _is_published(one: Sample) -> bool:
    # The ports of CICFlowMeter to Python give the same names to times in other units.
    return not is_snake_case(one)


FORM = TableFormat(
    kind="cse-cic-ids2018",
    title="CSE-CIC-IDS2018",
    made_by="CICFlowMeter of CSE-CIC-IDS2018",
    fields=(*cicflowmeter.single(), cicflowmeter.PROTOCOL),
    keys=cicflowmeter.KEYS,
    telling=(
        cicflowmeter.ABBREVIATED,
        cicflowmeter.CLEANED,
        ("Flow Duration", "Init Fwd Win Bytes", "Fwd Seg Size Min"),
    ),
    agrees=_is_published,
    catalogue="cse-cic-ids2018",
    advice="Give the day files of 'Processed Traffic Data for ML Algorithms'",
)

CSE_CIC_IDS2018 = table_data_set(
    FORM,
    about="Ten days of recorded traffic of 500 machines with attacks, as flows of CICFlowMeter",
    citation="Sharafaldin, Habibi Lashkari, Ghorbani: Toward Generating a New Intrusion Detection "
    "Dataset and Intrusion Traffic Characterization, ICISSP 2018; "
    "https://www.unb.ca/cic/datasets/ids-2018.html",
    labels=LABELS,
)
