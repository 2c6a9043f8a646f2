"""Flows parted in two are parted as scikit-learn would."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from envs.stratified import stratified_parts


@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=9),
    share=st.floats(0.001, 0.999) | st.sampled_from([0.25, 0.3, 0.5]),
    seed=st.integers(0, 2**31 - 1),
)
def test_parts_are_scikit_learns_to_the_bit_or_both_refuse(
    counts: list[int], share: float, seed: int
) -> None:
    actual = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    try:
        theirs = train_test_split(
            np.arange(len(actual)), test_size=share, stratify=actual, random_state=seed
        )
    except ValueError:
        with pytest.raises(ValueError, match="too few flows"):
            stratified_parts(actual.astype(np.int8), share, seed=seed)
        return

    ours = stratified_parts(actual.astype(np.int8), share, seed=seed)

    for mine, its in zip(ours, theirs, strict=True):
        assert mine.dtype == np.int64
        assert mine.tolist() == its.tolist()


def test_remainders_that_are_alike_are_chosen_among_as_scikit_learn_does() -> None:
    actual = np.repeat(np.arange(8, dtype=np.int8), 15)

    for seed in range(20):
        theirs = train_test_split(np.arange(120), test_size=0.3, stratify=actual, random_state=seed)
        for mine, its in zip(stratified_parts(actual, 0.3, seed=seed), theirs, strict=True):
            assert mine.tolist() == its.tolist()
