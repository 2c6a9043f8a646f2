"""What a scenario cannot teach is told with numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from envs import Catalogue, Flows, Scenario
from envs.detector import detection_report
from envs.scenario_warnings import scenario_warnings

PAPER = Catalogue.named("paper")


def of(train: dict[str, int], detections: list[tuple[str, str, int]]) -> list[str]:
    """Warnings, given training flows by class and test flows by (predicted, true) class."""
    index = PAPER.class_index
    learnt = np.repeat([index(name) for name in train], list(train.values())).astype(np.int8)
    counts = [count for *_, count in detections]
    predicted = np.repeat([index(one) for one, _, _ in detections], counts).astype(np.int8)
    actual = np.repeat([index(one) for _, one, _ in detections], counts).astype(np.int8)
    return scenario_warnings(learnt, detection_report(predicted, actual, PAPER), PAPER)


def test_each_weakness_is_told_once_with_its_numbers() -> None:
    warnings = of(
        {"Benign": 700, "DoS": 50, "Web": 49, "DDoS": 3},
        [("Benign", "Benign", 300), ("DoS", "DoS", 20), ("Benign", "Web", 21), ("DDoS", "DDoS", 1)],
    )

    assert warnings == [
        "Fewer than 50 flows to train on: DDoS (3), Web (49). Little can be learnt of them; add "
        "flows.",
        "No test flow is detected as what it is, recall 0 %: Web (21). Add flows, or features "
        "that tell them apart.",
        "4 of the catalogue's 8 classes never occur: PortScan, SSH-Patator, FTP-Patator, "
        "Infiltration. Nothing is learnt of them.",
    ]


def test_of_alerts_a_class_that_no_rule_predicts_is_no_weakness() -> None:
    actual = np.full(49, PAPER.class_names.index("Benign"), np.int8)
    report = detection_report(np.full_like(actual, PAPER.class_names.index("DoS")), actual, PAPER)

    few, absent = scenario_warnings(actual, report, PAPER, of_alerts=True)

    assert few.startswith("Fewer than 50 alerts with a verdict to train on: Benign (49).")
    assert few.endswith("add verdicts.")
    assert absent.startswith("7 of the catalogue's 8 classes never occur")


def test_a_sound_scenario_has_none() -> None:
    assert of(dict.fromkeys(PAPER.class_names, 50), [("Benign", "Benign", 9)]) == []


def test_a_class_that_is_predicted_and_never_true_has_no_recall_to_speak_of() -> None:
    train = dict.fromkeys(PAPER.class_names, 50)

    assert of(train, [("Benign", "Benign", 9), ("Web", "Benign", 2)]) == []


def test_the_manifest_has_them_and_the_fingerprint_does_not(
    make_flows: Callable[..., Flows], tmp_path: Path
) -> None:
    scenario = Scenario.prepare(make_flows({"Benign": 200, "DoS": 100, "Web": 20}), tmp_path / "s")

    told = Scenario.load(scenario.path).manifest["warnings"]

    assert "Web (14)" in told[0]
    assert told[-1].startswith("5 of the catalogue's 8 classes never occur: PortScan, DDoS")
