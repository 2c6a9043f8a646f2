"""Curves of what the graph takes as it grows."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kg_actor.drawing.files import save_figure
from kg_actor.drawing.style import BACKGROUND, INK
from rayapp.lab.bench.graph import Growth, StoreSpeed

_COLOURS = ("#2f7fc1", "#d9772b")


def draw_growth(store: StoreSpeed, path: Path) -> None:
    """Time of a merge and of all answers against size, with a line that is linear growth.

    Raises:
        InputError: the name ends in neither .svg nor .png, or it cannot be written.
    """
    figure = Figure(figsize=(9.2, 3.6), facecolor=BACKGROUND, layout="constrained")
    for place, (what, growth) in enumerate(
        (("signatures", store.signatures), ("runners", store.runners))
    ):
        axes = figure.add_subplot(1, 2, place + 1)
        axes.set_facecolor(BACKGROUND)
        axes.set(xscale="log", yscale="log", xlabel=what)
        axes.set_ylabel("ms", color=INK)
        _line(axes, growth, [one.merge_seconds for one in growth], "durable merge", _COLOURS[0])
        _line(axes, growth, [one.answer_seconds for one in growth], "all answers", _COLOURS[1])
        first = growth[0]
        linear = [1000 * first.merge_seconds * one.size / first.size for one in growth]
        axes.plot([one.size for one in growth], linear, ":", color=INK, label="linear")
        axes.legend(frameon=False, fontsize=9, labelcolor=INK)
        axes.grid(visible=True, color=INK, alpha=0.13, linewidth=0.6)
        axes.tick_params(colors=INK, labelsize=9)
    save_figure(figure, path)


def _line(
    axes: Axes, growth: tuple[Growth, ...], seconds: list[float], label: str, colour: str
) -> None:
    sizes = [one.size for one in growth]
    axes.plot(sizes, [1000 * each for each in seconds], "o-", color=colour, label=label)
