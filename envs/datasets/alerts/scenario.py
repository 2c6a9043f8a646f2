"""A scenario of alerts: rules are signatures, and verdicts tell how often they were right.

The flows are the alerts on which there is a verdict, split as flows are. An alert without one only
counts as seen, in the signature table's support; it is never part of N or C.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import scenario_files
from envs.catalogue import Catalogue
from envs.datasets.alerts.classes import Labels, labelling_of, predicted_classes
from envs.datasets.alerts.reading import Alerts
from envs.datasets.alerts.verdicts import NO_VERDICT, Verdicts, read_verdicts
from envs.detector import RuleDetector
from envs.division import TEST_SHARE, Wishes, divide
from envs.errors import InputError, quoted
from envs.flows import FeatureSchema, Provenance
from envs.scenario import Scenario
from envs.scenario_files import Tables
from envs.signatures import SignatureTable


@dataclass(frozen=True)
class RuleRecord:
    """What verdicts say of a rule.

    Attributes:
        signature: its number in the scenario.
        rule: its id and message.
        predicted: name of the class that it predicts.
        alerts: that it raised.
        verdicts: N, those of them on which there is a verdict, in training and test part.
        correct: C, those of them whose true class is the predicted one.
        confidence: B = (1 + C) / (2 + N), eq. 1 with the uniform prior.
    """

    signature: int
    rule: str
    predicted: str
    alerts: int
    verdicts: int
    correct: int

    @property
    def confidence(self) -> Fraction:
        """B, exactly."""
        return Fraction(1 + self.correct, 2 + self.verdicts)


def scenario_of_alerts(
    alerts: Alerts,
    out: Path,
    *,
    catalogue: Catalogue,
    verdicts: Path,
    labels: Labels | None = None,
    seed: int = 0,
) -> tuple[Scenario, Verdicts]:
    """Writes a scenario of alerts.

    Args:
        alerts: that an IDS raised.
        out: the folder to write; what stood there is replaced once all is written.
        catalogue: the classes that rules predict and verdicts name.
        verdicts: file of verdicts (:mod:`envs.datasets.alerts.verdicts`).
        labels: what rules and categories mean, beside what is known of Suricata and Zeek.
        seed: of the split.

    Returns:
        The scenario, and the verdicts that were read.

    Raises:
        InputError: a rule's class is not said, the verdicts cannot be used or are too few, or
            ``out`` holds anything but a scenario.
    """
    scenario_files.check_replaceable(out)
    labelling = labelling_of(catalogue, labels)
    predicted = predicted_classes(alerts.rules, labelling)
    said = read_verdicts(verdicts, labelling)
    kept = [alert for alert in alerts.alerts if predicted[alert.rule] is not None]
    if not kept:
        raise InputError(
            f"the labels leave out all {len(alerts):,} alerts", mend="Give some of them a class"
        )
    verdict = said.on(kept)
    fired = [one for one in alerts.rules if predicted[one.rule.id] is not None]
    detector = RuleDetector((one.rule for one in fired), alerts.columns)
    judged = np.flatnonzero(verdict != NO_VERDICT)
    actual = verdict[judged]
    signature = detector.match([kept[i].rule for i in judged.tolist()])
    wishes = Wishes(seed=seed, cross_fit=0)
    division = _divided(actual, wishes, catalogue, said)
    classes = [predicted[one.rule.id] for one in fired]
    train, test = division
    tables = Tables(
        SignatureTable(
            np.array(classes, np.int8),
            tuple(one.rule.text for one in fired),
            np.array([one.seen for one in fired], np.int64),
        ),
        (signature[train], actual[train]),
        (signature[test], actual[test]),
        np.empty((0, len(train)), np.int32),
    )
    about: dict[str, Any] = {
        "source": asdict(_provenance(alerts, kept, said, len(judged))),
        "classes": dict(
            zip(
                catalogue.class_names,
                np.bincount(actual, minlength=len(catalogue.classes)).tolist(),
                strict=True,
            )
        ),
        "split": {"seed": seed, "test_share": TEST_SHARE, "honest": None, "cross_fit": 0},
    }
    schema = FeatureSchema(alerts.kind, ())
    return Scenario.write(out, about, detector, tables, catalogue, schema), said


def rule_records(scenario: Scenario) -> list[RuleRecord]:
    """What all verdicts say of every rule, those that were wrong most often first.

    Of rules that were wrong equally often, the one with fewer verdicts comes first, then the one
    with the lower number.
    """
    table, counted = scenario.signatures, scenario.verdicts()
    if counted is None:
        raise ValueError("the scenario was not made from alerts")
    seen, right = counted.seen, counted.correct
    names = scenario.catalogue.class_names
    return [
        RuleRecord(
            number,
            table.rule[number],
            names[int(table.predicted[number])],
            int(table.support[number]),
            int(seen[number]),
            int(right[number]),
        )
        for number in np.lexsort((np.arange(len(table)), seen, right - seen)).tolist()
    ]


def _divided(
    actual: NDArray[np.int8], wishes: Wishes, catalogue: Catalogue, verdicts: Verdicts
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    try:
        division = divide(actual, wishes, catalogue)
    except InputError as error:
        raise InputError(
            f"too few verdicts ({len(actual):,} alerts have one): {error.what}",
            where=verdicts.file,
            expected=error.expected,
            mend="Add verdicts; kirl verdicts draft writes alerts to judge, drawn over all rules",
        ) from error
    return division.train, division.test


def _provenance(
    alerts: Alerts, kept: Sequence[object], verdicts: Verdicts, judged: int
) -> Provenance:
    dropped = {
        "left out by the labels": len(alerts) - len(kept),
        "records of no alert": alerts.others,
        "damaged": alerts.damaged,
    }
    categories: dict[str, int] = {}
    for one in alerts.rules:
        category = quoted(one.category or one.rule.id, 100)[1:-1]
        categories[category] = categories.get(category, 0) + one.seen
    return Provenance(
        alerts.kind,
        {
            "files": alerts.files,
            "verdicts": Path(verdicts.file).name,
            "alerts": len(alerts),
            "alerts_with_verdict": judged,
        },
        rows_read=len(alerts) + alerts.others + alerts.damaged,
        dropped={why: count for why, count in dropped.items() if count},
        labels=categories,
    )
