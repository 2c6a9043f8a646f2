"""The key below a picture: what shapes, lines and colours mean."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyBboxPatch, Patch, RegularPolygon

from kg_actor.drawing.edges import TAUGHT_DASHES
from kg_actor.drawing.labels import write
from kg_actor.drawing.selection import Sketch, edges_of
from kg_actor.drawing.style import (
    BEST,
    CONFUSED_LINE,
    FADED,
    FILL,
    LINE,
    WIDTH,
    WORST,
    reward_colour,
    shorten,
    sources_of,
)
from kg_actor.view import ACTION, EARNED, SIGNATURE, TYPE

_ROW, _TEXT = 20, 8.5
_NAMED_SOURCES = 3

Line = tuple[str, str, dict[str, Any]]  # what it means, its colour, its look


def key_height(part: Sketch) -> float:
    """Pixels that the key of a picture takes."""
    return 4 + _ROW * max(len(_lines(part)), 3)


def draw_key(axes: Axes, part: Sketch, top: float) -> None:
    """Draws the key, its first row at height ``top``."""
    nodes = ((TYPE, "traffic type"), (ACTION, "mitigation action"), (SIGNATURE, "signature id"))
    for i, (kind, said) in enumerate(nodes):
        at = (-WIDTH / 2 + 44, top - _ROW * i)
        axes.add_patch(_mark(kind, at))
        write(axes, (at[0] + 18, at[1]), said, _TEXT, ha="left")
    left = -WIDTH / 2 + 230
    for i, (said, colour, look) in enumerate(_lines(part)):
        y = top - _ROW * i
        axes.plot([left, left + 36], [y, y], color=colour, linewidth=2, **look)
        write(axes, (left + 46, y), said, _TEXT, ha="left")
    _reward_scale(axes, (WIDTH / 2 - 280, top - 4))


def _mark(kind: str, at: tuple[float, float]) -> Patch:
    style: dict[str, Any] = {"facecolor": FILL[kind], "edgecolor": LINE[kind]}
    if kind == ACTION:
        return FancyBboxPatch((at[0] - 10, at[1] - 6), 20, 12, boxstyle="round,pad=0", **style)
    if kind == SIGNATURE:
        return RegularPolygon(at, 6, radius=8, **style)
    return Circle(at, 7, **style)


def _lines(part: Sketch) -> list[Line]:
    colour = reward_colour(BEST)
    lines: list[Line] = [
        ("type to action: mean reward (width: how often)", colour, {"linestyle": "-"}),
        ("signature to predicted type: confidence B", LINE[SIGNATURE], {"linestyle": "-"}),
        (
            "type to actual type: share of the signature's flows misdetected",
            CONFUSED_LINE,
            {"linestyle": "--"},
        ),
    ]
    taught = [data for *_, data in edges_of(part.view, EARNED) if data.get("taught")]
    if taught:
        said = f"dotted: taught, in part or whole{_by(sources_of(taught))}"
        lines.append((said, colour, {"linestyle": TAUGHT_DASHES}))
    if part.refuted:
        said = "faded: negative record, left out of the prompt"
        lines.append((said, reward_colour(WORST), {"alpha": FADED}))
    return lines


def _by(sources: list[str]) -> str:
    if not sources:
        return ""
    named = [shorten(source, 30) for source in sources[:_NAMED_SOURCES]]
    more = len(sources) - len(named)
    return f" (by {', '.join(named)}{f' and {more} more' if more else ''})"


def _reward_scale(axes: Axes, at: tuple[float, float]) -> None:
    wide, steps = 240.0, 24
    for i in range(steps):
        reward = WORST + (BEST - WORST) * (i + 0.5) / steps
        x = at[0] + wide * i / steps
        axes.fill_between(
            [x, x + wide / steps], at[1] - 5, at[1] + 5, color=reward_colour(reward), linewidth=0
        )
    for share, said in ((0.0, f"−{-WORST}"), (0.5, "mean reward"), (1.0, f"+{BEST}")):
        write(axes, (at[0] + wide * share, at[1] - 18), said, _TEXT)
