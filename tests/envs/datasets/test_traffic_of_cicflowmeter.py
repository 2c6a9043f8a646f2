"""Genuine files of CICFlowMeter's family as people have them, where they are present.

Each is read with exactly the labels that it has, or refused for a reason that can be acted on.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from envs.catalogue import Catalogue
from envs.datasets import registry
from envs.datasets.labels import Labelling
from envs.datasets.source import Reading
from envs.errors import InputError
from envs.flows import Flows
from tests.genuine import TRAFFIC

pytestmark = pytest.mark.skipif(not TRAFFIC.exists(), reason="the genuine files are not here")

CORRECTED = "cicids2017-corrected"
CSE = "cse-cic-ids2018"
DDOS = "cicddos2019"
PUBLISHED = "cicids2017"

READ: dict[str, tuple[str, dict[str, int], int]] = {
    "2-cse-cic-ids2018/ids2018-bruteforce.parquet": (
        *(CSE, {"Benign": 3000, "SSH-Bruteforce": 3000, "FTP-BruteForce": 53}, 0),
    ),
    "2-cse-cic-ids2018/ids2018-selected-features.parquet": (
        CSE,
        {"Benign": 6000, "DDoS attacks-LOIC-HTTP": 6000, "SSH-Bruteforce": 6000},
        0,
    ),
    "3-cicddos2019/ddos2019-selected-features.csv.gz": (
        *(DDOS, {"DrDoS_DNS": 4775, "TFTP": 4617, "Syn": 4584, "BENIGN": 4343}, 0),
    ),
    "4-corrected-cicids2017/BENIGN_2500.csv.gz": (CORRECTED, {"BENIGN": 2500}, 0),
    "4-corrected-cicids2017/Botnet_736.csv.gz": (CORRECTED, {"Botnet": 736}, 0),
    "4-corrected-cicids2017/DDoS_2500.csv.gz": (CORRECTED, {"DDoS": 1000}, 0),
    "4-corrected-cicids2017/DoS_GoldenEye_2500.csv.gz": (CORRECTED, {"DoS GoldenEye": 1000}, 0),
    "4-corrected-cicids2017/DoS_Hulk_2500.csv.gz": (CORRECTED, {"DoS Hulk": 1000}, 0),
    "4-corrected-cicids2017/DoS_Slowhttptest_1740.csv.gz": (
        *(CORRECTED, {"DoS Slowhttptest": 1000}, 0),
    ),
    "4-corrected-cicids2017/DoS_Slowloris_2500.csv.gz": (CORRECTED, {"DoS Slowloris": 1000}, 0),
    "4-corrected-cicids2017/FTP-Patator_2500.csv.gz": (CORRECTED, {"FTP-Patator": 1000}, 0),
    "4-corrected-cicids2017/Heartbleed_11.csv": (CORRECTED, {"Heartbleed": 11}, 0),
    "4-corrected-cicids2017/Infiltration-Portscan_2500.csv.gz": (
        *(CORRECTED, {"Infiltration - Portscan": 1000}, 0),
    ),
    "4-corrected-cicids2017/Infiltration_36.csv": (CORRECTED, {"Infiltration": 36}, 0),
    "4-corrected-cicids2017/Portscan_2500.csv.gz": (CORRECTED, {"Portscan": 1000}, 0),
    "4-corrected-cicids2017/SSH-Patator_2500.csv.gz": (CORRECTED, {"SSH-Patator": 1000}, 0),
    "4-corrected-cicids2017/Web_Attack-Brute_Force_73.csv": (
        *(CORRECTED, {"Web Attack - Brute Force": 73}, 0),
    ),
    "4-corrected-cicids2017/Web_Attack-SQL_Injection_13.csv": (
        *(CORRECTED, {"Web Attack - SQL Injection": 13}, 0),
    ),
    "4-corrected-cicids2017/Web_Attack-XSS_18.csv": (CORRECTED, {"Web Attack - XSS": 18}, 0),
    "6-flow-tools/cicflowmeter-py-realtime-benign.csv.gz": (
        *("cicflowmeter-python", {"Benign": 2000}, 0),
    ),
    "9-cicids2017/dube-f1.csv.gz": (PUBLISHED, {"BENIGN": 999}, 1),
    "9-cicids2017/dube-f2.csv.gz": (PUBLISHED, {"BENIGN": 999}, 1),
    "9-cicids2017/dube-f3.csv.gz": (PUBLISHED, {"BENIGN": 999}, 1),
    "9-cicids2017/dube-m1.csv.gz": (PUBLISHED, {"BENIGN": 999}, 10),
    "9-cicids2017/dube-th2.csv.gz": (PUBLISHED, {"BENIGN": 999}, 4),
    "9-cicids2017/dube-tu1.csv.gz": (PUBLISHED, {"BENIGN": 999}, 6),
    "9-cicids2017/dube-w1.csv.gz": (PUBLISHED, {"BENIGN": 999}, 6),
    "9-cicids2017/glf-49-benign.csv": (PUBLISHED, {"BENIGN": 49}, 0),
    "9-cicids2017/glf-ddos.csv.gz": (PUBLISHED, {"DDoS": 1000}, 0),
    "9-cicids2017/glf-named-cicddos2019.csv.gz": (PUBLISHED, {"BENIGN": 2117, "DDoS": 1879}, 3),
    "9-cicids2017/glf-portscan.csv.gz": (PUBLISHED, {"PortScan": 1000}, 0),
    "9-cicids2017/glf-published-299.csv.gz": (PUBLISHED, {"BENIGN": 299}, 1),
    "9-cicids2017/glf-sqli-c1-dash.csv": (PUBLISHED, {"Web Attack - Sql Injection": 21}, 0),
    "9-cicids2017/glf-xss-c1-dash.csv.gz": (PUBLISHED, {"Web Attack - XSS": 652}, 0),
    "9-cicids2017/header-half-trimmed.csv.gz": (PUBLISHED, {"BENIGN": 2885}, 3),
    "9-cicids2017/published-200-benign.csv.gz": (PUBLISHED, {"BENIGN": 200}, 0),
    "9-cicids2017/ten-rows.csv": (PUBLISHED, {"BENIGN": 5, "DDoS": 5}, 0),
    "9-cicids2017/web-utf8-replacement-char.csv.gz": (
        PUBLISHED,
        {
            "BENIGN": 999,
            "Web Attack - XSS": 3,
            "Web Attack - Brute Force": 2,
            "Web Attack - Sql Injection": 2,
        },
        0,
    ),
}
"""The kind, the labels, and the rows of these that have a missing or infinite feature."""

MERGED: dict[str, tuple[str, dict[str, str], dict[str, int]]] = {
    "2-cse-cic-ids2018/ids2018-labelled-batch2.csv.gz": (
        CSE,
        {"Brute Force": "SSH Brute Force"},
        {"Benign": 773, "DDoS": 129, "DoS": 52, "Botnet": 25, "SSH Brute Force": 21},
    ),
    "6-flow-tools/cicflowmeter-py-labelled.csv.gz": (
        "cicflowmeter-python",
        {
            "Unknown/Anomaly": "drop",
            "Brute Force (Hydra)": "SSH Brute Force",
            "Brute Force (Medusa)": "SSH Brute Force",
            "Denial of Service (DoS)": "DoS",
        },
        {"Benign": 1108, "SSH Brute Force": 306 + 191, "DoS": 305},
    ),
    "9-cicids2017/nospace-header-attack-normal.csv.gz": (
        *(PUBLISHED, {"Attack": "DoS"}, {"DoS": 2684, "Benign": 1835}),
    ),
    "9-cicids2017/merged-classes-no-port-1.csv.gz": (
        PUBLISHED,
        {"BruteForce": "SSH-Patator"},
        {
            **{"Web": 2180, "Infiltration": 1966 + 36, "DoS": 952, "SSH-Patator": 553},
            **{"PortScan": 397, "Benign": 227},
        },
    ),
}
"""Files whose owner merged or renamed labels: what a file of labels says, and the classes."""

UNLABELLED = {
    "2-cse-cic-ids2018/ids2018-unlabelled-batch1.csv.gz": ("cicflowmeter", 1000),
    "6-flow-tools/cicflowmeter-java4.csv": ("cicflowmeter", 1),
    "6-flow-tools/cicflowmeter-py-1.csv.gz": ("cicflowmeter-python", 458),
    "6-flow-tools/cicflowmeter-py-noheader.csv.gz": ("cicflowmeter-python", 406),
    "6-flow-tools/cicflowmeter-py-old.csv": ("cicflowmeter-python", 23),
    "9-cicids2017/no-label-j48.csv": (PUBLISHED, 16),
}
"""Flows to decide: the kind, and the rows."""

REFUSED = {
    "3-cicddos2019/ddos2019-webddos.pcap": ("packet capture", "--pcap"),
    "6-flow-tools/cicflowmeter-py-hydra-misaligned.csv.gz": (
        *("the header has 79 names, and every row has 83 cells", "Add the names"),
    ),
    "9-cicids2017/git-lfs-pointer.csv": ("a pointer of Git LFS", "git lfs pull"),
    "9-cicids2017/heartbleed-x-columns.csv.gz": ("those of no known kind", "kirl schema"),
}
"""What is wrong, and what to do."""


def read(path: Path, classes: dict[str, str] | None = None) -> Flows:
    kind = registry.recognised([path])
    labelling = Labelling(Catalogue.named(kind.catalogue), classes or {})
    return registry.opened([path], Reading(labelling), kind.name).read()


def test_every_file_of_the_family_is_looked_at() -> None:
    folders = ["2-cse-cic-ids2018", "3-cicddos2019", "4-corrected-cicids2017", "9-cicids2017"]
    files = {f"{folder}/{file.name}" for folder in folders for file in (TRAFFIC / folder).iterdir()}
    tools = {f"6-flow-tools/{file.name}" for file in (TRAFFIC / "6-flow-tools").glob("cicflow*")}
    assert files | tools == {*READ, *MERGED, *UNLABELLED, *REFUSED}


@pytest.mark.parametrize("name", READ)
def test_files_are_read_with_exactly_their_labels(name: str) -> None:
    kind, labels, unsound = READ[name]
    flows = read(TRAFFIC / name)
    told = flows.provenance
    assert told.kind == kind
    assert told.rows_read == sum(labels.values())
    assert told.dropped == {"non-finite": unsound, "empty": 0}
    assert set(told.labels) == set(labels)
    assert all(told.labels[label] <= count for label, count in labels.items())
    assert len(flows) == told.rows_read - unsound


@pytest.mark.parametrize("name", MERGED)
def test_files_with_labels_of_their_owner_are_read_once_these_are_told(name: str) -> None:
    kind, classes, counts = MERGED[name]
    with pytest.raises(InputError, match="no class of the catalogue") as caught:
        read(TRAFFIC / name)
    below = str(caught.value.below)
    assert all(f"{label}" in below for label in classes)
    assert below.count("\n") == len(classes)

    flows = read(TRAFFIC / name, classes)

    assert flows.provenance.kind == kind
    found = Counter(flows.catalogue.class_names[number] for number in flows.actual)
    unsound = flows.provenance.dropped["non-finite"]
    assert sum(found.values()) == sum(counts.values()) - unsound
    assert set(found) == set(counts)
    assert all(counts[one] - unsound <= count <= counts[one] for one, count in found.items())


@pytest.mark.parametrize("name", UNLABELLED)
def test_unlabelled_files_are_read_for_decisions_and_refused_for_training(name: str) -> None:
    kind, rows = UNLABELLED[name]
    path = TRAFFIC / name
    with pytest.raises(InputError, match="kirl decide"):
        read(path)
    assert registry.recognised([path]).name == kind
    source = registry.opened([path], Reading(None, keys=True), kind)
    batches = [batch for part in source.parts for batch in part.batches()]
    assert sum(batch.tally.rows for batch in batches) == rows
    assert {int(number) for batch in batches for number in batch.actual} == {-1}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_why_and_what_to_do(name: str) -> None:
    what, mend = REFUSED[name]
    with pytest.raises(InputError) as caught:
        read(TRAFFIC / name)
    assert what in caught.value.what
    assert mend in str(caught.value.mend)


def test_a_folder_of_the_corrected_edition_is_read_as_one() -> None:
    flows = read(TRAFFIC / "4-corrected-cicids2017")
    assert flows.provenance.rows_read == sum(
        sum(labels.values()) for kind, labels, _ in READ.values() if kind == CORRECTED
    )
    assert len(flows.provenance.labels) == 16
