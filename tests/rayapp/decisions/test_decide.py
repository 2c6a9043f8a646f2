"""Decisions from files to files: the same whatever the form, with keys and rows as they stand."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from envs import Flows, InputError, Scenario
from envs.datasets.source import Reading
from envs.datasets.tables.form import TableFormat
from envs.datasets.tables.source import TableSource
from rayapp import Run
from rayapp.commands.evaluate import scorecard
from rayapp.decisions.decider import Decider
from rayapp.decisions.deciding import Job
from rayapp.decisions.outcomes import Outcomes
from rayapp.decisions.rows import FlowRows
from rayapp.decisions.writing import Format
from rayapp.runs.folder import RunFolder

if TYPE_CHECKING:
    from conftest import JobOf, MakeTable, Table

Deciding = Callable[..., list[dict[str, Any]]]

LEAVES = {
    "detection": ("class", "signature", "rule", "seen", "correct", "confidence"),
    "decision": ("mitigation", "attack_id", "probability", "expected_reward", "ranked"),
}


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


@pytest.fixture
def decided(job_of: JobOf, tmp_path: Path) -> Deciding:
    """What is written as JSON about a file's flows."""

    def decide(data: Path, *, explain: bool = False) -> list[dict[str, Any]]:
        job_of([data], explain=explain).write(tmp_path / "decided.json", "json")
        return lines_of(tmp_path / "decided.json")

    return decide


def flat(record: dict[str, Any]) -> dict[str, Any]:
    """A record's cells as the columns of tables."""
    cells = {name: value for name, value in record.items() if name not in LEAVES}
    for part, names in LEAVES.items():
        cells |= {name: record[part] and record[part][name] for name in names}
    return cells


def test_what_is_decided_is_what_kirl_evaluate_scores(
    infused: RunFolder, with_labels: Table, labelled: Flows, tmp_path: Path
) -> None:
    data = with_labels.csv(tmp_path / "flows.csv")
    Job.of(infused, [data]).write(tmp_path / "out.json", "json")

    catalogue, records = labelled.catalogue, lines_of(tmp_path / "out.json")
    actions = [catalogue.action_names.index(one["decision"]["mitigation"]) for one in records]
    card = scorecard(infused, [data])
    rewards = catalogue.rewards[labelled.actual, actions]
    assert rewards.mean() == pytest.approx(card.score.average_reward)
    detected = np.array([one["detection"]["class"] for one in records])
    names = np.array(catalogue.class_names)[labelled.actual]
    assert (detected != names).sum() == card.misdetected
    assert len(set(actions)) > 1


def test_all_forms_of_output_say_the_same(
    infused: RunFolder, make_table: MakeTable, tmp_path: Path, job_of: JobOf
) -> None:
    table = make_table(40)
    table.rows[7][3] = "Infinity"
    table.rows[8] = ["" for _ in table.rows[8]]
    data = table.csv(tmp_path / "flows.csv")
    for kind in ("json", "csv", "parquet"):
        done = job_of([data], explain=True).write(tmp_path / f"out.{kind}", kind)
        assert (done.decided, done.tally.rows) == (38, 40)

    records = [flat(one) for one in lines_of(tmp_path / "out.json")]
    with (tmp_path / "out.csv").open(newline="", encoding="ascii") as file:
        cells = list(csv.DictReader(file))
    columns = pq.read_table(tmp_path / "out.parquet").to_pylist()
    frame = Run(infused.path).decide(pd.read_csv(data, skip_blank_lines=False), explain=True)
    assert [one["row"] for one in columns] == [row for row in range(2, 42) if row != 10]
    for record, text, typed in zip(records, cells, columns, strict=True):
        series = frame.loc[record["row"] - 2]
        for name, value in typed.items():
            known = record.get(name)
            if name in ("ranked", "explanation"):
                assert (
                    known
                    == (value and json.loads(value))
                    == ((text[name] and json.loads(text[name])) or None)
                )
                assert series[name] == known or known is None
            else:
                assert known == value
                assert text[name] == ("" if value is None else str(value))
            if name in frame and known is not None:
                assert series[name] == known
            elif name in frame:
                assert pd.isna(series[name])
    assert records[7]["undecided"] == "'Total Backward Packets' is missing or infinite"
    assert records[7]["mitigation"] is None
    assert frame.undecided[8] == "all its features are missing"
    assert list(frame.index) == list(range(40))


@pytest.mark.parametrize("form", ["csv", "zeek", "json", "parquet"])
def test_keys_and_rows_stand_as_in_the_file(
    form: str, make_table: MakeTable, tmp_path: Path, decided: Deciding
) -> None:
    table = make_table(6)
    table.rows[1][5] = "nan"
    table.rows[4][0] = "inf"
    table = table.with_column("Flow ID", ["a", "b", "", "d", "-", "f"])
    # Zeek's last name must not have a space.
    table = replace(table, names=[*table.names, "note"], rows=[[*row, "x"] for row in table.rows])
    table = table.with_column("Timestamp", [f"2017-07-07 10:00:0{n}" for n in range(6)])
    data = getattr(table, form)(tmp_path / "flows.log")

    records = decided(data)

    first = {"csv": 2, "zeek": 3}.get(form, 1)
    assert [one["row"] for one in records] == list(range(first, first + 6))
    assert [one["id"] for one in records] == ["a", "b", None, "d", None, "f"]
    assert [one["time"][-1] for one in records] == list("012345")
    assert {one["file"] for one in records} == {"flows.log"}
    assert [one["decision"] is None for one in records] == [n in (1, 4) for n in range(6)]
    assert records[4]["undecided"] == "'Destination Port' is missing or infinite"


def test_parts_of_a_file_count_its_rows(
    decider: Decider,
    make_table: MakeTable,
    tmp_path: Path,
    decided: Deciding,
    keyed: TableFormat,
) -> None:
    table = make_table(60)
    data = table.csv(tmp_path / "flows.csv")
    source = TableSource(keyed, [data], Reading(None, keyed.schema, keys=True), part_bytes=20_000)
    assert len(source.parts) > 2

    Job(decider, FlowRows(source), Outcomes(decider.knowledge)).write(
        tmp_path / "parts.json", "json"
    )

    assert lines_of(tmp_path / "parts.json") == decided(data)


def test_decisions_do_not_depend_on_what_they_are_made_with(
    make_table: MakeTable,
    tmp_path: Path,
    job_of: JobOf,
    decided: Deciding,
) -> None:
    data = make_table(30).parquet(tmp_path / "flows.parquet")
    fewer = make_table(3).parquet(tmp_path / "fewer.parquet")

    for kind in ("json", "parquet"):
        outs = [tmp_path / f"{name}.{kind}" for name in "ab"]
        for out in outs:
            job_of([data]).write(out, kind)
        assert outs[0].read_bytes() == outs[1].read_bytes()
    alone = decided(fewer)
    beside = decided(data)
    assert [flat(one)["ranked"] for one in alone] == [flat(one)["ranked"] for one in beside[:3]]


def test_hostile_texts_are_escaped(
    make_table: MakeTable,
    tmp_path: Path,
    job_of: JobOf,
    decided: Deciding,
) -> None:
    hostile = ['a"b\\c,\n', "\x1b[2J", "\u202egnp.exe", "=1+1", "ünï", "\ud800", "a,b"]
    table = make_table(7).with_column("Flow ID", hostile)
    data = table.json(tmp_path / 'x"\x1b[31m.json')

    records = decided(data)
    job_of([data]).write(tmp_path / "out.csv", "csv")

    assert [one["id"] for one in records] == [*hostile[:5], "?", "a,b"]
    assert {one["file"] for one in records} == {'x"\\x1b[31m.json'}
    assert "\x1b" not in (tmp_path / "decided.json").read_text(encoding="ascii")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        cells = [one["id"] for one in csv.DictReader(file)]
    assert cells == ['a"b\\c,\\n', "\\x1b[2J", "\\u202egnp.exe", "=1+1", "ünï", "?", "a,b"]


def test_the_ranking_is_the_policys(decider: Decider, infused: RunFolder) -> None:
    known = decider.knowledge
    probabilities = infused.policy().probabilities(known.contexts)

    for context in range(len(known.contexts)):
        told = known.decision(context)
        ranked = told["ranked"]
        assert sum(one["probability"] for one in ranked) == pytest.approx(1, abs=1e-5)
        assert [one["probability"] for one in ranked] == sorted(
            (one["probability"] for one in ranked), reverse=True
        )
        assert {one["mitigation"] for one in ranked} == set(known.catalogue.action_names)
        best = known.catalogue.action_names[probabilities[context].argmax()]
        assert best == told["mitigation"] == ranked[0]["mitigation"]
        assert len(known.decision(context, 3)["ranked"]) == 3


def test_an_explanation_says_what_the_graph_knows(
    decider: Decider,
    infused: RunFolder,
    make_table: MakeTable,
    tmp_path: Path,
    decided: Deciding,
) -> None:
    data = make_table(20).csv(tmp_path / "flows.csv")

    records = decided(data, explain=True)

    counts = infused.graph().counts().signature_actual
    names = decider.knowledge.catalogue.class_names
    for record in records:
        detection, why = record["detection"], record["explanation"]
        signature = detection["signature"]
        assert why["records"]["signature"] == signature
        assert why["records"]["confidence"] == detection["confidence"]
        assert why["records"]["seen"] == detection["seen"] == counts[signature].sum()
        met = {names[i]: n for i, n in enumerate(counts[signature].tolist()) if n}
        assert {one["class"]: one["flows"] for one in why["true_classes"]} == met
        assert sum(one["share"] for one in why["true_classes"]) == pytest.approx(1 if met else 0)
        assert why["advised"]["historic_reward"] == 1.0
        assert why["advised"]["mitigation"] in decider.knowledge.catalogue.action_names


def test_nothing_is_written_where_no_flow_can_be_decided(
    make_table: MakeTable, tmp_path: Path, job_of: JobOf
) -> None:
    table = make_table(2)
    for row in table.rows:
        row[2] = "inf"
    data = table.csv(tmp_path / "flows.csv")
    kinds: tuple[Format, ...] = ("json", "csv", "parquet")

    for kind in kinds:
        with pytest.raises(InputError, match="no flow is left of 2 rows"):
            job_of([data]).write(tmp_path / f"out.{kind}", kind)

    assert [path.name for path in tmp_path.iterdir()] == ["flows.csv"]


def test_an_interruption_leaves_nothing_behind(
    make_table: MakeTable, tmp_path: Path, job_of: JobOf
) -> None:
    data = make_table(5).csv(tmp_path / "flows.csv")
    out = tmp_path / "out.parquet"
    out.write_bytes(b"before")

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job_of([data]).write(out, "parquet", interrupt)

    assert out.read_bytes() == b"before"
    assert len(list(tmp_path.iterdir())) == 2


def test_frames_are_read_by_all_names_in_any_order(
    infused: RunFolder, prepared: Scenario, labelled: Flows
) -> None:
    run = Run(infused.path)
    frame = pd.DataFrame(labelled.features[:50], columns=list(prepared.schema.names))
    expected = run.decide(frame)
    renamed = frame[frame.columns[::-1]].rename(columns=lambda name: f" {name.lower()} ")
    renamed["note"] = [{"any": "thing"}] * 50
    renamed.index = [f"flow {n}" for n in range(50)]

    found = run.decide(renamed)

    assert list(found.index) == list(renamed.index)
    pd.testing.assert_frame_equal(found.reset_index(drop=True), expected)
    scenario = run.scenario()
    matched = scenario.detector().match(labelled.features[:50])
    assert found.signature.tolist() == matched.tolist()
    actions = run.policy().actions(scenario.contexts)[matched]
    assert found.mitigation.tolist() == [scenario.catalogue.action_names[a] for a in actions]
    assert run.decide(frame[:0]).columns.tolist() == expected.columns.tolist()
    with pytest.raises(InputError, match="column 'Flow Duration' is missing"):
        run.decide(frame.drop(columns="Flow Duration"))
    with pytest.raises(InputError, match="'x' is not a number"):
        run.decide(
            frame.astype(object).replace({"Flow Duration": {frame["Flow Duration"][3]: "x"}})
        )


@pytest.mark.parametrize("given", [None, [1], {"a": [1]}, np.zeros((2, 2)), pd.Series([1.0])])
def test_what_is_no_frame_is_refused(infused: RunFolder, given: object) -> None:
    with pytest.raises(InputError, match="Expected a pandas DataFrame"):
        Run(infused.path).decide(given)  # type: ignore[arg-type]


def test_halves_of_characters_in_a_frame_are_no_obstacle(
    infused: RunFolder, labelled: Flows
) -> None:
    frame = pd.DataFrame(labelled.features[:3], columns=list(labelled.schema.names))
    expected = Run(infused.path).decide(frame)
    note = pd.Series(["\ud800"] * 3, dtype=object)
    found = Run(infused.path).decide(frame.assign(note=note))
    pd.testing.assert_frame_equal(found, expected)
