"""Charts of benchmarks: rates and times against the size that was varied."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kg_actor.drawing.files import save_figure
from kg_actor.drawing.style import INK
from rayapp.lab.bench.graph import StoreSpeed
from rayapp.lab.bench.scaling import Scaling
from rayapp.lab.charts import BLUE, ORANGE, flows_label, panels

_COLUMNS = 4


def draw_scaling(scaling: Scaling, titles: Mapping[str, str], path: Path) -> None:
    """Rates against every size that was varied, one panel each.

    Raises:
        InputError: the name ends in neither .svg nor .png, or it cannot be written.
    """
    figure, all_axes = panels(-(-len(titles) // _COLUMNS), _COLUMNS, 2.7, 2.9)
    for axes, (name, title) in zip(all_axes, titles.items(), strict=False):
        points = getattr(scaling, name)
        unit, label = (1e-3, "thousand rows/s") if name == "rows" else (1e-6, "million flows/s")
        sizes, rates = [point.size for point in points], [unit * point.rate for point in points]
        axes.set(ylim=(0, 1.1 * max(rates)), xlabel=title)
        if sizes[0]:
            axes.set(xscale="log")
            axes.minorticks_off()
            axes.set_xticks(sizes, [flows_label(float(f"{size:.2g}")) for size in sizes])
        axes.plot(sizes, rates, "o-", color=BLUE)
        axes.set_ylabel(label, color=INK)
    for axes in all_axes[len(titles) :]:
        axes.set_visible(False)
    save_figure(figure, path)


def draw_growth(store: StoreSpeed, path: Path) -> None:
    """Time of a merge and of all answers against size, with a line that is linear growth.

    Raises:
        InputError: the name ends in neither .svg nor .png, or it cannot be written.
    """
    figure, all_axes = panels(1, 2, 4.6, 3.6)
    for axes, name in zip(all_axes, ("signatures", "runners"), strict=True):
        growth = getattr(store, name)
        sizes = [one.size for one in growth]
        merges = [1000 * one.merge_seconds for one in growth]
        answers = [1000 * one.answer_seconds for one in growth]
        linear = [merges[0] * size / sizes[0] for size in sizes]
        axes.set(xscale="log", yscale="log", xlabel=name)
        axes.set_ylabel("ms", color=INK)
        axes.plot(sizes, merges, "o-", color=BLUE, label="durable merge")
        axes.plot(sizes, answers, "o-", color=ORANGE, label="all answers")
        axes.plot(sizes, linear, ":", color=INK, label="linear")
        axes.legend(frameon=False, fontsize=9, labelcolor=INK)
    save_figure(figure, path)
