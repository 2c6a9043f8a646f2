"""Where nodes stand: signatures, traffic types and mitigations in three columns.

Places are in pixels, y upwards, with the middle of the drawing at (0, 0).
"""

from __future__ import annotations

import networkx as nx

from kg_actor.drawing.selection import Sketch, confusions_of, edges_of, nodes_of
from kg_actor.view import ACTION, EARNED, PREDICTS, SIGNATURE, TYPE

Point = tuple[float, float]

WIDTH = 960
SIZE = {SIGNATURE: (46.0, 46.0), TYPE: (84.0, 84.0), ACTION: (222.0, 36.0)}
"""Width and height of nodes."""

_COLUMN = {SIGNATURE: -430.0, TYPE: -190.0, ACTION: 352.0}
_STEP = {SIGNATURE: 54.0, TYPE: 112.0, ACTION: 46.0}


def places(part: Sketch) -> dict[str, Point]:
    """The place of each node's middle."""
    found = {}
    for kind, column in _columns(part).items():
        top = (len(column) - 1) * _STEP[kind] / 2
        for i, name in enumerate(column):
            found[name] = _COLUMN[kind], top - i * _STEP[kind]
    return found


def _columns(part: Sketch) -> dict[str, list[str]]:
    """The nodes of each column from the top down."""
    types, actions = nodes_of(part.view, TYPE), nodes_of(part.view, ACTION)
    earned = [(source, target) for source, target, _ in edges_of(part.view, EARNED)]
    if part.centre is None:
        # Connected nodes stand close to each other, so that their edges cross little. Numbers,
        # unlike names, have the same order in every process.
        number = {name: i for i, name in enumerate([*types, *actions])}
        near = nx.Graph((number[a], number[b]) for a, b in [*earned, *confusions_of(part.view)])
        near.add_nodes_from(number.values())
        order = nx.spectral_ordering(near, seed=0)
        types, actions = (
            sorted(names, key=lambda name: order.index(number[name])) for names in (types, actions)
        )
    else:
        # The type asked about is in the middle; its actions stand in order of mean reward.
        others = [name for name in types if name != part.centre]
        types = [*others[::2], part.centre, *others[1::2]]
        own = [target for source, target in earned if source == part.centre]
        actions = list(dict.fromkeys([*own, *actions]))
    predicts = {source: target for source, target, _ in edges_of(part.view, PREDICTS)}
    signatures = [f"signature:{i}" for i in part.signatures]
    signatures.sort(key=lambda name: types.index(predicts[name]))
    return {SIGNATURE: signatures, TYPE: types, ACTION: actions}
