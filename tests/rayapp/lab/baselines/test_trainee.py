"""All bandits on one scenario: what they learn, repeat, resume, and the commands around them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from envs import FlowSet, Scenario
from envs.score import evaluate
from rayapp import config
from rayapp.lab.baselines.selection import bandit_trainee
from rayapp.lab.baselines.trainee import BanditTrainee
from rayapp.runs.folder import RunFolder

SYSTEMS = (
    ("linucb",),
    ("thompson",),
    ("thompson", "bandit.posterior=class"),
)
# A last iteration, and a last update in each, that are shorter than the others.
SIZES = ("ppo.flows_per_iteration=700", "bandit.flows_per_update=64")
FLOWS = 15_000


def make(scenario: Scenario, system: tuple[str, ...], seed: int = 3) -> BanditTrainee:
    algo, *sets = system
    options = {"algo": algo, "flows": FLOWS, "seed": seed}
    return bandit_trainee(config.load(None, [*SIZES, *sets], options), scenario)


def finish(trainee: BanditTrainee) -> BanditTrainee:
    while trainee.flows < FLOWS:
        trainee.train()
    return trainee


def met(scenario: Scenario) -> FlowSet:
    return scenario.flow_set("train", matching="cross-fitted")


@pytest.mark.parametrize("system", SYSTEMS)
def test_it_learns_to_near_the_bound(scenario: Scenario, system: tuple[str, ...]) -> None:
    trainee = finish(make(scenario, system))

    flows = met(scenario)
    card = evaluate(trainee.saved_policy().actions(flows.contexts), flows)
    assert card.score.average_reward > card.signature_oracle.average_reward - 0.1
    assert trainee.summary is not None
    assert trainee.summary.flows == FLOWS
    assert 0 <= trainee.summary.results["explored"] < 0.5


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_same_seed_gives_the_same_policy(scenario: Scenario, system: tuple[str, ...]) -> None:
    one, same, other = (finish(make(scenario, system, seed)) for seed in (3, 3, 4))

    assert np.array_equal(one.saved_policy().table, same.saved_policy().table)
    assert one.summary == same.summary
    assert one.summary != other.summary


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_resumed_training_ends_as_an_uninterrupted_one(
    scenario: Scenario, system: tuple[str, ...], tmp_path: Path
) -> None:
    whole, first, second = (make(scenario, system) for _ in range(3))
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


def test_the_counters_count_every_flow(scenario: Scenario) -> None:
    trainee = finish(make(scenario, ("linucb",)))

    flows = met(scenario)
    signature = flows.signature
    assert trainee.counters.seen.sum() == FLOWS
    assert set(np.flatnonzero(trainee.counters.seen)) <= set(signature.tolist())
    assert 0 < trainee.counters.correct.sum() < FLOWS


def kirl(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rayapp", *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_command_trains_and_evaluates_one(scenario: Scenario, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ("train", "--scenario", str(scenario.path), "--out", str(out), "--algo", "linucb")
    words += ("--flows", "20000", "--set", "bandit.flows_per_update=100", "--json")

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
