"""Edges as arrows, and what their labels say."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Patch

from kg_actor.drawing.labels import Label
from kg_actor.drawing.layout import STOPS, Layout, Point, along
from kg_actor.drawing.selection import Sketch
from kg_actor.drawing.style import (
    CONFUSED_LINE,
    FADED,
    LINE,
    reward_colour,
    shares_label,
    signed,
    thickness,
)
from kg_actor.view import CONFUSED, EARNED, SIGNATURE

TAUGHT_DASHES = (0.0, (1.2, 1.4))
"""Line style of an edge that was taught, in part or whole."""

_LABEL_SIZE = 7.5


def draw_edges(axes: Axes, part: Sketch, layout: Layout, patches: dict[str, Patch]) -> list[Label]:
    """Draws all edges; the labels are for later, when it is known where there is room."""
    pen = _Pen(axes, layout, patches)
    labels = []
    confused: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for source, target, data in part.view.edges(data=True):
        if data["kind"] == CONFUSED:
            confused[source, target].append(data)
        elif data["kind"] == EARNED:
            # Only the type in the middle leaves an action out; others may support it.
            faded = target in part.refuted and source == part.centre
            labels.append(pen.earned(source, target, data, faded))
        else:
            labels.append(pen.predicts(source, target, data))
    return labels + [pen.confused(*ends, met) for ends, met in confused.items()]


@dataclass(frozen=True)
class _Pen:
    axes: Axes
    layout: Layout
    patches: dict[str, Patch]

    def earned(self, source: str, target: str, data: dict[str, Any], faded: bool) -> Label:
        start, (x, y) = self.layout.places[source], self.layout.places[target]
        end = (x - self.layout.port, y)
        bend = self.layout.bend(EARNED, start, end)
        opacity = FADED if faded else 1.0
        look: dict[str, Any] = {"alpha": opacity} if faded else {}
        if data.get("taught"):
            look["linestyle"] = TAUGHT_DASHES
        self._arrow(
            (start, end),
            (self.patches[source], None if self.layout.port else self.patches[target]),
            bend,
            color=reward_colour(data["mean_reward"]),
            linewidth=thickness(data["count"] + data.get("taught_weight", 0)),
            **look,
        )
        spots = along(start, end, bend, self.layout.stops)
        return Label(signed(data["mean_reward"]), spots, _LABEL_SIZE, opacity)

    def predicts(self, source: str, target: str, data: dict[str, Any]) -> Label:
        ends = self.layout.places[source], self.layout.places[target]
        tips = self.patches[source], self.patches[target]
        self._arrow(ends, tips, 0.0, color=LINE[SIGNATURE], linewidth=1.2)
        spots = along(*ends, 0.0, (0.42, 0.5, 0.36), (0.0, 14, -14, 22, -22))
        return Label(f"B {data['confidence']:.3f}", spots, _LABEL_SIZE)

    def confused(self, source: str, target: str, met: list[dict[str, Any]]) -> Label:
        ends = self.layout.places[source], self.layout.places[target]
        bend = self.layout.bend(CONFUSED, *ends)
        self._arrow(
            ends,
            (self.patches[source], self.patches[target]),
            bend,
            color=CONFUSED_LINE,
            linewidth=thickness(sum(data["count"] for data in met)),
            linestyle="--",
        )
        spots = along(*ends, bend, STOPS, (0.0, 14, -14, 28, -28))
        return Label(shares_label(met), spots, _LABEL_SIZE)

    def _arrow(
        self,
        ends: tuple[Point, Point],
        tips: tuple[Patch, Patch | None],
        bend: float,
        **look: Any,  # noqa: ANN401 (matplotlib's own)
    ) -> None:
        self.axes.add_patch(
            FancyArrowPatch(
                *ends,
                patchA=tips[0],
                patchB=tips[1],
                connectionstyle=f"arc3,rad={bend}",
                arrowstyle="-|>",
                mutation_scale=11,
                shrinkA=0,
                shrinkB=1,
                zorder=2,
                **look,
            )
        )
