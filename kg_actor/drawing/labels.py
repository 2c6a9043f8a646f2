"""Labels of edges: text on a piece of paper, put where it covers the least."""

from __future__ import annotations

from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Patch
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from kg_actor.drawing.layout import Point
from kg_actor.drawing.style import INK, PAPER


class Label(NamedTuple):
    """Text for an edge, and the points where it may stand, best first."""

    text: str
    places: list[Point]
    size: float
    opacity: float = 1.0


def place_labels(axes: Axes, nodes: list[Patch], labels: list[Label]) -> None:
    """Puts each label where it covers the least of what is there already."""
    canvas = axes.figure.canvas
    renderer = canvas.get_renderer()  # type: ignore[attr-defined]  # an Agg canvas has one
    taken = [node.get_window_extent(renderer) for node in nodes]
    # Tall labels have the fewest places to go, so they choose first.
    for label in sorted(labels, key=lambda label: -label.text.count("\n")):
        box = write(axes, label.places[0], label.text, label.size).get_window_extent(renderer)
        axes.texts[-1].remove()
        wide, high = box.width / 2 + 2, box.height / 2 + 2

        def around(at: Point, wide: float = wide, high: float = high) -> Bbox:
            x, y = axes.transData.transform(at)
            return Bbox.from_extents(x - wide, y - high, x + wide, y + high)

        best = min(label.places, key=lambda at: sum(_overlap(around(at), b) for b in taken))
        taken.append(around(best))
        _boxed(axes, best, label, (2 * wide, 2 * high))


def write(axes: Axes, at: Point, text: str, size: float, **style: Any) -> Text:  # noqa: ANN401
    """One line of text, never read as mathematics: a name may hold a dollar sign."""
    look: dict[str, Any] = {
        "ha": "center",
        "va": "center",
        "color": INK,
        "parse_math": False,
    } | style
    return axes.text(*at, text, fontsize=size, **look)


def _overlap(one: Bbox, other: Bbox) -> float:
    common = Bbox.intersection(one, other)
    return float(common.width * common.height) if common else 0.0


def _boxed(axes: Axes, at: Point, label: Label, size: tuple[float, float]) -> None:
    """A label on a piece of paper; one text per line, so that it stays centred in any font."""
    corner = (at[0] - size[0] / 2, at[1] - size[1] / 2)
    style = "round,pad=0,rounding_size=3"
    axes.add_patch(
        FancyBboxPatch(
            corner, *size, boxstyle=style, facecolor=PAPER, edgecolor="none", alpha=0.88, zorder=3
        )
    )
    lines = label.text.split("\n")
    faint = {"alpha": label.opacity} if label.opacity < 1 else {}
    for i, line in enumerate(lines):
        y = at[1] + (size[1] - 3) / len(lines) * ((len(lines) - 1) / 2 - i)
        write(axes, (at[0], y), line, label.size, zorder=4, **faint)
