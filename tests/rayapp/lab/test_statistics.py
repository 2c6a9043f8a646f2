"""Means of a few trials with bootstrap intervals."""

from __future__ import annotations

import numpy as np
import pytest

from rayapp.lab.statistics import Estimate


def test_one_value_has_no_interval() -> None:
    estimate = Estimate.of([4.5])

    assert (estimate.mean, estimate.low, estimate.high) == (4.5, None, None)


def test_the_interval_holds_the_mean_and_lies_within_the_values() -> None:
    estimate = Estimate.of([1.0, 2.0, 4.0])

    assert estimate.mean == pytest.approx(7 / 3)
    assert 1.0 <= estimate.low < estimate.mean < estimate.high <= 4.0
    assert estimate.values == (1.0, 2.0, 4.0)


def test_the_same_values_give_the_same_interval() -> None:
    assert Estimate.of([1, 2, 3]) == Estimate.of([1, 2, 3])


def test_intervals_cover_the_true_mean_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)

    covered = 0
    for _ in range(200):
        estimate = Estimate.of(rng.normal(3.0, 1.0, 30).tolist())
        covered += estimate.low <= 3.0 <= estimate.high

    assert 175 <= covered <= 198


def test_no_values_make_no_estimate() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Estimate.of([])


def test_seeds_of_one_split_do_not_count_as_splits() -> None:
    # Two splits of three seeds each: what differs is the split, and there are but two of them.
    values, splits = [1.0, 1.1, 1.2, 3.0, 3.1, 3.2], ["a"] * 3 + ["b"] * 3

    grouped = Estimate.grouped(values, splits)

    assert grouped.values == pytest.approx((1.1, 3.1))
    assert grouped.mean == pytest.approx(Estimate.of(values).mean)
    assert grouped.high - grouped.low > Estimate.of(values).high - Estimate.of(values).low
    assert Estimate.grouped(values, ["a"] * 6) == Estimate.of(values)
