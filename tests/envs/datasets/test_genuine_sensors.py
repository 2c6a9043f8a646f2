"""Genuine files of sensors and flow tools, where they are present: exact counts, or a reason."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from envs.catalogue import Catalogue
from envs.datasets import registry
from envs.datasets.label_join import join_of
from envs.datasets.labels import Labelling
from envs.datasets.source import Reading
from envs.errors import InputError
from tests.envs.datasets.logs import opened, tallied
from tests.genuine import TRAFFIC

pytestmark = pytest.mark.skipif(not TRAFFIC.is_dir(), reason="the files are not here")

LABELLED: dict[str, tuple[str, dict[str | None, int]]] = {
    "1-unsw-nb15/unsw-testing-set-head.csv.gz": (
        "unsw-nb15",
        {"Exploits": 1800, "DoS": 1055, "Fuzzers": 717, "Reconnaissance": 543, "Normal": 243}
        | {"Analysis": 80, "Shellcode": 55, "Backdoor": 28, "Worms": 7},
    ),
    "1-unsw-nb15/unsw-training-set-head.csv": ("unsw-nb15", {"Normal": 320}),
    "1-unsw-nb15/unsw-training-set-numeric.csv.gz": ("unsw-nb15", {"1": 757, "0": 243}),
    "6-flow-tools/argus-mixed.binetflow": (
        "argus",
        {"Malware": 277, "Background": 21, "TCP-Established-To-Microsoft-7": 1, None: 1},
    ),
    "6-flow-tools/argus-botnet.binetflow.gz": ("argus", {None: 3000}),
    "6-flow-tools/iot23-34-1-conn.log.labeled.gz": (
        "zeek-conn",
        {"Malicious": 4276, "Benign": 1716},
    ),
    "6-flow-tools/iot23-flows.csv.gz": (
        "zeek-conn",
        {"Malicious": 3418, "Benign": 756, None: 1826},
    ),
    "7-sensor-logs/zeek-conn-tsv-labelled-remcos.log.labeled.gz": (
        "zeek-conn",
        {"Malicious": 719, "Benign": 44, None: 3},
    ),
}
"""Kind and rows by label, or by the first word of Zeek's; ``None`` for those without label."""

UNLABELLED: dict[str, tuple[str, dict[str | None, int]]] = {
    "5-netflow/netflow-v3-columns-own-capture.csv": ("netflow", 152),
    "5-netflow/nf-cicids2018-v3-Bot-flows.json.gz": ("netflow", 1000),
    "5-netflow/nf-cicids2018-v3-SSH-Bruteforce-flows.json.gz": ("netflow", 1000),
    "6-flow-tools/argus-botnet.binetflow.gz": ("argus", 3000),
    "7-sensor-logs/suricata-eve-as-array.json.gz": ("suricata-flow", 215),
    "7-sensor-logs/suricata-eve-ctu-malicious.json.gz": ("suricata-flow", 3512),
    "7-sensor-logs/suricata-eve-nmap-lab.json.gz": ("suricata-flow", 1176),
    "7-sensor-logs/suricata-eve-small.json": ("suricata-flow", 4),
    "7-sensor-logs/suricata-eve-zeus.json.gz": ("suricata-flow", 205),
    "7-sensor-logs/zeek-conn-json-ad.log": ("zeek-conn", 50),
    "7-sensor-logs/zeek-conn-json-horizontal-scan.log": ("zeek-conn", 41),
    "7-sensor-logs/zeek-conn-json-mixed.log.gz": ("zeek-conn", 576),
    "7-sensor-logs/zeek-conn-json-vertical-scan.log": ("zeek-conn", 50),
    "7-sensor-logs/zeek-conn-tsv-2014.log": ("zeek-conn", 360),
    "7-sensor-logs/zeek-conn-tsv-infected.log": ("zeek-conn", 15),
}

REFUSED = {
    # Not the data, but the page that led to it.
    "1-unsw-nb15/unsw-html-page-named.csv.gz": "HTML.*Download it again",
    # 5.864748 has become 5.864.748, and 1307668.672 has become 1.307.668.672.
    "1-unsw-nb15/unsw-raw-semicolon.csv.gz": "row 1, column 'dload'.*spreadsheet",
    # Registers of a controller: measurements, no flows. A file of labels is no table of flows.
    "6-flow-tools/toniot-modbus.csv.gz": "no known kind.*kirl schema",
    "5-netflow/nf-cicids2018-v3-Bot-labels.json.gz": "no known kind",
    "5-netflow/nf-cicids2018-v3-SSH-Bruteforce-labels.json.gz": "no known kind",
}

OTHERS = re.compile(r".*/(cicflowmeter|made-nfstream|nfstream|zeek-notice)")
"""Files of other kinds."""


def place(name: str) -> Path:
    return TRAFFIC / name


def read(name: str, labelling: Labelling | None) -> tuple[str, Counter[str | None], int]:
    """Kind, rows by label as it stands there, and rows."""
    path = place(name)
    kind = registry.recognised([path])
    tally = tallied(opened(path, reading=Reading(labelling)))
    counts: Counter[str | None] = Counter()
    counts.update(tally.labels + tally.unknown)
    if tally.dropped["unlabelled"]:
        counts[None] = tally.dropped["unlabelled"]
    return kind.name, counts, tally.rows


@pytest.mark.parametrize("name", sorted(LABELLED))
def test_labels_are_counted_exactly(name: str) -> None:
    kind, labels = LABELLED[name]
    known = Labelling(Catalogue.named(registry.named(kind).catalogue))

    found, counts, rows = read(name, known)

    by_word: Counter[str | None] = Counter()
    for label, count in counts.items():
        by_word[label.split(" ")[0] if label and kind == "zeek-conn" else label] += count
    assert (found, by_word) == (kind, labels)
    assert rows == sum(labels.values())


@pytest.mark.parametrize("name", sorted(UNLABELLED))
def test_flows_to_be_decided_are_counted_exactly(name: str) -> None:
    kind, rows = UNLABELLED[name]
    source = opened(place(name))

    assert registry.recognised([place(name)]).name == kind
    assert sum(len(batch) for part in source.parts for batch in part.batches()) == rows


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_no_sound_table_of_flows_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(InputError, match=REFUSED[name]):
        tallied(opened(place(name)))


@pytest.mark.parametrize("attack", ["Bot", "SSH-Bruteforce"])
def test_flows_and_their_labels_in_two_files(attack: str) -> None:
    data, labels = (
        place(f"5-netflow/nf-cicids2018-v3-{attack}-{part}.json.gz") for part in ("flows", "labels")
    )
    reading = Reading(Labelling(Catalogue.named("netflow")), join=join_of([labels], [data]))

    flows = opened(data, reading=reading).read()

    assert flows.provenance.labels == {"Benign": 950, attack: 50}


def test_nothing_is_left_out() -> None:
    folders = ("1-unsw-nb15", "5-netflow", "6-flow-tools", "7-sensor-logs")
    files = {f"{name}/{path.name}" for name in folders for path in (TRAFFIC / name).iterdir()}

    assert {f for f in files if not OTHERS.match(f)} <= {*LABELLED, *UNLABELLED, *REFUSED}
