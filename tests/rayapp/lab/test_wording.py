"""Numbers and lists as the pages write them."""

from __future__ import annotations

import pytest

from rayapp.lab.wording import joined, percent, reward_text, signed, times


@pytest.mark.parametrize(
    ("words", "text"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_lists_end_in_and(words: list[str], text: str) -> None:
    assert joined(words) == text


def test_rewards_have_a_true_minus_and_no_negative_zero() -> None:
    assert reward_text(-1.25, 2) == "−1.25"
    assert reward_text(-0.00001) == "0.0000"


def test_differences_have_a_sign_unless_they_do_not_show() -> None:
    assert [signed(x, 2) for x in (0.5, -0.5, 0.001, -0.001)] == ["+0.50", "−0.50", "0.00", "0.00"]


def test_shares_and_numbers() -> None:
    assert percent(0.98765) == "98.77 %"
    assert (times(1, "seed"), times(2, "seed"), times(2, "pass", "passes")) == (
        "1 seed",
        "2 seeds",
        "2 passes",
    )
