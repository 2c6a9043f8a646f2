"""What a layout says: where nodes stand, and how edges run between them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

from envs.errors import printable
from kg_actor.drawing.style import shorten, wrap
from kg_actor.view import ACTION

Point = tuple[float, float]

BENDS = (0.0, 0.14, -0.14, 0.26, -0.26, 0.38, -0.38)
"""How far an edge may leave the straight line, as a share of its length, best first."""

ARC_BENDS = BENDS[1::2]
"""Those of :data:`BENDS` that bend to one side only."""

STOPS = (0.5, 0.44, 0.56, 0.38, 0.62, 0.32, 0.68, 0.74, 0.26)
"""Where along an edge its label may stand, best first."""

_CLEARANCE, _LINE_HEIGHT, _LONGEST = 52.0, 14, 80


@dataclass(frozen=True)
class Layout:
    """Where the nodes of a view stand; pixels, y upwards, the middle at (0, 0).

    Attributes:
        places: of each node.
        height: of the picture without its key.
        action_width: of an action's box.
        action_letters: about how many letters of its name go into one line.
        bends: for an edge's kind and its ends, the bends it may take, best first.
        stops: where a type -> action edge may carry its label, best first.
        port: how far left of an action's middle its edges end; 0 where they come from all
            sides and aim at the middle.
    """

    places: dict[str, Point]
    height: float
    action_width: float
    action_letters: int
    bends: Callable[[str, Point, Point], tuple[float, ...]]
    stops: tuple[float, ...] = STOPS
    port: float = 0.0

    def lines(self, kind: str, label: str) -> list[str]:
        """A node's label as it is written into the node; an action's may take several lines."""
        label = shorten(printable(label), _LONGEST)
        return wrap(label, self.action_letters) if kind == ACTION else [label]

    def box(self, lines: int) -> Point:
        """Width and height of an action whose label takes so many lines."""
        return self.action_width, _LINE_HEIGHT * lines + 9

    def bend(self, kind: str, start: Point, end: Point) -> float:
        """The first bend of an edge that runs into the fewest other nodes."""
        others = [at for at in self.places.values() if at not in (start, end)]

        def met(bend: float) -> int:
            way = along(start, end, bend, tuple(i / 24 for i in range(1, 24)))
            return sum(min(math.dist(at, point) for point in way) < _CLEARANCE for at in others)

        return min(self.bends(kind, start, end), key=met)


def along(
    start: Point,
    end: Point,
    bend: float,
    stops: tuple[float, ...],
    aside: tuple[float, ...] = (0.0,),
) -> list[Point]:
    """Points on the curve that matplotlib's ``arc3`` draws, then points beside it."""
    (x1, y1), (x2, y2) = start, end
    dx, dy = x2 - x1, y2 - y1
    size = math.hypot(dx, dy) or 1.0
    cx, cy = (x1 + x2) / 2 + bend * dy, (y1 + y2) / 2 - bend * dx
    points = []
    for off, t in itertools.product(aside, stops):
        a, b, c = (1 - t) ** 2, 2 * t * (1 - t), t * t
        points.append(
            (a * x1 + b * cx + c * x2 - off * dy / size, a * y1 + b * cy + c * y2 + off * dx / size)
        )
    return points
