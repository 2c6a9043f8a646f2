"""Where the nodes of a whole graph stand: on three rings.

Types on the middle ring, actions outside, signatures inside, each where its edges are short.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

from kg_actor.drawing.layout import ARC_BENDS, BENDS, Layout, Point
from kg_actor.drawing.selection import View, edges_of, nodes_of
from kg_actor.view import ACTION, CONFUSED, EARNED, PREDICTS, SIGNATURE, TYPE

_RINGS = {ACTION: (470.0, 430.0), TYPE: (312.0, 292.0), SIGNATURE: (188.0, 186.0)}
_RESTARTS = 8


def on_rings(view: View[str]) -> Layout:
    """Types and actions stand where their edges are short, signatures inside of their type."""
    predicts = {a: b for a, b, _ in edges_of(view, PREDICTS)}
    turn = _shorten(view, list(predicts.values()))
    turn |= _spread({name: turn[of] for name, of in predicts.items()})
    places: dict[str, Point] = {}
    for name, data in view.nodes(data=True):
        wide, high = _RINGS[data["kind"]]
        places[name] = (wide * math.sin(turn[name]), high * math.cos(turn[name]))
    return Layout(places, height=940, action_width=132.0, action_letters=18, bends=_bends)


def _bends(kind: str, _start: Point, _end: Point) -> tuple[float, ...]:
    # A confusion always bends to the same side, so that two opposite ones stay apart.
    return {EARNED: BENDS, CONFUSED: ARC_BENDS}.get(kind, (0.0,))


def _shorten(view: View[str], predicted: list[str]) -> dict[str, float]:
    """Angles on the two outer rings at which the type to action edges are short.

    A type takes the more of its ring the more signatures stand at it.
    """
    types, actions = nodes_of(view, TYPE), nodes_of(view, ACTION)
    edges = [(a, b) for a, b, _ in edges_of(view, EARNED)]
    room = {name: 1 + 0.5 * predicted.count(name) for name in types} | dict.fromkeys(actions, 1.0)

    def angles(rings: list[list[str]]) -> dict[str, float]:
        return {
            name: 2 * math.pi * (end - room[name] / 2) / sum(room[other] for other in ring)
            for ring in rings
            for name, end in zip(ring, itertools.accumulate(room[n] for n in ring), strict=True)
        }

    def length(rings: list[list[str]]) -> float:
        turn = angles(rings)
        return sum(math.sin((turn[a] - turn[b]) / 2) ** 4 for a, b in edges)

    rng = np.random.default_rng(0)
    starts = [[types, actions]]
    starts += [[rng.permutation(r).tolist() for r in starts[0]] for _ in range(_RESTARTS)]
    return angles(min((_swapped(start, length) for start in starts), key=length))


def _swapped(rings: list[list[str]], length: Callable[[list[list[str]]], float]) -> list[list[str]]:
    """Swaps places within the rings for as long as that shortens the edges."""
    best, improved = length(rings), True
    while improved:
        improved = False
        for ring in rings:
            for i, j in itertools.combinations(range(len(ring)), 2):
                ring[i], ring[j] = ring[j], ring[i]
                if (now := length(rings)) < best - 1e-9:
                    best, improved = now, True
                else:
                    ring[i], ring[j] = ring[j], ring[i]
    return rings


def _spread(wished: dict[str, float]) -> dict[str, float]:
    """Angles near the wished ones, but far enough from each other to be told apart."""
    gap = min(0.3, 2 * math.pi / max(len(wished), 1))
    names = sorted(wished, key=lambda name: wished[name])
    turn = np.array([wished[name] for name in names], dtype=float)
    for _ in range(200):
        ahead = np.roll(turn, -1) - turn
        if len(turn):
            ahead[-1] += 2 * math.pi
        push = np.maximum(0.0, gap - ahead) / 2 if len(turn) > 1 else np.zeros(len(turn))
        turn = turn - push + np.roll(push, 1)
    return dict(zip(names, turn.tolist(), strict=True))
