"""Training where flows are met in contexts: what holds for signatures holds here, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from envs import Scenario
from envs.stream import FlowStream
from kg_actor import GraphCounts
from rayapp.rl.ppo import KnowledgePPO, KnowledgePPOConfig
from rayapp.rl.saved_policy import SavedPolicy

FLOWS = 1_800


def built(scenario: Scenario, runners: int = 0) -> KnowledgePPO:
    config = (
        KnowledgePPOConfig()
        .scenario(scenario.path, hidden=(16,), embedding_dim=4)
        .knowledge(total_env_steps=FLOWS)
        .training(train_batch_size_per_learner=600, num_epochs=2, lr=3e-3)
        .env_runners(num_env_runners=runners, num_cpus_per_env_runner=0.1)
        .fault_tolerance(restart_failed_env_runners=True)
        .debugging(seed=0, log_level="ERROR")
    )
    algorithm: KnowledgePPO = config.build_algo()
    return algorithm


def counts_of(algorithm: KnowledgePPO) -> GraphCounts:
    return algorithm.graph_state().counts


@pytest.fixture(scope="module")
def finished(
    ray_local: Any,  # noqa: ANN401
    opinion_scenario: Scenario,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, SavedPolicy, GraphCounts]:
    """A checkpoint after 600 flows, and the policy and the graph in the end."""
    checkpoint = tmp_path_factory.mktemp("contexts") / "checkpoint"
    algorithm = built(opinion_scenario)
    algorithm.train()
    algorithm.save_to_path(str(checkpoint))
    while algorithm.flows < FLOWS:
        algorithm.train()
    policy, counts = algorithm.saved_policy(), counts_of(algorithm)
    algorithm.stop()
    assert isinstance(policy, SavedPolicy)
    return checkpoint, policy, counts


def test_the_graph_counts_every_flow_in_its_context(
    finished: tuple[Path, SavedPolicy, GraphCounts], opinion_scenario: Scenario
) -> None:
    """Known beforehand, whatever was done about the flows."""
    _, policy, counts = finished
    flows = opinion_scenario.flow_set("train", matching="cross-fitted")
    met = FlowStream(len(flows), 0).take(0, FLOWS)

    wanted = np.zeros_like(counts.context_actual)
    np.add.at(wanted, (flows.context[met], flows.actual[met]), 1)

    assert np.array_equal(counts.context_actual, wanted)
    by_signature = np.zeros_like(counts.signature_actual)
    np.add.at(by_signature, (flows.signature[met], flows.actual[met]), 1)
    assert np.array_equal(counts.signature_actual, by_signature)
    assert np.array_equal(policy.counters.seen, by_signature.sum(axis=1))


def test_a_run_resumed_with_runners_of_which_one_dies_ends_as_if_nothing_had_happened(
    finished: tuple[Path, SavedPolicy, GraphCounts], opinion_scenario: Scenario
) -> None:
    checkpoint, policy, counts = finished
    algorithm = built(opinion_scenario, runners=2)
    try:
        algorithm.restore_from_path(str(checkpoint))
        algorithm.train()
        group = algorithm.env_runner_group
        victim = group.healthy_env_runner_ids()[0]
        ray.kill(group._worker_manager.actors()[victim], no_restart=False)
        algorithm.train()

        assert algorithm.flows == FLOWS
        assert counts_of(algorithm).equals(counts)
        contexts = opinion_scenario.contexts
        again = algorithm.saved_policy().probabilities(contexts)
        assert np.array_equal(again, policy.probabilities(contexts))
    finally:
        algorithm.stop()


def test_the_policy_tells_contexts_of_one_signature_apart(
    finished: tuple[Path, SavedPolicy, GraphCounts], opinion_scenario: Scenario
) -> None:
    _, policy, _ = finished
    contexts = opinion_scenario.contexts
    often = int(np.bincount(contexts.signature).argmax())

    probabilities = policy.probabilities(contexts)[contexts.signature == often]

    assert len(probabilities) > 1
    assert len(np.unique(probabilities, axis=0)) == len(probabilities)
    assert policy.spec.opinion
