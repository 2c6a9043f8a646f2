"""A run's figures as DataFrames: columns, types, and the figures that commands print."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from envs import InputError, InteractionTable, Scenario
from kg_actor import GraphSpec, Keyed, MergeKey, to_networkx
from kg_actor.store import GraphStore
from rayapp import Run, config
from rayapp.commands.evaluate import scorecard
from rayapp.runs.folder import RunFolder, begin
from rayapp.runs.training import train


@pytest.fixture(scope="module")
def run(scenario: Scenario, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "run")
    given = ("learning.flows_per_iteration=400", "learning.flows_per_update=50")
    begin(folder, config.load(None, given, {"algo": "linucb", "flows": 1_000}), scenario)
    train(folder)
    return Run(folder.path)


def test_the_scorecard_is_that_of_kirl_evaluate(run: Run) -> None:
    card, told = run.scorecard(), scorecard(run.folder)

    assert dict(card.dtypes.drop("class").astype(str)) == {
        "flows": "int64",
        "reward": "float64",
        "by_class": "float64",
        "by_signature": "float64",
    }
    assert dict(zip(card["class"], card.reward, strict=True)) == told.score.per_class
    average = (card.reward * card.flows).sum() / card.flows.sum()
    assert average == pytest.approx(told.score.average_reward, abs=1e-12)
    assert card.reward.mean() == pytest.approx(told.score.class_mean_reward, abs=1e-12)
    assert run.policy().actions(run.scenario().signatures.predicted).ndim == 1


def test_progress_has_a_row_for_every_iteration(run: Run) -> None:
    progress = run.progress()

    assert list(progress.flows) == [400, 800, 1_000]
    assert list(progress.average_reward) == [line.average_reward for line in run.folder.progress()]
    for column in ("iteration", "flows", "graph_version", "prompts_asked", "advice_age"):
        assert progress[column].dtype == np.int64
    for column in ("seconds", "average_reward", "class_reward.Benign", "learner.explored"):
        assert progress[column].dtype == np.float64


def test_the_edges_are_those_of_the_networkx_graph(scenario: Scenario, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    begin(folder, config.TrainingSettings(flows=10), scenario)
    signature, actual = scenario.train
    table = InteractionTable.tally(signature, actual, actual)
    store = GraphStore.open(folder.graph_folder, GraphSpec.of(scenario))
    store.merge([Keyed(MergeKey("run", 1, 0), table)])
    store.close()

    edges = Run(tmp_path / "run").graph_edges()

    view = to_networkx(folder.graph())
    expected = {
        (data["kind"], source, target, data.get("signature"), data["evidence"])
        for source, target, data in view.edges(data=True)
        if data["kind"] != "predicts"
    }
    found = edges[edges.kind != "predicts"]
    numbers = [None if pd.isna(number) else int(number) for number in found.signature]
    assert expected == set(
        zip(found.kind, found.source, found.target, numbers, found.evidence, strict=True)
    )
    assert len(edges) == view.number_of_edges()
    predicts = edges[edges.kind == "predicts"]
    assert predicts.evidence.sum() == len(signature)
    assert list(predicts.source) == [f"signature:{number}" for number in predicts.signature]
    means = edges.loc[edges.kind == "earned", "mean_reward"]
    assert means.notna().all()
    assert edges.loc[edges.kind != "earned", "mean_reward"].isna().all()
    assert edges.signature.dtype == "Int64"


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no run\.json"):
        Run(tmp_path)


def test_the_package_alone_is_light() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import sys, rayapp; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"pandas", "torch", "ray", "pydantic"} & set(told.stdout.split())
