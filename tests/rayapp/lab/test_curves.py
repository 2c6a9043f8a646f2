"""Curves of one run and of several trials, and the charts that show them."""

from __future__ import annotations

import numpy as np
import pytest

from rayapp.lab import curves
from rayapp.lab.charts import flows_label
from rayapp.lab.curves import closing_range, curve, reward_chart
from rayapp.runs.folder import ProgressLine


def run_of(*flows: int, first: float = 0.0) -> list[ProgressLine]:
    """Iterations of so many flows each, whose reward is their number."""
    ends = np.cumsum(flows).tolist()
    return [ProgressLine(i, end, 0.0, first + i, {}, i, 0) for i, end in enumerate(ends)]


def test_a_curve_is_the_mean_of_the_trials_and_their_span() -> None:
    points = curve([run_of(5, 5, first=first) for first in (1.0, 1.001, 1.002)])

    assert points["flows"].tolist() == [5, 10]
    assert points["mean"].tolist() == pytest.approx([1.001, 2.001])
    assert points["lowest"].tolist() == pytest.approx([1.0, 2.0])
    assert points["highest"].tolist() == pytest.approx([1.002, 2.002])


def test_neighbouring_iterations_are_averaged_where_there_are_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(curves, "POINTS", 3)

    points = curve([run_of(*[1_000] * 7)])

    assert points["mean"].tolist() == [1, 4, 6]
    assert points["flows"].tolist() == [3_000, 6_000, 7_000]


def test_trials_of_different_length_are_compared_as_far_as_all_go() -> None:
    assert len(curve([run_of(*[9] * 3), run_of(*[9] * 8)])) == 3


def test_iterations_that_met_none_of_a_class_are_no_points() -> None:
    lines = [ProgressLine(i, i, 0.0, 0.0, {"Web": 1.0} if i % 2 else {}, i, 0) for i in range(1, 5)]

    points = curve([lines], curves.of_class("Web"))
    (line,) = curves.class_chart([points], "Web", (-5, 5)).axes[0].get_lines()

    assert list(np.asarray(line.get_xdata())) == [1, 3]


def test_the_close_curve_shows_the_second_half_of_training() -> None:
    one, two = curve([run_of(1, 1, 1, 1, 1)]), curve([run_of(1, first=2.5)])

    assert closing_range({"one": one, "two": two}) == pytest.approx((2 - 0.2, 4 + 0.2))


def test_a_rest_too_small_for_a_mean_is_not_in_the_curve() -> None:
    runs = {
        "with a rest": curve([run_of(400, 400, 400, 400, 99)]),
        "with a quarter": curve([run_of(400, 400, 400, 100)]),
    }

    axes = reward_chart(runs).axes[0]

    drawn = {line.get_label(): list(np.asarray(line.get_xdata())) for line in axes.get_lines()}
    assert drawn == {
        "with a rest": [400, 800, 1200, 1600],
        "with a quarter": [400, 800, 1200, 1300],
    }


@pytest.mark.parametrize(
    ("flows", "label"), [(0, "0"), (500, "500"), (65_000, "65 k"), (1.5e6, "1.5 M")]
)
def test_flows_are_labelled_in_thousands_and_millions(flows: float, label: str) -> None:
    assert flows_label(flows) == label
