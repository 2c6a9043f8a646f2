from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import Catalogue, InputError
from envs.division import SAMPLED_AT_LEAST, Wishes, divide, stratified_sample

PAPER = Catalogue.named("paper")

ACTUAL = np.repeat(np.arange(4, dtype=np.int8), [40_000, 9_000, 2_000, 30])


@given(
    counts=st.lists(st.integers(0, 3000), min_size=2, max_size=8).filter(lambda c: sum(c) > 400),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 5),
)
def test_a_sample_has_its_size_and_holds_each_class_at_most_once_over(
    counts: list[int], share: float, seed: int
) -> None:
    actual = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    size = max(200, int(share * len(actual)))

    chosen = stratified_sample(actual.astype(np.int8), size, seed=seed)

    assert len(chosen) == size
    assert (np.diff(chosen) > 0).all()
    held = np.bincount(actual[chosen], minlength=len(counts))
    assert all(there > 0 or not count for there, count in zip(held, counts, strict=True))


def test_frequent_classes_have_their_share_and_rare_ones_are_kept() -> None:
    held = np.bincount(ACTUAL[stratified_sample(ACTUAL, 10_000, seed=0)])

    assert held[3] == 30
    assert held[2] >= SAMPLED_AT_LEAST
    assert held[0] / held[1] == pytest.approx(40 / 9, rel=0.15)


def test_the_seed_decides_which_flows_are_drawn() -> None:
    first, again, other = (stratified_sample(ACTUAL, 5_000, seed=seed) for seed in (1, 1, 2))

    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_detector_is_fitted_on_a_sample_of_the_training_flows_alone() -> None:
    division = divide(ACTUAL, Wishes(sample=5_000), PAPER)

    assert division.sampled
    assert len(division.fit) == 5_000
    assert np.array_equal(division.fit, division.train[division.chosen])
    assert not np.intersect1d(division.fit, division.test).size


def test_with_an_honest_share_the_sample_keeps_out_of_it() -> None:
    division = divide(ACTUAL, Wishes(honest=0.4, sample=5_000), PAPER)

    assert not np.intersect1d(division.fit, division.train).size
    assert len(division.train) + len(division.fit_from) + len(division.test) == len(ACTUAL)


def test_a_sample_larger_than_the_training_part_is_all_of_it() -> None:
    whole, sampled = (divide(ACTUAL, Wishes(sample=size), PAPER) for size in (None, 10**6))

    assert not sampled.sampled
    assert np.array_equal(whole.fit, sampled.fit)


@pytest.mark.parametrize("sample", [0, -5, 50])
def test_a_sample_too_small_to_be_one_is_refused(sample: int) -> None:
    with pytest.raises(InputError, match=f"--sample is {sample}"):
        divide(ACTUAL, Wishes(sample=sample), PAPER)
