"""Late feedback and drift in the algorithm: nothing lost, nothing early, resumable."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs import PAPER, Scenario
from envs.drift import Drift
from rayapp.rl.ppo import KnowledgePPO, KnowledgePPOConfig

Build = Callable[..., KnowledgePPO]

FLOWS = 300


@pytest.fixture
def build(ray_local: Any, scenario: Scenario, tmp_path: Path) -> Iterator[Build]:  # noqa: ANN401
    with contextlib.ExitStack() as stack:

        def built(delay: int = 0, drift: Drift | None = None, name: str = "online") -> KnowledgePPO:
            algorithm: KnowledgePPO = (
                KnowledgePPOConfig()
                .scenario(scenario.path, hidden=(16,), embedding_dim=4, matching="fitted")
                .knowledge(total_env_steps=10 * FLOWS, run_name=name, graph_folder=tmp_path / name)
                .online(feedback_delay=delay, drift=drift)
                .training(train_batch_size_per_learner=FLOWS, num_epochs=2)
                .debugging(seed=1, log_level="ERROR")
                .build_algo()
            )
            stack.callback(algorithm.stop)
            return algorithm

        yield built


def known(algorithm: KnowledgePPO) -> int:
    return int(algorithm.graph_state().counts.signature_actual.sum())


def test_feedback_comes_when_as_many_flows_were_decided_as_it_is_late(build: Build) -> None:
    algorithm = build(delay=2 * FLOWS)
    weights = algorithm.saved_policy().probabilities(algorithm.scenario.contexts)
    heard = []
    for _ in range(4):
        algorithm.train()
        heard.append((algorithm.flows, known(algorithm)))

    assert heard == [(300, 0), (600, 0), (900, 300), (1200, 600)]
    after = algorithm.saved_policy().probabilities(algorithm.scenario.contexts)
    assert not np.allclose(weights, after)


def test_until_feedback_comes_nothing_is_learnt(build: Build) -> None:
    algorithm = build(delay=2 * FLOWS)
    contexts = algorithm.scenario.contexts
    before = algorithm.saved_policy().probabilities(contexts)

    algorithm.train()
    algorithm.train()

    assert np.array_equal(before, algorithm.saved_policy().probabilities(contexts))


def test_after_the_drift_the_graph_meets_the_changed_traffic(build: Build) -> None:
    dos, web = PAPER.class_index("DoS"), PAPER.class_index("Web")
    algorithm = build(drift=Drift(2 * FLOWS + 100, "Web", traffic="DoS"))
    seen = []
    for _ in range(5):
        algorithm.train()
        counts = algorithm.graph_state().counts.signature_actual.sum(axis=0)
        seen.append((algorithm.flows, int(counts[dos]), int(counts[web])))

    # The iteration before the drift is cut short, so that none goes across it.
    assert [flows for flows, *_ in seen] == [300, 600, 700, 1000, 1300]
    assert seen[2][1] == seen[4][1] > seen[1][1] > 0
    assert seen[4][2] - seen[2][2] > 100


def test_what_waits_for_feedback_survives_a_checkpoint(build: Build, tmp_path: Path) -> None:
    drift = Drift(3 * FLOWS, "Benign", signature=0)
    whole, halted = build(FLOWS, drift, "whole"), build(FLOWS, drift, "halted")
    for _ in range(6):
        whole.train()
    for _ in range(3):
        halted.train()
    halted.save_to_path(str(tmp_path / "checkpoint"))
    halted.train()

    halted.restore_from_path(str(tmp_path / "checkpoint"))
    for _ in range(3):
        halted.train()

    contexts = whole.scenario.contexts
    one, other = (a.saved_policy().probabilities(contexts) for a in (whole, halted))
    assert np.array_equal(one, other)
    assert halted.graph_state().counts.equals(whole.graph_state().counts)
    assert known(halted) == 5 * FLOWS
