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
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from envs.files import replacing
from kg_actor.drawing.style import BACKGROUND, INK
from rayapp.config import flat
from rayapp.lab.curves import LOOKS, style
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
    panels = 1 + len(ranges)
    rows = -(-panels // _COLUMNS)
    figure = Figure(
        figsize=(4.2 * min(panels, _COLUMNS), 3.0 * rows),
        facecolor=BACKGROUND,
        layout="constrained",
    )
    axes = figure.subplots(rows, min(panels, _COLUMNS), squeeze=False).ravel()
    _lambdas(figure, axes[0], shown, request)
    for place, (name, one) in zip(axes[1:], ranges.items(), strict=False):
        _against(place, shown, request, name, one)
    for place in axes[panels:]:
        place.set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    return path


def _lambdas(figure: Figure, axes: Axes, tried: Sequence[Tried], request: Request) -> None:
    """Lambda over the training, one line per trial, the darker the better."""
    style(axes)
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
    axes.set_title("lambda", fontsize=10, color=INK, loc="left")
    bar = figure.colorbar(ScalarMappable(scale, colours), ax=axes)
    bar.set_label(f"{request.metric} reward, held out", color=INK, fontsize=8)
    bar.ax.tick_params(colors=INK, labelsize=8)


def _against(
    axes: Axes, tried: Sequence[Tried], request: Request, name: str, searched: Range
) -> None:
    """Reward against one setting."""
    style(axes)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    places = [_place(one, request, name, searched) for one in tried]
    for one, place in zip(tried, places, strict=True):
        colour = LOOKS[0][0] if not one.point else LOOKS[1][0]
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
    axes.set_xlabel("")
    title = f"{name} (diamond: as given)"
    axes.set_title(title, fontsize=10, color=INK, loc="left", parse_math=False)


def _place(one: Tried, request: Request, name: str, searched: Range) -> float:
    settings = flat(with_point(request.settings, one.point).model_dump())
    value: Any = settings[name]
    if not searched.choices:
        return float(value)
    return float(searched.choices.index(value)) if value in searched.choices else math.nan


def _told(value: object) -> str:
    return "all" if value is None else str(value).replace("_to_", " to\n")
