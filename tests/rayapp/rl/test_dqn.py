"""Off-policy learning on a real Ray: what it remembers, what it acts with, what it leaves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from envs import InteractionTable, Scenario, observe
from rayapp.rl.dqn import KnowledgeDQN, KnowledgeDQNConfig
from rayapp.rl.saved_policy import load_policy

PolicyAfter = Callable[[Any], np.ndarray]


@pytest.fixture
def build(build_small: Callable[..., Any]) -> Callable[..., KnowledgeDQN]:
    def small(**settings: Any) -> KnowledgeDQN:  # noqa: ANN401
        # Three of five iterations fit into its memory.
        return build_small(KnowledgeDQNConfig(), **{"replay_tables": 3, **settings})

    return small


@pytest.mark.slow
def test_the_seed_decides_the_policy_whoever_steps(
    build: Callable[..., KnowledgeDQN], policy_after: PolicyAfter
) -> None:
    first, again, other = (
        policy_after(build(runners=runners, seed=seed))
        for runners, seed in ((0, 0), (2, 0), (0, 1))
    )

    assert np.array_equal(again, first)
    assert not np.array_equal(other, first)


@pytest.mark.parametrize("minibatch", [None, pytest.param(16, marks=pytest.mark.slow)])
def test_a_resumed_training_is_the_uninterrupted_one(
    build: Callable[..., KnowledgeDQN],
    policy_after: PolicyAfter,
    tmp_path: Path,
    minibatch: int | None,
) -> None:
    whole, first, second = (build(minibatch_size=minibatch) for _ in range(3))
    for _ in range(3):
        first.train()
    first.save_to_path(str(tmp_path / "checkpoint"))
    second.restore_from_path(str(tmp_path / "checkpoint"))

    assert second.replay.total() == first.replay.total()
    assert second.replay.total().flows == 1_800
    assert np.array_equal(policy_after(second), policy_after(whole))


def test_it_learns_from_older_interactions_that_the_graph_counts_once(
    build: Callable[..., KnowledgeDQN], monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm = build()
    learnt: list[InteractionTable] = []
    remember = algorithm._learnt_from
    monkeypatch.setattr(
        algorithm, "_learnt_from", lambda table: (learnt.append(remember(table)), learnt[-1])[1]
    )
    for _ in range(4):
        algorithm.train()

    assert [table.flows for table in learnt] == [600, 1_200, 1_800, 1_800]
    assert algorithm.graph_state().counts.type_action.sum() == 2_400


def test_the_saved_policy_is_softmax_of_q(
    build: Callable[..., KnowledgeDQN], tmp_path: Path
) -> None:
    algorithm = build(temperature=0.5)
    algorithm.train()
    algorithm.saved_policy().save(tmp_path / "policy")
    contexts = algorithm.scenario.contexts

    policy = load_policy(tmp_path / "policy", algorithm.scenario.fingerprint)

    known = algorithm.knowledge
    everything = np.arange(len(contexts))
    observed = observe(everything, contexts, known.counters, known.suggestion)
    module = algorithm.env_runner_group.local_env_runner.module
    module.set_state(algorithm._updater.weights())
    with torch.no_grad():
        values = module.compute_q_values({"obs": torch.from_numpy(observed)})["qf_preds"]
    softmax = torch.softmax(values.double() / 0.5, dim=-1).numpy()
    assert np.allclose(policy.probabilities(contexts), softmax, atol=1e-6)
    assert np.array_equal(policy.actions(contexts), values.numpy().argmax(axis=1))


@pytest.mark.parametrize("infuse", [True, False])
def test_it_learns(
    build: Callable[..., KnowledgeDQN],
    policy_after: PolicyAfter,
    class_gap: Callable[[np.ndarray], float],
    infuse: bool,
) -> None:
    algorithm = build(infuse=infuse, flows=24_000, num_epochs=8, replay_tables=64)

    assert class_gap(policy_after(algorithm)) < 0.01
    assert algorithm.summary is not None
    assert (algorithm.summary.results["reference_kl"] > 0) == infuse


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"temperature": 0.0}, "above 0"),
        ({"replay_tables": 0}, "at least 1"),
        ({"double_q": True}, "nothing to bootstrap"),
        ({"n_step": 3}, "nothing to bootstrap"),
        ({"epsilon": [(0, 1.0), (1000, 0.1)]}, "softmax"),
        ({"num_atoms": 51}, "one expected reward"),
    ],
)
def test_what_it_would_ignore_is_refused(
    scenario: Scenario, settings: dict[str, Any], reason: str
) -> None:
    config = KnowledgeDQNConfig().scenario(scenario.path).training(**settings)

    with pytest.raises(ValueError, match=reason):
        config.validate()
