from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rayapp.lab.curves import average_reward, closing_range, flows_label
from rayapp.runs.folder import ProgressLine


def run_of(*flows: int) -> list[ProgressLine]:
    """Iterations of so many flows each, whose reward is their number."""
    ends = np.cumsum(flows).tolist()
    return [ProgressLine(i, end, 0.0, float(i), {}, i, 0) for i, end in enumerate(ends)]


def test_the_close_curve_shows_the_second_half_of_training() -> None:
    lines = run_of(1, 1, 1, 1, 1)

    low, high = closing_range({"one": lines, "two": [replace(lines[-1], average_reward=2.5)]})

    assert low == pytest.approx(2 - 0.16)
    assert high == pytest.approx(4 + 0.16)


def test_a_rest_too_small_for_a_mean_is_not_in_the_curve() -> None:
    runs = {
        "with a rest": run_of(400, 400, 400, 400, 99),
        "with a quarter": run_of(400, 400, 400, 100),
    }

    axes = average_reward(runs).axes[0]

    drawn = {line.get_label(): list(np.asarray(line.get_xdata())) for line in axes.get_lines()}
    assert drawn == {
        "with a rest": [400, 800, 1200, 1600],
        "with a quarter": [400, 800, 1200, 1300],
    }
    assert closing_range({"one": runs["with a rest"]})[1] < 4


@pytest.mark.parametrize(
    ("flows", "label"), [(0, "0"), (500, "500"), (65_000, "65 k"), (1.5e6, "1.5 M")]
)
def test_flows_are_labelled_in_thousands_and_millions(flows: float, label: str) -> None:
    assert flows_label(flows) == label
