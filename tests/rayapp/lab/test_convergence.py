"""When a training first got to 99 % of a bound."""

from __future__ import annotations

from rayapp.lab.convergence import Convergence, reached
from rayapp.runs.folder import ProgressLine

Rewards = list[tuple[float, dict[str, float]]]


def lines(rewards: Rewards) -> list[ProgressLine]:
    """Iterations of 1,000 flows and half a second each."""
    return [
        ProgressLine(i, 1_000 * i, 0.5 * i, average, by_class, i, 0)
        for i, (average, by_class) in enumerate(rewards, 1)
    ]


LINES = lines(
    [
        (reward, {"Benign": reward, "Web": web})
        for reward, web in [(0.0, -5.0), (4.96, -5.0), (4.0, 4.0), (4.97, 4.94)]
    ]
)


def test_the_first_iteration_at_the_level_counts_whatever_comes_later() -> None:
    assert reached(LINES, bound=5.0, window=1_000) == Convergence(2_000, 1.0)


def test_the_class_mean_is_reached_later() -> None:
    assert reached(LINES, bound=5.0, by_class=True, window=1_000) == Convergence(4_000, 2.0)


def test_a_bound_that_was_not_reached_has_no_time() -> None:
    assert reached(LINES, bound=5.1, window=1_000) == Convergence(None, None)
    assert reached([], bound=1.0) == Convergence(None, None)


def test_one_lucky_iteration_among_few_flows_does_not_count() -> None:
    # The mean of two iterations is 2.48, 4.48, 4.485.
    assert reached(LINES, bound=4.5, window=2_000) == Convergence(3_000, 1.5)
    assert reached(LINES, bound=4.6, window=2_000) == Convergence(None, None)


def test_fewer_flows_than_the_window_say_nothing() -> None:
    assert reached(LINES, bound=1.0, window=5_000) == Convergence(None, None)


def test_a_class_that_was_not_met_is_not_left_out_of_the_mean() -> None:
    met = lines([(4.9, {"Benign": 5.0}), (4.9, {"Benign": 5.0, "Web": 1.0}), (4.9, {"Web": 5.0})])
    assert reached(met, bound=4.0, by_class=True, window=1_000) == Convergence(None, None)
    # Over two iterations both are there: (5 + 1) / 2, then (5 + 3) / 2.
    assert reached(met, bound=4.0, by_class=True, window=2_000) == Convergence(3_000, 1.5)


def test_flows_on_which_the_advisor_acts_are_not_the_policys() -> None:
    assert reached(LINES, bound=5.0, after=2_000, window=1_000) == Convergence(4_000, 2.0)
