"""Verdicts: what people say that alerts really were."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from envs.catalogue import Catalogue
from envs.datasets.alerts.alert import Alert
from envs.datasets.alerts.classes import labelling_of
from envs.datasets.alerts.verdicts import draft, read_verdicts, write_draft
from envs.errors import InputError

NETWORK = Catalogue.named("enterprise-network")
LABELLING = labelling_of(NETWORK)

ALERTS = [
    Alert("1:7", "m", "c", "flow-1", "2026-01-01T00:00:01+0000"),
    Alert("1:7", "m", "c", "flow-1", "2026-01-01T00:00:02+0000"),
    Alert("1:8", "m", "c", "flow-1", "2026-01-01T00:00:02+0000"),
    Alert("1:8", "m", "c", "flow-2", "2026-01-01T00:00:03+0000"),
    Alert("1:9", "m", "c", "flow-3", "2026-01-01T00:00:04+0000"),
]


def judged(path: Path, text: str) -> list[str | None]:
    path.write_text(text)
    actual = read_verdicts(path, LABELLING).on(ALERTS)
    return [None if index < 0 else NETWORK.class_names[index] for index in actual.tolist()]


def test_the_verdict_that_says_most_of_an_alert_counts(tmp_path: Path) -> None:
    text = (
        "id,time,rule,class\n"
        ",,8,Policy Violation\n"
        "flow-1,,,Scan\n"
        "flow-1,,1:7,DoS\n"
        "flow-1,2026-01-01T01:00:02+0100,,Benign\n"
        "flow-1,2026-01-01T00:00:02Z,1:8,Exploit\n"
    )

    assert judged(tmp_path / "v.csv", text) == [
        "DoS",
        "Benign",
        "Exploit",
        "Policy Violation",
        None,
    ]


@pytest.mark.parametrize(
    "text",
    [
        "flow_id,true_class\nflow-2,scan\n",
        "uid;verdict\nflow-2;Port Scan\n",
        '{"flow_id": "flow-2", "class": "Scan"}\n',
        '[{"ID": "flow-2", "Label": "SCAN"}]',
        "signature_id,flow_id,actual\n8,flow-2,Scan\n",
        "signature_id,flow_id,actual\n8.0,flow-2,Scan\n",
    ],
)
def test_forms_and_names_of_columns_that_people_have(tmp_path: Path, text: str) -> None:
    assert judged(tmp_path / "v", text) == [None, None, None, "Scan", None]


def test_numbers_are_ids_as_well(tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    path.write_text(json.dumps([{"flow_id": 1374195536821504, "class": "DoS"}]))
    alert = Alert("1:7", "", "", "1374195536821504", "")

    assert read_verdicts(path, LABELLING).on([alert]).tolist() == [NETWORK.class_index("DoS")]


def test_a_rule_is_named_by_its_message_as_well(tmp_path: Path) -> None:
    path = tmp_path / "v.csv"
    path.write_text("signature,class\nET SCAN inbound,Scan\n")
    alerts = [Alert("1:7", "ET SCAN inbound", "", "1", ""), Alert("1:8", "ET P2P", "", "1", "")]

    assert read_verdicts(path, LABELLING).on(alerts).tolist() == [NETWORK.class_index("Scan"), -1]


def test_a_verdict_given_twice_counts_once(tmp_path: Path) -> None:
    text = "id,class\nflow-2,Scan\nflow-2,Scan\n"

    assert judged(tmp_path / "v", text) == [None, None, None, "Scan", None]


def test_lines_without_a_class_are_counted_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "v").write_text("id,class\nflow-1,\nflow-2,Scan\n")

    assert read_verdicts(tmp_path / "v", LABELLING).empty == 1


def test_verdicts_on_no_alert_are_counted(tmp_path: Path) -> None:
    (tmp_path / "v").write_text("id,class\nflow-9,Scan\nflow-2,Scan\n")

    assert read_verdicts(tmp_path / "v", LABELLING).unmatched(ALERTS) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "id,class\nflow-1,Scan\nflow-1,DoS\n",
            r"two verdicts on id 'flow-1': Scan in line 2, DoS",
        ),
        ("id,class\nflow-1,\n", r"class of all 1 lines is empty.*one of Benign"),
        ("id,class\nflow-1,Scna\nflow-2,Scna\n", r"'Scna' \(2; Scan\?\)"),
        ("id,klass\nflow-1,Scan\n", r"columns are 'id', 'klass'.*Rename"),
        ("class\nScan\n", "columns are 'class'"),
        ("id,class\n,Scan\n", "record 2: a verdict names no alert"),
        ("id,class\nflow-1,Scan,x\nflow-2,Scan\n", "1 lines are damaged"),
        ("id,class\n1.37E+15,Scan\n", r"none of 1 verdicts is on any of 5 alerts.*spreadsheet"),
    ],
)
def test_verdicts_that_cannot_be_used_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        judged(tmp_path / "v", text)


def test_a_draft_is_drawn_evenly_over_the_rules() -> None:
    many = [Alert(f"1:{rule}", "", "", f"{rule}-{n}", "") for rule in range(4) for n in range(100)]
    rare = [Alert("1:99", "", "", "rare", "")]

    drawn = draft(many + rare, 41, seed=0)

    assert Counter(alert.rule for alert in drawn) == {
        "1:0": 10,
        "1:1": 10,
        "1:2": 10,
        "1:3": 10,
        "1:99": 1,
    }
    assert draft(many + rare, 41, seed=0) == drawn != draft(many + rare, 41, seed=1)
    assert len(draft(many, 1000, seed=0)) == 400


def test_a_draft_that_is_filled_in_is_on_exactly_the_alerts_drawn(tmp_path: Path) -> None:
    alerts = [*ALERTS, Alert("=cmd()", "@sum", "c", "-1+1", "2026-01-01T00:00:04+0000")]
    drawn = [alerts[1], alerts[2], alerts[5]]
    write_draft(tmp_path / "v.csv", drawn)
    with (tmp_path / "v.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert not any(cell.startswith(("=", "@", "-")) for row in rows for cell in row.values())
    with (tmp_path / "v.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(row | {"class": "Scan"} for row in rows)

    actual = read_verdicts(tmp_path / "v.csv", LABELLING).on(alerts)

    assert np.flatnonzero(actual >= 0).tolist() == [1, 2, 5]
