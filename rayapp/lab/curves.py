"""Learning curves of one or more runs (paper, Figs. 3 and 4) as matplotlib figures.

Reads iterations as :class:`ProgressLine` and knows neither folders nor pages. All figures
are of phone width, so that a page can put as many beside each other as it has room for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from envs import Catalogue
from kg_actor.drawing.style import BACKGROUND, INK
from rayapp.runs.folder import ProgressLine

Runs = Mapping[str, Sequence[ProgressLine]]
"""Iterations by the run's name."""

LOOKS = (("#d9772b", (0, (4, 1.6))), ("#2f7fc1", "-"), ("#00936b", "-."), ("#b0578d", ":"))
"""Colours and dashes of lines beside each other, told apart without seeing colours too."""


def average_reward(runs: Runs, *, closely: bool = False) -> Figure:
    """Average training reward per iteration against flows.

    Args:
        runs: the runs to compare.
        closely: only the range that the second half of the training lies in.
    """
    figure, axes = flow_axes(4.6, 2.8)
    _average_rewards(axes, runs)
    if closely:
        low, high = closing_range(runs)
        axes.set_ylim(low, high)
    axes.set_ylabel("average reward", color=INK)
    # Above the axes: inside there is no corner that no curve ever crosses.
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1, 0.98),
        ncols=len(runs),
        fontsize=9,
        frameon=False,
        labelcolor=INK,
    )
    return figure


def compare(axes: Axes, runs: Runs) -> None:
    """Draws average training reward per iteration against flows into given axes."""
    style(axes)
    _average_rewards(axes, runs)
    axes.set_ylabel("average reward", color=INK)
    axes.legend(loc="lower right", fontsize=9, frameon=False, labelcolor=INK)


def _average_rewards(axes: Axes, runs: Runs) -> None:
    for (name, lines), look in zip(runs.items(), _cycle(len(runs)), strict=True):
        _line(axes, _steady(lines), lambda line: line.average_reward, look, name)


def _steady(lines: Sequence[ProgressLine]) -> list[ProgressLine]:
    """Without iterations of under a quarter of the usual flows, such as the last one's rest.

    The mean of so few swings by more than what a curve is to show.
    """
    flows = [end - start for start, end in pairwise([0, *(line.flows for line in lines)])]
    least = median(flows) / 4 if flows else 0
    return [line for line, count in zip(lines, flows, strict=True) if count >= least]


def closing_range(runs: Runs) -> tuple[float, float]:
    """Lowest and highest average reward in the second half of training, with a margin."""
    steady = [_steady(lines) for lines in runs.values()]
    late = [line.average_reward for lines in steady for line in lines[len(lines) // 2 :]]
    late = late or [0.0]
    margin = max(0.08 * (max(late) - min(late)), 1e-3)
    return min(late) - margin, max(late) + margin


def class_reward(runs: Runs, name: str, catalogue: Catalogue) -> Figure:
    """Average training reward of one class per iteration; iterations without it are skipped."""
    figure, axes = flow_axes(2.9, 1.9)
    for lines, look in zip(runs.values(), _cycle(len(runs)), strict=True):
        _line(axes, lines, lambda line: line.class_reward.get(name, math.nan), look)
    low, high = catalogue.lowest_reward, catalogue.highest_reward
    margin = 0.04 * (high - low)
    axes.set_ylim(low - margin, high + margin)
    axes.set_yticks([low, (low + high) / 2, high])
    axes.set_title(name, fontsize=10, color=INK, loc="left", parse_math=False)
    return figure


def learner_metric(lines: Sequence[ProgressLine], key: str, label: str) -> Figure:
    """One of the learner's metrics per iteration, such as ``lambda`` or ``reference_kl``."""
    figure, axes = flow_axes(4.6, 2.3)
    _line(axes, lines, lambda line: line.learner.get(key, math.nan), LOOKS[1])
    axes.set_ylim(bottom=0)
    axes.set_ylabel(label, color=INK)
    return figure


def flows_label(flows: float) -> str:
    """A tick on the x-axis: ``0``, ``500 k``, ``1.5 M``."""
    if abs(flows) >= 1e6:
        return f"{flows / 1e6:g} M"
    return f"{flows / 1e3:g} k" if abs(flows) >= 1e3 else f"{flows:g}"


def _cycle(number: int) -> list[tuple[str, object]]:
    return [LOOKS[i % len(LOOKS)] for i in range(number)]


def flow_axes(wide: float, high: float) -> tuple[Figure, Axes]:
    """An empty figure, that many inches large, for something against flows."""
    figure = Figure(figsize=(wide, high), facecolor=BACKGROUND, layout="constrained")
    axes = figure.add_subplot()
    style(axes)
    axes.xaxis.set_major_locator(MaxNLocator(4 if wide < 4 else 6, integer=True))
    return figure, axes


def style(axes: Axes) -> None:
    """Gives axes the look that all figures share; the x-axis counts flows."""
    axes.set_facecolor(BACKGROUND)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(INK)
    axes.tick_params(colors=INK, labelsize=9)
    axes.grid(visible=True, color=INK, alpha=0.13, linewidth=0.6)
    axes.xaxis.set_major_formatter(lambda flows, _: flows_label(flows))
    axes.set_xlabel("flows", color=INK, fontsize=9)


def _line(
    axes: Axes,
    lines: Sequence[ProgressLine],
    value: Callable[[ProgressLine], float],
    look: tuple[str, object],
    label: str | None = None,
) -> None:
    points = [(line.flows, value(line)) for line in lines]
    points = [point for point in points if math.isfinite(point[1])]
    flows, values = zip(*points, strict=True) if points else ((), ())
    # A single iteration makes no line; a dot shows it.
    axes.plot(
        flows,
        values,
        color=look[0],
        linestyle=look[1],
        linewidth=1.7,
        marker="o" if len(points) < 3 else None,
        label=label,
    )
    axes.set_xlim(left=0)
