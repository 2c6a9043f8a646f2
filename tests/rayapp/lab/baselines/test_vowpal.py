"""Vowpal Wabbit, where it is installed; and what is said where it is not."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from envs import FlowSet, InputError, Scenario
from rayapp.config import TrainingSettings
from rayapp.lab.baselines.trainee import Decided
from rayapp.lab.baselines.vowpal import VowpalWabbit
from rayapp.rl.env_runner import Slice, action_noise
from rayapp.runs.folder import RunFolder, begin


def bandit(flow_set: FlowSet) -> VowpalWabbit:
    pytest.importorskip("vowpalwabbit")
    return VowpalWabbit(
        flow_set.contexts.predicted, flow_set.catalogue, learning_rate=0.5, epsilon=0.1, seed=0
    )


def step(learner: VowpalWabbit, flow_set: FlowSet, flows: int, start: int = 0) -> np.ndarray:
    rows = np.arange(start, start + flows) % len(flow_set)
    piece = Slice(start, flows)
    actions = learner.act(flow_set.signature[rows], piece, action_noise(0, piece))
    actual = flow_set.actual[rows]
    rewards = flow_set.catalogue.rewards[actual, actions].astype(np.float64)
    learner.learn(Decided(flow_set.signature[rows], actions, actual, rewards))
    return actions


def test_it_learns_the_best_action_of_a_pure_signature(flow_set: FlowSet) -> None:
    learner = bandit(flow_set)
    for part in range(20):
        step(learner, flow_set, 200, 200 * part)

    assert learner.greedy()[0] == flow_set.catalogue.best_actions[flow_set.contexts.predicted[0]]
    learner.close()


def test_a_restored_one_goes_on_exactly(flow_set: FlowSet) -> None:
    learner, restored = bandit(flow_set), bandit(flow_set)
    step(learner, flow_set, 500)

    restored.set_state(learner.state())

    for part in range(5):
        first = step(learner, flow_set, 100, 500 + 100 * part)
        assert np.array_equal(first, step(restored, flow_set, 100, 500 + 100 * part))
    learner.close()
    restored.close()


def test_a_missing_package_is_named_before_anything_is_written(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vowpalwabbit", None)

    with pytest.raises(InputError, match="Vowpal Wabbit is not installed"):
        begin(RunFolder(tmp_path / "run"), TrainingSettings(algo="vw"), scenario)

    assert not (tmp_path / "run").exists()
