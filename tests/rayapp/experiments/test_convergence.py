"""When a training first got to 99 % of a bound."""

from __future__ import annotations

from rayapp.experiments.convergence import Convergence, reached
from rayapp.experiments.runs import ProgressLine

LINES = [
    ProgressLine(i, 1_000 * i, 0.5 * i, reward, {"Benign": reward, "Web": web}, i, 0)
    for i, (reward, web) in enumerate([(0.0, -5.0), (4.96, -5.0), (4.0, 4.0), (4.97, 4.94)], 1)
]


def test_the_first_iteration_at_the_level_counts_whatever_comes_later() -> None:
    assert reached(LINES, bound=5.0) == Convergence(2_000, 1.0)


def test_the_class_mean_is_reached_later() -> None:
    assert reached(LINES, bound=5.0, by_class=True) == Convergence(4_000, 2.0)


def test_a_bound_that_was_not_reached_has_no_time() -> None:
    assert reached(LINES, bound=5.1) == Convergence(None, None)
    assert reached([], bound=1.0) == Convergence(None, None)
