"""Draws from the posterior: spread while little is known, and settled by flows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from envs import BetaPrior, Catalogue, FlowSet
from rayapp.lab.baselines.ridge import RewardModel
from rayapp.lab.baselines.thompson import ClassThompson, RewardThompson
from rayapp.lab.baselines.trainee import Decided
from rayapp.rl.stepping import Slice

PAPER = Catalogue.named("paper")

UNUSED = np.zeros(0)


def decided(signature: int, action: int, actual: str, flows: int) -> Decided:
    kind = PAPER.class_index(actual)
    reward = float(PAPER.rewards[kind, action])
    return Decided(
        np.full(flows, signature, np.int32),
        np.full(flows, action),
        np.full(flows, kind, np.int8),
        np.full(flows, reward),
    )


def by_reward(flow_set: FlowSet) -> RewardThompson:
    return RewardThompson(RewardModel(flow_set.contexts.predicted, PAPER, 1.0), 5.0, seed=1)


def by_class(flow_set: FlowSet) -> ClassThompson:
    return ClassThompson(flow_set.contexts.predicted, PAPER, BetaPrior(), seed=1)


def test_every_flow_draws_for_itself(flow_set: FlowSet) -> None:
    actions = by_reward(flow_set).act(np.zeros(3000, np.int32), Slice(0, 3000), UNUSED)

    assert np.bincount(actions, minlength=15).min() > 120


@pytest.mark.parametrize("make", [by_reward, by_class])
def test_draws_follow_from_the_seed_and_the_place_alone(
    make: Callable[[FlowSet], RewardThompson | ClassThompson], flow_set: FlowSet
) -> None:
    signature = np.zeros(500, np.int32)

    first, again = (make(flow_set).act(signature, Slice(1000, 500), UNUSED) for _ in range(2))
    elsewhere = make(flow_set).act(signature, Slice(1500, 500), UNUSED)

    assert np.array_equal(first, again)
    assert not np.array_equal(first, elsewhere)


def test_many_flows_settle_it(flow_set: FlowSet) -> None:
    learner = by_reward(flow_set)
    for action in range(15):
        learner.learn(decided(0, action, "DoS", 2000))

    actions = learner.act(np.zeros(1000, np.int32), Slice(0, 1000), UNUSED)

    assert (actions == PAPER.best_actions[PAPER.class_index("DoS")]).mean() > 0.99


def test_the_rewards_posterior_has_the_width_it_should(flow_set: FlowSet) -> None:
    rewards = RewardModel(flow_set.contexts.predicted, PAPER, 1.0)
    learner = RewardThompson(rewards, 5.0, seed=1)
    learner.learn(decided(0, 0, "DoS", 3))
    learner.learn(decided(0, 1, "DoS", 3))
    for action in range(2, 15):
        learner.learn(decided(0, action, "DoS", 100_000))

    actions = learner.act(np.zeros(100_000, np.int32), Slice(0, 100_000), UNUSED)

    mean, variance = rewards.posterior()
    rng = np.random.default_rng(0)
    drawn = rng.normal(mean[0], 5.0 * np.sqrt(variance[0]), (100_000, 15)).argmax(axis=1)
    expected = np.bincount(drawn, minlength=15) / 100_000
    assert np.bincount(actions, minlength=15) / 100_000 == pytest.approx(expected, abs=0.01)


def test_the_classes_posterior_knows_rewards_without_trying(flow_set: FlowSet) -> None:
    learner = by_class(flow_set)
    assert learner.greedy()[1] == PAPER.best_actions[PAPER.class_index("Benign")]

    # 'No Action' was played throughout; the class alone tells what is better.
    learner.learn(decided(1, 14, "SSH-Patator", 50))

    assert learner.greedy()[1] == PAPER.best_actions[PAPER.class_index("SSH-Patator")]


def test_an_even_prior_trusts_a_new_signature_half_the_time(flow_set: FlowSet) -> None:
    actions = by_class(flow_set).act(np.full(20_000, 1, np.int32), Slice(0, 20_000), UNUSED)

    # Beta(1, 1) is uniform: 'No Action' is best from a share of about one half on.
    assert 0.4 < (actions == PAPER.best_actions[PAPER.class_index("Benign")]).mean() < 0.6
