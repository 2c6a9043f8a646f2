"""Which of two policies earns more on the same flows, and whether by more than chance."""

from __future__ import annotations

import numpy as np
import pytest

from envs import FlowSet
from rayapp.lab.tuning.outcome import Gain, Tried, gain


def test_the_gain_is_the_mean_difference_over_flows(flow_set: FlowSet) -> None:
    best = flow_set.catalogue.best_actions[flow_set.contexts.predicted]
    worse = best.copy()
    worse[0] = flow_set.catalogue.rewards[flow_set.catalogue.class_index("DoS")].argmin()

    found = gain(best, worse, flow_set, len(flow_set), "average")

    # Three of ten flows earn 5 instead of -5.
    assert found.mean == pytest.approx(3.0)
    assert found.error == pytest.approx(np.std([10] * 3 + [0] * 7, ddof=1) / np.sqrt(10))
    assert found.beyond_chance


def test_every_class_counts_alike_where_that_is_asked(flow_set: FlowSet) -> None:
    best = flow_set.catalogue.best_actions[flow_set.contexts.predicted]
    worse = best.copy()
    worse[0] = flow_set.catalogue.rewards[flow_set.catalogue.class_index("DoS")].argmin()

    found = gain(best, worse, flow_set, len(flow_set), "class-mean")

    # One of five classes loses all, and each of its flows the same.
    assert found.mean == pytest.approx(10 / 5)
    assert found.error == 0.0


def test_draws_of_the_same_flows_are_no_more_evidence(flow_set: FlowSet) -> None:
    four = FlowSet(
        np.tile(flow_set.context, 4),
        np.tile(flow_set.actual, 4),
        flow_set.contexts,
        flow_set.catalogue,
    )
    best = flow_set.catalogue.best_actions[flow_set.contexts.predicted]
    other = np.zeros_like(best)

    once = gain(best, other, flow_set, len(flow_set), "average")
    often = gain(best, other, four, len(flow_set), "average")

    assert (often.mean, often.error) == pytest.approx((once.mean, once.error))


def test_equal_policies_gain_nothing(flow_set: FlowSet) -> None:
    policy = np.zeros(len(flow_set.contexts.predicted), np.int64)

    found = gain(policy, policy, flow_set, len(flow_set), "average")

    assert found == Gain(0.0, 0.0)
    assert not found.beyond_chance


def test_what_was_not_scored_is_null_in_json() -> None:
    told = Tried({"kl.start": 1.0}, "failed", problem="out of memory").to_json()

    assert told["average_reward"] is None
    assert told["problem"] == "out of memory"
    assert "folder" not in told
