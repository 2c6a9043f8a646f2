from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kg_actor.filtering import open_actions

NONE = np.nan
"""No record."""

REWARDS = np.array(
    [
        [5.0, -5.0, NONE, -0.1, 0.0],  # type 0
        [NONE, 4.0, 3.0, -2.0, -1.0],  # type 1
        [-5.0, -1.0, NONE, 0.0, NONE],  # type 2
    ]
)


def opened(predicted: int, actual: list[int]) -> list[int]:
    kept = open_actions(np.array([predicted], np.int8), np.array([actual]), REWARDS)
    return np.flatnonzero(kept[0]).tolist()


def test_negative_records_are_left_out_and_missing_or_zero_ones_stay() -> None:
    assert opened(0, [9, 0, 0]) == [0, 2, 4]


def test_positive_record_of_a_type_it_was_misclassified_as_keeps_an_action() -> None:
    assert opened(0, [9, 1, 0]) == [0, 1, 2, 4]


@pytest.mark.parametrize("record", [0.0, NONE], ids=["zero-record", "no-record"])
def test_only_a_positive_record_is_support(record: float) -> None:
    # Type 2 neither supports action 3 with its zero record nor action 4 without one.
    rewards = np.array([[1.0, -5.0], [1.0, record]])

    kept = open_actions(np.array([0], np.int8), np.array([[9, 1]]), rewards)

    assert kept.tolist() == [[True, False]]


def test_being_right_is_no_misclassification() -> None:
    assert opened(1, [0, 5, 0]) == [0, 1, 2]


def test_everything_is_open_again_when_nothing_is_left() -> None:
    rewards = np.array([[-1.0, -5.0], [-2.0, 4.0]])

    kept = open_actions(np.array([0, 0], np.int8), np.array([[3, 0], [3, 1]]), rewards)

    assert kept.tolist() == [[True, True], [False, True]]


@given(
    arrays(np.int8, 6, elements=st.integers(0, 3)),
    arrays(np.int64, (6, 4), elements=st.integers(0, 2)),
    arrays(np.float64, (4, 5), elements=st.sampled_from([-5.0, -0.5, 0.0, 0.5, 5.0, np.nan])),
)
def test_the_filter_is_its_definition(
    predicted: np.ndarray, actual: np.ndarray, rewards: np.ndarray
) -> None:
    kept = open_actions(predicted, actual, rewards)

    for row, own in enumerate(predicted):
        met = [t for t in range(4) if t != own and actual[row, t] > 0]
        by_definition = [
            not rewards[own, action] < 0 or any(rewards[t, action] > 0 for t in met)
            for action in range(5)
        ]
        assert kept[row].tolist() == (by_definition if any(by_definition) else [True] * 5)
