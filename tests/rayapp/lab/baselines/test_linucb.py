"""LinUCB plays the highest upper bound, and draws between equal ones."""

from __future__ import annotations

import numpy as np

from envs import FlowSet
from rayapp.lab.baselines.linucb import LinUCB
from rayapp.lab.baselines.ridge import RewardModel
from rayapp.lab.baselines.trainee import Decided
from rayapp.rl.stepping import Slice, action_noise


def bandit(flow_set: FlowSet, alpha: float = 5.0) -> LinUCB:
    return LinUCB(RewardModel(flow_set.contexts.predicted, flow_set.catalogue, 1.0), alpha)


def decided(flow_set: FlowSet, action: int) -> Decided:
    actions = np.full(len(flow_set), action)
    rewards = flow_set.catalogue.rewards[flow_set.actual, actions].astype(np.float64)
    return Decided(flow_set.signature, actions, flow_set.actual, rewards)


def test_it_begins_with_all_actions_alike(flow_set: FlowSet) -> None:
    piece = Slice(0, 3000)

    actions = bandit(flow_set).act(np.zeros(3000, np.int32), piece, action_noise(0, piece))

    assert np.bincount(actions, minlength=15).min() > 120


def test_it_plays_the_highest_bound_and_never_what_has_failed(flow_set: FlowSet) -> None:
    learner = bandit(flow_set)
    failing = 14
    learner.learn(decided(flow_set, failing))
    piece = Slice(0, 200)

    dos = learner.act(np.zeros(200, np.int32), piece, action_noise(0, piece))

    assert failing not in dos
    assert set(dos) <= set(np.flatnonzero(learner.bounds()[0] == learner.bounds()[0].max()))


def test_without_width_it_keeps_to_what_it_knows(flow_set: FlowSet) -> None:
    learner = bandit(flow_set, alpha=0.0)
    learner.learn(decided(flow_set, 0))
    piece = Slice(0, 50)

    actions = learner.act(np.zeros(50, np.int32), piece, action_noise(0, piece))

    assert np.all(actions == 0)
    assert learner.greedy()[0] == 0
