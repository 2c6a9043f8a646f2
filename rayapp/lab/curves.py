"""What a training earned against the flows it was trained on (paper, Figs. 3 and 4).

A curve is a table of points, of one run or of several trials; the numbers of a chart are the
points that it shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from statistics import median

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kg_actor.drawing.style import INK
from rayapp.lab.charts import LOOKS, count_flows, legend_above, panels, title
from rayapp.runs.folder import ProgressLine

POINTS = 250
"""Most points of a curve: neighbouring iterations are averaged, as more cannot be seen."""

Value = Callable[[ProgressLine], float]

Curves = Mapping[str, pd.DataFrame]
"""Curves by the names that a legend shows."""


def average_reward(line: ProgressLine) -> float:
    """The average reward of an iteration, exploration included."""
    return line.average_reward


def of_class(name: str) -> Value:
    """The average reward of one true class; not a number where an iteration met none of it."""
    return lambda line: line.class_reward.get(name, math.nan)


def curve(trials: Sequence[Sequence[ProgressLine]], value: Value = average_reward) -> pd.DataFrame:
    """One figure of every iteration, over trials that belong together.

    Trials on fewer iterations than others end the curve. Iterations of few flows, such as the
    rest at the end, are left out.

    Args:
        trials: iterations of each trial.
        value: the figure; not a number where an iteration has none.

    Returns:
        Columns ``flows`` (trained on), ``mean``, ``lowest`` and ``highest`` (over trials).
    """
    steady = [steady_iterations(lines) for lines in trials]
    length = min(map(len, steady))
    iterations = pd.DataFrame([[value(line) for line in lines[:length]] for lines in steady]).T
    flows = pd.Series([line.flows for line in steady[0][:length]], dtype="int64")
    groups = iterations.index // max(1, -(-length // POINTS))
    thin = iterations.groupby(groups).mean()
    return pd.DataFrame(
        {
            # A point stands at the end of the iterations that it averages, as an iteration does.
            "flows": flows.groupby(groups).max(),
            "mean": thin.mean(axis=1),
            "lowest": thin.min(axis=1),
            "highest": thin.max(axis=1),
        }
    )


def steady_iterations(lines: Sequence[ProgressLine]) -> list[ProgressLine]:
    """Without iterations of under a quarter of the usual flows, such as the last one's rest.

    The mean of so few swings by more than what a curve is to show.
    """
    flows = [end - start for start, end in pairwise([0, *(line.flows for line in lines)])]
    least = median(flows) / 4 if flows else 0
    return [line for line, count in zip(lines, flows, strict=True) if count >= least]


def closing_range(curves: Curves) -> tuple[float, float]:
    """What the means span in the second half of training, with a margin."""
    late = pd.concat([one["mean"].iloc[len(one) // 2 :] for one in curves.values()])
    low, high = (late.min(), late.max()) if len(late) else (0.0, 0.0)
    margin = max(0.1 * (high - low), 5e-3)
    return float(low - margin), float(high + margin)


def reward_chart(curves: Curves, limits: tuple[float, float] | None = None) -> Figure:
    """Average reward against flows, as wide as a phone.

    Args:
        curves: the curves, by name.
        limits: lowest and highest reward shown; all of them without.
    """
    figure, (axes,) = panels(1, 1, 4.6, 2.9)
    draw_rewards(axes, curves)
    legend_above(axes, len(curves))
    if limits:
        axes.set_ylim(*limits)
    return figure


def draw_rewards(axes: Axes, curves: Curves) -> None:
    """Draws average reward against flows; a band spans trials where there are several."""
    for number, (name, points) in enumerate(curves.items()):
        _draw(axes, points, LOOKS[number % len(LOOKS)], name)
    axes.set_ylabel("average reward", color=INK)


def class_chart(curves: Sequence[pd.DataFrame], name: str, limits: tuple[int, int]) -> Figure:
    """A small chart of one class's reward; iterations that did not meet the class are skipped.

    Args:
        curves: one per run, in the order of the other charts.
        name: of the class.
        limits: lowest and highest reward of the catalogue.
    """
    figure, (axes,) = panels(1, 1, 2.9, 1.9)
    for number, points in enumerate(curves):
        _draw(axes, points, LOOKS[number % len(LOOKS)])
    low, high = limits
    axes.set_ylim(low - 0.04 * (high - low), high + 0.04 * (high - low))
    axes.set_yticks([low, (low + high) / 2, high])
    title(axes, name)
    return figure


def metric_chart(points: pd.DataFrame, label: str) -> Figure:
    """One of the learner's metrics against flows, such as lambda."""
    figure, (axes,) = panels(1, 1, 4.6, 2.3)
    _draw(axes, points, LOOKS[1])
    axes.set_ylim(bottom=0)
    axes.set_ylabel(label, color=INK)
    return figure


def _draw(
    axes: Axes, points: pd.DataFrame, look: tuple[str, object], label: str | None = None
) -> None:
    met = points[points["mean"].map(math.isfinite)]
    colour, dashes = look
    if (met["lowest"] < met["highest"]).any():
        axes.fill_between(
            met["flows"], met["lowest"], met["highest"], color=colour, alpha=0.18, linewidth=0
        )
    axes.plot(
        met["flows"],
        met["mean"],
        color=colour,
        linestyle=dashes,
        linewidth=1.7,
        # A single iteration makes no line; a dot shows it.
        marker="o" if len(met) < 3 else None,
        label=label,
    )
    count_flows(axes)
