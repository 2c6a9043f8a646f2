"""Where the nodes of a neighbourhood stand: signatures, types and actions in three columns.

The type asked about is in the middle of its column, next to the types that its flows most
often were; actions stand in the order of their mean reward.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

from kg_actor.drawing.layout import Layout, Point
from kg_actor.drawing.selection import View, edges_of, nodes_of
from kg_actor.view import ACTION, CONFUSED, EARNED, SIGNATURE, TYPE

_LEFT, _MIDDLE, _RIGHT = -470.0, -130.0, 400.0
_STEP = {SIGNATURE: 62.0, TYPE: 118.0, ACTION: 48.0}
_MARGIN = 64.0
_ACTION_WIDTH = 250.0
_SLOPES = (0.62, 0.5, 0.75, 0.4)


def in_columns(view: View[str], centre: str) -> Layout:
    """Places for the neighbourhood of the type named ``centre``."""
    others = _most_confused(view, centre)
    types = {centre: 0.0} | dict(zip(others, _by_turns(_STEP[TYPE]), strict=False))
    own = [action for source, action, _ in edges_of(view, EARNED) if source == centre]
    places = _column(_MIDDLE, _centred(types))
    level = places[centre][1]
    actions = dict.fromkeys([*own, *nodes_of(view, ACTION)])
    places |= _column(_RIGHT, _centred(_down(list(actions), _STEP[ACTION])))
    signatures = _centred(_down(nodes_of(view, SIGNATURE), _STEP[SIGNATURE]))
    places |= _column(_LEFT, {name: level + y for name, y in signatures.items()})
    low, high = min(y for _, y in places.values()), max(y for _, y in places.values())
    middle = (low + high) / 2
    places = {name: (x, y - middle) for name, (x, y) in places.items()}
    return Layout(
        places,
        height=high - low + 2 * _MARGIN,
        action_width=_ACTION_WIDTH,
        action_letters=34,
        bends=_bends,
        stops=(0.88, 0.83, 0.78, 0.73, 0.68, 0.63, 0.58, 0.53, 0.48, 0.42),
        port=_ACTION_WIDTH / 2,
    )


def _most_confused(view: View[str], centre: str) -> list[str]:
    """The other types, those that the middle is most often mistaken for first."""
    met: Counter[str] = Counter()
    for _, actual, data in edges_of(view, CONFUSED):
        met[actual] += data["count"]
    others = [name for name in nodes_of(view, TYPE) if name != centre]
    return sorted(others, key=lambda name: -met[name])


def _down(names: list[str], step: float) -> dict[str, float]:
    return {name: -step * i for i, name in enumerate(names)}


def _centred(column: dict[str, float]) -> dict[str, float]:
    middle = (max(column.values(), default=0.0) + min(column.values(), default=0.0)) / 2
    return {name: y - middle for name, y in column.items()}


def _column(x: float, heights: dict[str, float]) -> dict[str, Point]:
    return {name: (x, y) for name, y in heights.items()}


def _by_turns(step: float) -> Iterator[float]:
    """Heights above and below the middle, by turns."""
    for i in itertools.count(1):
        yield from (step * i, -step * i)


def _bends(kind: str, start: Point, end: Point) -> tuple[float, ...]:
    if kind != CONFUSED:
        return (0.0,)
    # To the left of the column, whether the edge runs up or down; actions are to the right.
    side = -1.0 if end[1] > start[1] else 1.0
    return tuple(side * slope for slope in _SLOPES)
