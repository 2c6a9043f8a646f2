"""Nodes as shapes: a circle for a type, a hexagon for a signature, a box for an action."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyBboxPatch, Patch, RegularPolygon

from kg_actor.drawing.labels import write
from kg_actor.drawing.layout import Layout
from kg_actor.drawing.selection import Sketch
from kg_actor.drawing.style import (
    FADED,
    FILL,
    LINE,
    NODE_INK,
    SIGNATURE_RADIUS,
    TYPE_RADIUS,
)
from kg_actor.view import ACTION, SIGNATURE, TYPE


def draw_nodes(axes: Axes, part: Sketch, layout: Layout) -> dict[str, Patch]:
    """Draws every node with its label.

    Returns:
        Each node's shape, by its name.
    """
    patches: dict[str, Patch] = {}
    for name, data in part.view.nodes(data=True):
        lines = layout.lines(data["kind"], data["label"])
        faint: dict[str, Any] = {"alpha": FADED} if name in part.refuted else {}
        patch = _shape(name, data["kind"], len(lines), layout, faint)
        patch.set_gid(f"node-{data['kind']}-{len(patches)}")
        axes.add_patch(patch)
        patches[name] = patch
        x, y = layout.places[name]
        for i, line in enumerate(lines):
            high = y + 14 * ((len(lines) - 1) / 2 - i)
            size = 8.5 if len(line) < 14 or data["kind"] == ACTION else 7
            # On a faded box the page shines through, so its text takes the page's ink.
            look = {} if faint else {"color": NODE_INK}
            write(axes, (x, high), line, size, zorder=6, **look)
    return patches


def _shape(name: str, kind: str, lines: int, layout: Layout, look: dict[str, Any]) -> Patch:
    at = layout.places[name]
    style: dict[str, Any] = {
        "facecolor": FILL[kind],
        "edgecolor": LINE[kind],
        "linewidth": 1.4,
        "zorder": 5,
    } | look
    if kind == TYPE:
        return Circle(at, TYPE_RADIUS, **style)
    if kind == SIGNATURE:
        return RegularPolygon(at, 6, radius=SIGNATURE_RADIUS, **style)
    wide, high = layout.box(lines)
    corner = (at[0] - wide / 2, at[1] - high / 2)
    return FancyBboxPatch(corner, wide, high, boxstyle="round,pad=0,rounding_size=5", **style)
