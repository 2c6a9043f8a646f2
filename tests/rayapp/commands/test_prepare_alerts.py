"""``kirl prepare --alerts`` and ``kirl verdicts draft``, in this process."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from envs import InputError, InteractionTable, Scenario
from kg_actor import GraphSpec, Keyed, MergeKey
from kg_actor.store import GraphStore
from rayapp import config
from rayapp.__main__ import app
from rayapp.config import TrainingSettings
from rayapp.runs.folder import RunFolder, RunManifest, begin
from rayapp.runs.training import train
from tests.envs.datasets.alerts.made import eve, write_lines


def kirl(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)


def refused(*arguments: object) -> str:
    with pytest.raises(InputError) as refusal:
        kirl(*arguments)
    return str(refusal.value)


@pytest.fixture
def eve_json(tmp_path: Path) -> Path:
    """Alerts of a rule that cries wolf, and of one that does not."""
    records = [
        eve(7 + n % 2, n, second=n, message=("Cries wolf", "Is right")[n % 2]) for n in range(60)
    ]
    return write_lines(tmp_path / "eve.json", records)


@pytest.fixture
def verdicts(eve_json: Path, tmp_path: Path) -> Path:
    """A draft, filled in."""
    path = tmp_path / "verdicts.csv"
    kirl("verdicts", "draft", "--alerts", eve_json, "--out", path, "--number", 40)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for number, row in enumerate(rows):
            wrong = row["message"] == "Cries wolf" and number % 4
            writer.writerow(row | {"class": "Benign" if wrong else "Scan"})
    return path


@pytest.fixture
def prepared(eve_json: Path, verdicts: Path, tmp_path: Path) -> Path:
    kirl("prepare", "--alerts", eve_json, "--verdicts", verdicts, "--out", tmp_path / "scenario")
    return tmp_path / "scenario"


def test_alerts_become_a_scenario_that_names_its_rules(
    eve_json: Path, verdicts: Path, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "scenario")
    told = kirl("prepare", "--alerts", eve_json, "--verdicts", verdicts, *out, "--json")

    manifest = json.loads(told.stdout)
    assert manifest["catalogue"]["name"] == "enterprise-network"
    assert manifest["detector"] == "rules"
    worst, best = manifest["rules"]
    assert (worst["rule"], worst["verdicts"], worst["correct"]) == ("1:7 Cries wolf", 20, 5)
    assert worst["confidence"] == 6 / 22
    assert (best["rule"], best["alerts"], best["confidence"]) == ("1:8 Is right", 30, 21 / 22)
    assert "Read 60 alerts of 2 rules" in told.stderr
    assert "40 verdicts are on 40 alerts" in told.stderr


def test_without_verdicts_the_command_that_drafts_them_is_named(
    eve_json: Path, tmp_path: Path
) -> None:
    told = refused("prepare", "--alerts", eve_json, "--out", tmp_path / "scenario")

    assert f"kirl verdicts draft --alerts {eve_json} --out verdicts.csv" in told


def test_a_draft_is_not_written_over(eve_json: Path, verdicts: Path) -> None:
    told = refused("verdicts", "draft", "--alerts", eve_json, "--out", verdicts)

    assert "is there already, maybe with verdicts in it" in told


def test_what_has_no_class_is_printed_as_a_file_to_fill_in(
    verdicts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = write_lines(tmp_path / "own.json", [eve(n, n, category="") for n in (1, 1, 2)])

    out = ("--out", tmp_path / "scenario")
    told = refused("prepare", "--alerts", own, "--verdicts", verdicts, *out)

    assert "'1:1' (2), '1:2' (1)" in told
    assert not (tmp_path / "scenario").exists()


@pytest.mark.parametrize(
    "option", [("--honest", 0.5), ("--engine", "ray"), ("--synthetic", 10), ("--sample", 500)]
)
def test_options_that_mean_nothing_for_alerts_are_refused(
    eve_json: Path, verdicts: Path, tmp_path: Path, option: tuple[str, object]
) -> None:
    given = ("--alerts", eve_json, "--verdicts", verdicts, "--out", tmp_path / "scenario")

    assert f"{option[0]}" in refused("prepare", *given, *option)


@pytest.mark.parametrize("option", ["--verdicts", "--labels", "--schema"])
def test_options_that_mean_alerts_want_alerts(tmp_path: Path, option: str) -> None:
    given = ("--synthetic", 100, "--out", tmp_path / "scenario")

    assert option in refused("prepare", *given, option, tmp_path / "file")


def test_the_graph_names_error_prone_rules(prepared: Path, tmp_path: Path) -> None:
    scenario, folder = Scenario.load(prepared), RunFolder(tmp_path / "run")
    scenario.copy_to(folder.scenario_folder)
    folder.write(
        RunManifest(
            name="run-1",
            settings=TrainingSettings(flows=600),
            fingerprint=scenario.fingerprint,
            kind=scenario.kind,
        )
    )
    opened = GraphStore.open(folder.graph_folder, GraphSpec.of(scenario))
    flows = scenario.flow_set("train")
    table = InteractionTable.tally(flows.context, np.zeros(len(flows)), flows.actual)
    opened.merge([Keyed(MergeKey("run-1", 0, 0), table)])
    opened.close()

    query = ("graph", "query", folder.path, "--error-prone", 5)
    (answer,) = json.loads(kirl(*query, "--json").stdout)["answers"]

    assert (answer["rule"], answer["verdicts"], answer["right"]) == ("1:7 Cries wolf", 20, 5)
    assert answer["verdict_confidence"] == 6 / 22
    assert answer["confidence"] == (1 + answer["seen"] - answer["wrong"]) / (2 + answer["seen"])
    assert "1:7 Cries wolf" in kirl(*query).stdout


def test_a_policy_is_trained_and_scored_on_alerts(prepared: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    settings = config.load(None, (), {"algo": "linucb", "flows": 2_000})
    begin(run, settings, Scenario.load(prepared))
    train(run)

    card = json.loads(kirl("evaluate", "--run", run.path, "--json").stdout)

    assert card["flows"] == 12
    assert card["average_reward"] > card["bounds"]["predicted_class"]["average_reward"]
    told = refused("evaluate", "--run", run.path, "--data", prepared)
    assert "trained on alerts of an IDS" in told
