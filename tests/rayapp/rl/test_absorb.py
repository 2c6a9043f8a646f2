"""Interactions that did not come from the stream: taken in by graph and learner, once by key."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from envs import InteractionTable
from rayapp.rl.algorithm import KnowledgeInfused
from rayapp.rl.dqn import KnowledgeDQNConfig
from rayapp.rl.ppo import KnowledgePPOConfig
from tests.rayapp.rl.conftest import BuildSmall

VERDICTS = InteractionTable.tally([0] * 40, [3] * 40, [1] * 40)


def policy_of(algorithm: KnowledgeInfused) -> np.ndarray:
    return algorithm.saved_policy().probabilities(algorithm.scenario.contexts)


def known(algorithm: KnowledgeInfused) -> np.ndarray:
    return algorithm.graph_state().counts.type_action


@pytest.mark.parametrize("config", [KnowledgePPOConfig, KnowledgeDQNConfig])
def test_graph_and_learner_take_them_in(build_small: BuildSmall, config: type) -> None:
    algorithm = build_small(config())
    algorithm.train()
    before, policy = known(algorithm), policy_of(algorithm)

    assert algorithm.absorb(VERDICTS, "verdicts of monday")

    predicted = algorithm.scenario.contexts.traffic[0]
    assert known(algorithm)[predicted, 3, 1] - before[predicted, 3, 1] == 40
    assert known(algorithm).sum() - before.sum() == 40
    assert algorithm.knowledge.counters.seen.sum() == known(algorithm).sum()
    assert not np.array_equal(policy_of(algorithm), policy)
    # The stream is where it was.
    assert algorithm.flows == 600


def test_the_same_key_counts_once(build_small: BuildSmall) -> None:
    algorithm = build_small(KnowledgePPOConfig())
    assert algorithm.absorb(VERDICTS, "monday")
    counts, policy = known(algorithm), policy_of(algorithm)

    assert not algorithm.absorb(VERDICTS, "monday")

    assert np.array_equal(known(algorithm), counts)
    assert np.array_equal(policy_of(algorithm), policy)
    assert algorithm.absorb(VERDICTS, "tuesday")
    assert known(algorithm).sum() == 80


def test_other_interactions_under_a_known_key_are_refused(build_small: BuildSmall) -> None:
    algorithm = build_small(KnowledgePPOConfig())
    algorithm.absorb(VERDICTS, "monday")

    with pytest.raises(ValueError, match="other interactions were absorbed under the key 'monday'"):
        algorithm.absorb(InteractionTable.tally([1], [0], [0]), "monday")

    assert known(algorithm).sum() == 40


def test_a_table_of_another_scenario_is_refused_and_training_goes_on(
    build_small: BuildSmall,
) -> None:
    algorithm = build_small(KnowledgePPOConfig())

    with pytest.raises(ValueError, match="context must be in 0"):
        algorithm.absorb(InteractionTable.tally([10_000], [0], [0]), "strange")

    algorithm.train()
    assert known(algorithm).sum() == 600


def test_a_checkpoint_holds_what_was_absorbed_and_rolls_back_what_came_later(
    build_small: BuildSmall, tmp_path: Path
) -> None:
    first = build_small(KnowledgePPOConfig())
    first.train()
    first.absorb(VERDICTS, "monday")
    first.save_to_path(str(tmp_path / "checkpoint"))
    first.absorb(VERDICTS, "tuesday")
    first.train()

    second = build_small(KnowledgePPOConfig())
    second.restore_from_path(str(tmp_path / "checkpoint"))

    assert known(second).sum() == 640
    assert not second.absorb(VERDICTS, "monday")
    # What the checkpoint does not hold may be given again, and then counts once.
    assert second.absorb(VERDICTS, "tuesday")
    second.train()
    assert np.array_equal(known(second), known(first))
    assert np.array_equal(policy_of(second), policy_of(first))
