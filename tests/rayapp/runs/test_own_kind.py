"""Flows that a Python program made itself, of a kind that no registry knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from envs import Catalogue, Flows, Scenario
from envs.flows import Provenance
from rayapp import config
from rayapp.commands.evaluate import scorecard
from rayapp.runs import graphs
from rayapp.runs.folder import RunFolder, begin
from rayapp.runs.training import train


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    rng = np.random.default_rng(0)
    actual = np.repeat(np.array([0, 2], np.int8), 60)
    features = rng.normal(actual[:, None], 1.5, (120, 3)).astype(np.float32)
    flows = Flows(
        features, actual, Provenance("mynet", {"by": "me"}, 120), Catalogue.named("paper")
    )
    return Scenario.prepare(flows, tmp_path / "scenario")


def test_they_are_prepared_trained_and_evaluated(scenario: Scenario, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    settings = config.load(None, (), {"algo": "linucb", "flows": 2_000})

    begin(run, settings, scenario)
    train(run)

    assert run.manifest().kind == run.scenario().kind == "mynet"
    assert not run.scenario().synthetic
    assert "feature " in " ".join(run.scenario().signatures.rule)
    assert scorecard(run).score.average_reward > 0


def test_their_graph_says_what_they_are(scenario: Scenario, tmp_path: Path) -> None:
    graphs.create(tmp_path / "graph", scenario)

    found = graphs.find(str(tmp_path / "graph"))

    assert (found.spec.kind, found.spec.synthetic, found.note) == ("mynet", False, None)
