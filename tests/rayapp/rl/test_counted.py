"""What a flow of a rare class counts in the loss."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rayapp.rl.balance import balance

FLOWS = st.lists(st.integers(0, 10_000_000), min_size=2, max_size=8).map(np.array)


def test_a_power_between_0_and_1_goes_from_flows_alike_to_classes_alike() -> None:
    flows = np.array([8_100, 900, 100])

    assert balance(flows, 0.0).tolist() == [1, 1, 1]
    assert balance(flows, 0.5).tolist() == [1, 3, 9]
    assert (balance(flows, 1.0) * flows).tolist() == [8_100, 8_100, 8_100]


def test_no_flow_counts_more_than_the_limit() -> None:
    flows = np.array([1_000_000, 10_000, 10, 0])

    assert balance(flows, 1.0, limit=20).tolist() == [1, 20, 20, 20]


@given(FLOWS, st.floats(0, 1), st.floats(1, 1_000))
def test_rarer_never_counts_less(flows: np.ndarray, power: float, limit: float) -> None:
    weights = balance(flows, power, limit)

    order = np.argsort(-flows, kind="stable")
    assert (np.diff(weights[order]) >= 0).all()
    assert weights.min() == 1
    assert weights.max() <= limit
