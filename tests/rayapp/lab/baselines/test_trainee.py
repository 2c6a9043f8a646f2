"""All bandits on one scenario: what they learn, repeat, resume, and the commands around them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from envs import FlowSet, Scenario
from envs.score import evaluate
from rayapp import config
from rayapp.lab.baselines.trainee import BanditTrainee
from rayapp.runs.folder import RunFolder, begin
from tests.kirl import kirl

SYSTEMS = (
    ("linucb",),
    ("thompson",),
    ("thompson", "learning.posterior=class"),
)
# A last iteration, and a last update in each, that are shorter than the others.
SIZES = ("learning.flows_per_iteration=700", "learning.flows_per_update=64")
FLOWS = 15_000


Make = Callable[..., BanditTrainee]


@pytest.fixture
def make(scenario: Scenario, tmp_path: Path) -> Make:
    """Begins a run in a folder of its own, and makes its trainee."""

    def begun(system: tuple[str, ...], seed: int = 3) -> BanditTrainee:
        algo, *sets = system
        options = {"algo": algo, "flows": FLOWS, "seed": seed}
        settings = config.load(None, [*SIZES, *sets], options)
        folder = RunFolder(tmp_path / f"run-{len(list(tmp_path.iterdir()))}")
        trainee = settings.algorithm.trainee(begin(folder, settings, scenario), folder)
        assert isinstance(trainee, BanditTrainee)
        return trainee

    return begun


def finish(trainee: BanditTrainee) -> BanditTrainee:
    while trainee.flows < FLOWS:
        trainee.train()
    return trainee


def met(scenario: Scenario) -> FlowSet:
    return scenario.flow_set("train", matching="cross-fitted")


@pytest.mark.parametrize("system", SYSTEMS)
def test_it_learns_to_near_the_bound(
    make: Make, scenario: Scenario, system: tuple[str, ...]
) -> None:
    trainee = finish(make(system))

    flows = met(scenario)
    card = evaluate(trainee.saved_policy().actions(flows.contexts), flows)
    assert card.score.average_reward > card.signature_oracle.average_reward - 0.1
    assert trainee.summary is not None
    assert trainee.summary.flows == FLOWS
    assert 0 <= trainee.summary.results["explored"] < 0.5


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_same_seed_gives_the_same_policy(make: Make, system: tuple[str, ...]) -> None:
    one, same, other = (finish(make(system, seed)) for seed in (3, 3, 4))

    assert np.array_equal(one.saved_policy().table, same.saved_policy().table)
    assert one.summary == same.summary
    assert one.summary != other.summary


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_resumed_training_ends_as_an_uninterrupted_one(
    make: Make, system: tuple[str, ...], tmp_path: Path
) -> None:
    whole, first, second = (make(system) for _ in range(3))
    for _ in range(3):
        first.train()
    first.save_to_path(str(tmp_path / "checkpoint"))
    first.stop()

    second.restore_from_path(str(tmp_path / "checkpoint"))

    finish(whole)
    finish(second)
    assert second.training_iteration == whole.training_iteration
    assert second.summary == whole.summary
    assert np.array_equal(second.saved_policy().table, whole.saved_policy().table)
    assert np.array_equal(second.counters.seen, whole.counters.seen)
    assert np.array_equal(second.counters.correct, whole.counters.correct)
    ours, theirs = second._bandit.state(), whole._bandit.state()
    for name, value in theirs.items():
        assert np.array_equal(ours[name].numpy(), value.numpy())


def test_the_counters_count_every_flow(make: Make, scenario: Scenario) -> None:
    trainee = finish(make(("linucb",)))

    flows = met(scenario)
    signature = flows.signature
    assert trainee.counters.seen.sum() == FLOWS
    assert set(np.flatnonzero(trainee.counters.seen)) <= set(signature.tolist())
    assert 0 < trainee.counters.correct.sum() < FLOWS


def test_the_command_trains_and_evaluates_one(scenario: Scenario, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ("train", "--scenario", str(scenario.path), "--out", str(out), "--algo", "linucb")
    words += ("--flows", "20000", "--set", "learning.flows_per_update=100", "--json")

    trained = kirl(*words)

    assert trained.returncode == 0, trained.stderr
    assert json.loads(trained.stdout)["flows_trained"] == 20_000
    assert "Ray" not in trained.stderr
    scored = kirl("evaluate", "--run", str(out), "--json")
    assert scored.returncode == 0, scored.stderr
    assert json.loads(scored.stdout)["average_reward"] > 0
    assert [line.flows for line in RunFolder(out).progress()] == [20_000]
    assert not list(out.rglob("*.pkl"))
    assert "complete already" in kirl(*words).stderr
