"""Trainings whose graph actors are killed: nothing is lost, nothing doubled, nobody notices."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs import InteractionTable, Scenario
from kg_actor import KnowledgeGraph, MergeKey, store
from rayapp.rl.ppo import KnowledgePPO, KnowledgePPOConfig

FLOWS = 400
"""Per iteration."""


@pytest.fixture
def algorithm(
    ray_local: Any,  # noqa: ANN401
    scenario: Scenario,
    tmp_path: Path,
) -> Iterator[KnowledgePPO]:
    built = (
        KnowledgePPOConfig()
        .scenario(scenario.path, hidden=(16,), embedding_dim=4)
        .knowledge(run_name=f"hurt-{tmp_path.name}", graph_folder=tmp_path / "graph")
        .training(train_batch_size_per_learner=FLOWS, num_epochs=1)
        .debugging(seed=0, log_level="ERROR")
        .build_algo()
    )
    yield built
    built.stop()


@contextlib.contextmanager
def killing(algorithm: KnowledgePPO, kills: int, seed: int) -> Iterator[list[int]]:
    """Kills processes of the graph again and again, at moments that follow from the seed."""
    rng, killed = np.random.default_rng(seed), list[int]()

    def kill() -> None:
        while len(killed) < kills:
            process = algorithm.memory.graph.process()
            time.sleep(float(rng.uniform(0, 0.4)))
            os.kill(process, signal.SIGKILL)
            killed.append(process)

    thread = threading.Thread(target=kill)
    thread.start()
    yield killed
    thread.join()


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_kills_lose_and_double_nothing(
    algorithm: KnowledgePPO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: int
) -> None:
    learnt: list[InteractionTable] = []
    update = algorithm._update
    monkeypatch.setattr(
        algorithm, "_update", lambda sampled: (learnt.append(sampled.table), update(sampled))[1]
    )

    with killing(algorithm, kills, seed=kills) as killed:
        while len(killed) < kills:
            algorithm.train()
    algorithm.train()

    # Counted apart from the graph, from what the learner was given.
    expected = KnowledgeGraph(algorithm.scenario.signatures.predicted, algorithm.scenario.catalogue)
    expected.merge(InteractionTable.total(learnt), MergeKey("count", 0, 0))
    assert len(set(killed)) == kills
    assert algorithm.flows == FLOWS * len(learnt)
    assert algorithm.graph_state().counts.equals(expected.counts())
    assert store.read(tmp_path / "graph")[0].counts().equals(expected.counts())


def test_a_killed_graph_changes_neither_policy_nor_graph(
    algorithm: KnowledgePPO, scenario: Scenario, tmp_path: Path
) -> None:
    unhurt = (
        KnowledgePPOConfig()
        .scenario(scenario.path, hidden=(16,), embedding_dim=4)
        .knowledge(graph_folder=tmp_path / "unhurt")
        .training(train_batch_size_per_learner=FLOWS, num_epochs=1)
        .debugging(seed=0, log_level="ERROR")
        .build_algo()
    )
    for iteration in range(6):
        unhurt.train()
        if iteration in (1, 3):
            os.kill(algorithm.memory.graph.process(), signal.SIGKILL)
        algorithm.train()

    contexts = scenario.contexts
    policies = [each.saved_policy().probabilities(contexts) for each in (algorithm, unhurt)]
    assert np.array_equal(*policies)
    counts = algorithm.graph_state().counts
    assert counts.equals(unhurt.graph_state().counts)
    assert counts.version == unhurt.graph_state().counts.version
    unhurt.stop()
