"""The look of every chart of the lab: colours and axes.

:mod:`kg_actor.drawing.files` writes figures, or puts them into a page.
"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kg_actor.drawing.style import BACKGROUND, INK

BLUE, ORANGE = "#2f7fc1", "#d9772b"

LOOKS = ((ORANGE, (0, (4, 1.6))), (BLUE, "-"), ("#00936b", "-."), ("#b0578d", ":"))
"""Colours and dashes of lines beside each other, distinguishable without seeing colours too."""


def panels(rows: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """An empty figure of ``rows`` x ``columns`` styled axes.

    Args:
        rows: of axes.
        columns: of axes.
        width: inches of each of them.
        height: inches of each of them.
    """
    figure = Figure(
        figsize=(width * columns, height * rows), facecolor=BACKGROUND, layout="constrained"
    )
    all_axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for axes in all_axes:
        axes.set_facecolor(BACKGROUND)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["bottom", "left"]].set_color(INK)
        axes.tick_params(colors=INK, labelsize=9)
        axes.grid(visible=True, color=INK, alpha=0.13, linewidth=0.6)
    return figure, all_axes


def count_flows(axes: Axes) -> None:
    """Makes the x-axis count flows, from 0."""
    wide = axes.get_figure(root=True)
    axes.xaxis.set_major_locator(
        MaxNLocator(4 if wide and wide.get_figwidth() < 4 else 6, integer=True)
    )
    axes.xaxis.set_major_formatter(lambda flows, _: flows_label(flows))
    axes.set_xlabel("flows", color=INK, fontsize=9)
    axes.set_xlim(left=0)


def flows_label(flows: float) -> str:
    """A tick on the x-axis: ``0``, ``500 k``, ``1.5 M``."""
    if abs(flows) >= 1e6:
        return f"{flows / 1e6:g} M"
    return f"{flows / 1e3:g} k" if abs(flows) >= 1e3 else f"{flows:g}"


def title(axes: Axes, text: str) -> None:
    """A title above the left end of the axes."""
    axes.set_title(text, fontsize=10, color=INK, loc="left", parse_math=False)


def legend_above(axes: Axes, columns: int) -> None:
    """The legend above the axes: inside there is no corner that no curve ever crosses."""
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1, 0.98),
        ncols=columns,
        fontsize=9,
        frameon=False,
        labelcolor=INK,
    )
