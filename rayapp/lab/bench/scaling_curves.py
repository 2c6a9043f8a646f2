"""Curves of the training's rate against sizes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from kg_actor.drawing.files import save_figure
from kg_actor.drawing.style import BACKGROUND, INK
from rayapp.lab.bench.scaling import Scaling
from rayapp.lab.curves import flows_label

_COLOUR = "#2f7fc1"
_COLUMNS = 4


def draw_scaling(found: Scaling, titles: Mapping[str, str], path: Path) -> None:
    """Rates against every size that was varied, one picture each.

    Raises:
        InputError: the name ends in neither .svg nor .png, or it cannot be written.
    """
    lines = -(-len(titles) // _COLUMNS)
    figure = Figure(
        figsize=(2.7 * _COLUMNS, 2.9 * lines), facecolor=BACKGROUND, layout="constrained"
    )
    for place, (name, title) in enumerate(titles.items()):
        axes = figure.add_subplot(lines, _COLUMNS, place + 1)
        points = getattr(found, name)
        unit, label = (1e-3, "thousand rows/s") if name == "rows" else (1e-6, "million flows/s")
        sizes, rates = [one.size for one in points], [unit * one.rate for one in points]
        axes.set_facecolor(BACKGROUND)
        axes.set(ylim=(0, 1.1 * max(rates)), xlabel=title)
        if sizes[0]:
            axes.set(xscale="log")
            axes.minorticks_off()
            axes.set_xticks(sizes, [flows_label(float(f"{size:.2g}")) for size in sizes])
        axes.plot(sizes, rates, "o-", color=_COLOUR)
        axes.set_ylabel(label, color=INK)
        axes.grid(visible=True, color=INK, alpha=0.13, linewidth=0.6)
        axes.tick_params(colors=INK, labelsize=8)
    save_figure(figure, path)
