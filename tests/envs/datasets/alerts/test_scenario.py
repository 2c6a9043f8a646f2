"""A scenario of alerts: rules are signatures, verdicts tell how often they were right."""

from __future__ import annotations

import json
import random
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs import BetaPrior, Catalogue, InputError, InteractionTable, Scenario
from envs.datasets.alerts.classes import labelling_of, predicted_classes
from envs.datasets.alerts.reading import Alerts, read_alerts
from envs.datasets.alerts.scenario import rule_records, scenario_of_alerts
from envs.datasets.alerts.verdicts import draft
from envs.detector import RuleDetector
from kg_actor import GraphSpec, MergeKey, queries
from tests.envs.datasets.alerts.made import LOGS, eve, write_lines

NETWORK = Catalogue.named("enterprise-network")

FIRED = {7: ("Misc Attack", 60), 8: ("Web Application Attack", 40), 9: ("Misc activity", 10)}
"""Category and number of the alerts of each rule."""


def made_alerts(folder: Path) -> Alerts:
    records = [
        eve(sid, 1000 * sid + n, category=category, second=n)
        for sid, (category, count) in FIRED.items()
        for n in range(count)
    ]
    return read_alerts([write_lines(folder / "eve.json", records)])


def write_verdicts(path: Path, verdicts: dict[str, str]) -> Path:
    return write_lines(path, [{"flow_id": k, "class": v} for k, v in verdicts.items()])


def prepared(
    folder: Path, verdicts: dict[str, str], labels: dict[str, str] | None = None, seed: int = 0
) -> Scenario:
    scenario, _ = scenario_of_alerts(
        made_alerts(folder),
        folder / "scenario",
        catalogue=NETWORK,
        verdicts=write_verdicts(folder / "v.json", verdicts),
        labels=labels,
        seed=seed,
    )
    return scenario


@pytest.fixture
def verdicts() -> dict[str, str]:
    """Rule 7 is right on 20 of 30, rule 8 on 1 of 20; rule 9 has none."""
    said = {str(7000 + n): "Scan" if n < 20 else "Benign" for n in range(30)}
    return (
        said
        | {str(8000 + n): "Web Injection" if n < 1 else "Benign" for n in range(20)}
        | {"8001": "Web Injection"}
    )


def test_rules_are_signatures_and_alerts_with_verdicts_are_flows(
    tmp_path: Path, verdicts: dict[str, str]
) -> None:
    scenario = prepared(tmp_path, verdicts)

    assert scenario.signatures.rule == ("1:7 ET rule 7", "1:8 ET rule 8", "1:9 ET rule 9")
    assert [NETWORK.class_names[i] for i in scenario.signatures.predicted] == [
        "Scan",
        "Web Injection",
        "Benign",
    ]
    assert scenario.signatures.support.tolist() == [60, 40, 10]
    assert scenario.manifest["flows"] == {"train": 35, "test": 15}
    assert scenario.of_alerts
    assert scenario.kind == "suricata-alerts"


def test_n_c_and_b_are_those_of_equation_1(tmp_path: Path, verdicts: dict[str, str]) -> None:
    records = {one.rule: one for one in rule_records(prepared(tmp_path, verdicts))}

    found = {rule: (one.verdicts, one.correct, one.confidence) for rule, one in records.items()}
    assert found == {
        "1:7 ET rule 7": (30, 20, Fraction(21, 32)),
        "1:8 ET rule 8": (20, 2, Fraction(3, 22)),
        "1:9 ET rule 9": (0, 0, Fraction(1, 2)),
    }
    assert [one.signature for one in rule_records(prepared(tmp_path, verdicts))] == [1, 0, 2]


def test_what_was_written_is_read_with_its_rules(tmp_path: Path, verdicts: dict[str, str]) -> None:
    scenario = prepared(tmp_path, verdicts)
    scenario.copy_to(tmp_path / "copy")

    loaded = Scenario.load(tmp_path / "copy")

    assert loaded.fingerprint == scenario.fingerprint
    detector = loaded.detector()
    assert isinstance(detector, RuleDetector)
    assert detector.match(["1:8", "1:7", "1:77"]).tolist() == [1, 0, -1]
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == [
        "manifest.json",
        "rules.json",
        "signatures.parquet",
        "test.parquet",
        "train.parquet",
    ]
    met = loaded.flow_set("train", matching="cross-fitted")
    assert np.array_equal(met.signature, loaded.train[0])


def test_order_of_files_makes_no_difference_but_for_the_split(
    tmp_path: Path, verdicts: dict[str, str]
) -> None:
    one = rule_records(prepared(tmp_path, verdicts))
    (tmp_path / "again").mkdir()
    other = rule_records(prepared(tmp_path / "again", dict(reversed(verdicts.items())), seed=3))

    assert one == other


def test_alerts_that_labels_leave_out_are_no_flows(
    tmp_path: Path, verdicts: dict[str, str]
) -> None:
    scenario = prepared(tmp_path, verdicts, {"9": "drop", "misc attack": "DoS"})

    assert scenario.signatures.rule == ("1:7 ET rule 7", "1:8 ET rule 8")
    assert scenario.manifest["source"]["dropped"] == {"left out by the labels": 10}
    assert NETWORK.class_names[scenario.signatures.predicted[0]] == "DoS"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"7000": "Scan", "7001": "Scan"}, r"too few verdicts \(2 alerts.*all 2 flows are of one"),
        (
            {"7000": "Scan", "7001": "Benign"},
            r"too few verdicts.*has only one flow.*verdicts draft",
        ),
        ({"9999999": "Scan"}, "none of 1 verdicts is on any"),
    ],
)
def test_too_few_verdicts_are_refused_and_nothing_is_written(
    tmp_path: Path, said: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        prepared(tmp_path, said)

    assert not (tmp_path / "scenario").exists()


def asked(scenario: Scenario, number: int) -> tuple[queries.ErrorProneRule, ...]:
    """The graph that has met every training flow once, asked as the command asks it."""
    spec = GraphSpec.of(scenario)
    graph, flows = spec.new_graph(), scenario.flow_set("train")
    table = InteractionTable.tally(flows.context, np.zeros(len(flows)), flows.actual)
    graph.merge(table, MergeKey("run", 0, 0))
    verdicts = scenario.verdicts(spec.prior)
    assert verdicts is not None
    answers = queries.error_prone(graph, number)
    return queries.of_rules(answers, scenario.signatures.rule, verdicts)


def test_the_graph_finds_the_rule_that_is_wrong_most_often(
    tmp_path: Path, verdicts: dict[str, str]
) -> None:
    scenario = prepared(tmp_path, verdicts)

    worst, second = asked(scenario, 5)

    assert (worst.rule, worst.verdicts, worst.right) == ("1:8 ET rule 8", 20, 2)
    assert Fraction(worst.verdict_confidence) == Fraction(3 / 22)
    assert worst.confidence == (1 + worst.seen - worst.wrong) / (2 + worst.seen)
    assert (worst.actual, second.rule) == ("Benign", "1:7 ET rule 7")


@pytest.mark.skipif(not LOGS.is_dir(), reason="the genuine logs are not here")
def test_two_hundred_verdicts_on_genuine_alerts(tmp_path: Path) -> None:
    alerts = read_alerts([LOGS / "suricata-eve-ctu-malicious.json.gz"])
    classes = predicted_classes(alerts.rules, labelling_of(NETWORK))
    rng = random.Random(0)  # noqa: S311 (an example)
    said, seen, right = [], Counter[str](), Counter[str]()
    # Alerts that nothing tells apart would share a verdict.
    distinct = list({(one.id, one.time, one.rule): one for one in alerts.alerts}.values())
    frequent = [one for one in distinct if one.rule == "1:2010935"][:40]
    others = draft([one for one in distinct if one.rule != "1:2010935"], 160, seed=0)
    for one in (*frequent, *others):
        wrong = rng.random() < (0.9 if one.rule == "1:2010935" else 0.2)
        expected = classes[one.rule]
        assert expected is not None
        name = "Policy Violation" if wrong else NETWORK.class_names[expected]
        said.append({"id": one.id, "time": one.time, "rule": one.rule, "class": name})
        seen[one.rule] += 1
        right[one.rule] += not wrong
    path = write_lines(tmp_path / "verdicts.json", said)

    scenario, _ = scenario_of_alerts(
        alerts, tmp_path / "scenario", catalogue=NETWORK, verdicts=path
    )

    records = {one.rule.split()[0]: one for one in rule_records(scenario)}
    assert sum(scenario.manifest["flows"].values()) == len(said) == 200
    for rule, one in records.items():
        assert (one.verdicts, one.correct) == (seen[rule], right[rule])
        assert one.confidence == Fraction(1 + right[rule], 2 + seen[rule])
    (worst,) = asked(scenario, 1)
    assert worst.rule == "1:2010935 ET SCAN Suspicious inbound to MSSQL port 1433"
    assert BetaPrior().confidence(worst.verdicts, worst.right) == worst.verdict_confidence


@given(st.integers(0, 2**32))
@settings(max_examples=60)
def test_damaged_logs_and_verdicts_give_a_scenario_or_one_message(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 (an example)
    folder = tmp_path_factory.getbasetemp()
    records = [eve(rng.randrange(7, 10), n, category="Misc Attack") for n in range(40)]
    said = [{"flow_id": n, "class": rng.choice(["Scan", "Benign"])} for n in range(36)]
    paths = (folder / "eve.json", folder / "v.json")
    for path, rows in zip(paths, (records, said), strict=True):
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        for _ in range(rng.randrange(3)):
            at = rng.randrange(len(content))
            content = content[:at] + rng.randbytes(rng.randrange(3)) + content[at + 2 :]
        path.write_bytes(content[: rng.randrange(len(content) // 2, len(content) + 1)])

    try:
        scenario, _ = scenario_of_alerts(
            read_alerts([paths[0]]), folder / "scenario", catalogue=NETWORK, verdicts=paths[1]
        )
    except InputError as error:
        told = str(error)
    else:
        told = " ".join(Scenario.load(scenario.path).signatures.rule)
        assert all(one.correct <= one.verdicts <= one.alerts for one in rule_records(scenario))

    assert told.isprintable()
