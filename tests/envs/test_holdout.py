"""Held-out training flows: apart from those trained on, from the test split, and honest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from envs import InputError, Scenario
from envs.holdout import hold_out


def test_no_training_flow_is_lost_or_in_both_parts(scenario: Scenario) -> None:
    # Numbers of their own in place of signatures tell the flows apart.
    numbered = replace(
        scenario, train=(np.arange(len(scenario.train[0]), dtype=np.int32), scenario.train[1])
    )

    remaining, _ = hold_out(numbered, 0.25, seed=3)

    together = np.concatenate([remaining.train[0], remaining.test[0]])
    assert np.array_equal(np.sort(together), numbered.train[0])
    for signature, actual in (remaining.train, remaining.test):
        assert np.array_equal(actual, scenario.train[1][signature])
    shares = [np.bincount(part[1]) / len(part[1]) for part in (remaining.train, remaining.test)]
    assert np.allclose(shares[0], shares[1], atol=0.02)


def test_the_test_split_is_not_in_it(scenario: Scenario) -> None:
    marked = replace(scenario, test=(np.full(7, 12345, np.int32), scenario.test[1][:7]))

    remaining, held_out = hold_out(marked, 0.25, seed=0)

    for signature in (remaining.train[0], remaining.test[0], held_out.signature):
        assert not (signature == 12345).any()
    assert remaining.fingerprint != scenario.fingerprint


def test_held_out_flows_are_matched_honestly(scenario: Scenario) -> None:
    remaining, held_out = hold_out(scenario, 0.25, seed=0)
    draws, held = len(scenario.cross_fitted), len(remaining.test[1])

    assert len(held_out) == draws * held
    assert np.array_equal(held_out.actual.reshape(draws, held)[-1], remaining.test[1])
    wrong = (held_out.contexts.predicted[held_out.signature] != held_out.actual).mean()
    fitted = (held_out.contexts.predicted[remaining.test[0]] != remaining.test[1]).mean()
    assert wrong > fitted
    assert remaining.cross_fitted.shape == (draws, len(remaining.train[0]))


def test_without_draws_they_are_matched_as_fitted(scenario: Scenario) -> None:
    plain = replace(scenario, cross_fitted=np.zeros((0, len(scenario.train[0])), np.int32))

    remaining, held_out = hold_out(plain, 0.25, seed=0)

    assert np.array_equal(held_out.signature, remaining.test[0])


def test_the_same_seed_holds_out_the_same_flows(scenario: Scenario) -> None:
    first, again, other = (hold_out(scenario, 0.25, seed)[0] for seed in (1, 1, 2))

    assert np.array_equal(first.test[0], again.test[0])
    assert first.fingerprint == again.fingerprint != other.fingerprint


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 0.999, 0.0001])
def test_impossible_shares_are_refused(scenario: Scenario, share: float) -> None:
    with pytest.raises(InputError, match="hold out"):
        hold_out(scenario, share, seed=0)
