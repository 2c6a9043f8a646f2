"""A sweep as a picture: every trial's lambda, and reward against each setting searched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.ticker import NullFormatter

from kg_actor.drawing.files import save_figure
from kg_actor.drawing.style import INK
from rayapp.config import flat
from rayapp.lab.charts import BLUE, ORANGE, count_flows, panels, title
from rayapp.lab.tuning.outcome import Tried
from rayapp.lab.tuning.request import Request
from rayapp.lab.tuning.space import Range, with_point

_POINTS_OF_CURVE = 200
_COLUMNS = 3


def draw(path: Path, tried: Sequence[Tried], request: Request) -> Path:
    """Draws a sweep into a PNG file; trials stopped early are hollow, and scored where they were.

    Args:
        path: of the picture.
        tried: failed trials are left out.
        request: what was searched.
    """
    shown = [one for one in tried if one.state != "failed"]
    ranges = request.ranges()
    count = 1 + len(ranges)
    figure, axes = panels(-(-count // _COLUMNS), min(count, _COLUMNS), 4.2, 3.0)
    _lambdas(axes[0], shown, request)
    for place, (name, one) in zip(axes[1:], ranges.items(), strict=False):
        _against(place, shown, request, name, one)
    for place in axes[count:]:
        place.set_visible(False)
    return save_figure(figure, path)


def _lambdas(axes: Axes, tried: Sequence[Tried], request: Request) -> None:
    """Lambda over the training, one line per trial, the darker the better."""
    count_flows(axes)
    total = request.settings.total_flows(0)
    flows = np.linspace(0, total, _POINTS_OF_CURVE)
    scores = [one.score(request.metric) for one in tried]
    scale, colours = Normalize(min(scores), max(scores)), colormaps["viridis_r"]
    for one in sorted(tried, key=lambda one: one.score(request.metric)):
        schedule = with_point(request.settings, one.point).kl.schedule_of_lambda()
        axes.plot(
            flows,
            [schedule.at(int(step), total) for step in flows],
            color=colours(float(scale(one.score(request.metric)))),
            linestyle="-" if one.state == "complete" else (0, (2, 2)),
            linewidth=1.5,
        )
    axes.set_ylim(bottom=0)
    title(axes, "lambda")
    figure = axes.get_figure()
    assert figure is not None  # noqa: S101 (for the type checker)
    bar = figure.colorbar(ScalarMappable(scale, colours), ax=axes)
    bar.set_label(f"{request.metric} reward, held out", color=INK, fontsize=8)
    bar.ax.tick_params(colors=INK, labelsize=8)


def _against(
    axes: Axes, tried: Sequence[Tried], request: Request, name: str, searched: Range
) -> None:
    """Reward against one setting."""
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    places = [_place(one, request, name, searched) for one in tried]
    for one, place in zip(tried, places, strict=True):
        colour = BLUE if one.point else ORANGE
        axes.plot(
            [place],
            [one.score(request.metric)],
            "D" if not one.point else "o",
            markersize=6,
            markerfacecolor=colour if one.state == "complete" else "none",
            markeredgecolor=colour,
        )
    if searched.choices:
        axes.set_xticks(range(len(searched.choices)), [_told(v) for v in searched.choices])
        axes.set_xlim(-0.5, len(searched.choices) - 0.5)
    elif searched.log and all(place > 0 for place in places):
        axes.set_xscale("log")
        # Between two powers of ten, labels would lie on each other.
        axes.xaxis.set_minor_formatter(NullFormatter())
    title(axes, f"{name} (diamond: as given)")


def _place(one: Tried, request: Request, name: str, searched: Range) -> float:
    settings = flat(with_point(request.settings, one.point).model_dump())
    value: Any = settings[name]
    if not searched.choices:
        return float(value)
    return float(searched.choices.index(value)) if value in searched.choices else math.nan


def _told(value: object) -> str:
    return "all" if value is None else str(value).replace("_to_", " to\n")
