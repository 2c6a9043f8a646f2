"""Which part of a graph is worth looking at: a whole graph is too much for one picture.

Nothing here knows how the part is shown.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd

from envs import InputError
from kg_actor.expected import Expected
from kg_actor.graph import KnowledgeGraph
from kg_actor.neighbourhood import neighbourhood
from kg_actor.view import ACTION, CONFUSED, EARNED, SIGNATURE, to_networkx

_SIGNATURES, _ACTIONS = 12, 2
"""How many signatures are drawn, and actions of each type that is not asked about."""

_ORDER = (
    "first those on which acting on the detected type is not the best by the records (most flows "
    "first), then those with the most misdetected flows, then those with the most flows"
)

View = nx.MultiDiGraph  # what to_networkx returns; its type parameter exists for checkers only


@dataclass(frozen=True)
class Sketch:
    """The part of a graph that is drawn.

    Attributes:
        view: nodes and edges drawn; a subset of :func:`kg_actor.to_networkx`.
        caption: a few sentences: what is drawn, and what it tells.
        rewards: the lowest and the highest reward of the graph's catalogue.
        signatures: the signatures drawn, most telling first.
        centre: node of the traffic type in the middle; ``None`` for a part of the whole graph.
        refuted: nodes of the actions that the filter of section III-C leaves out for the
            signature asked about.
        expected: by an action's node, the reward expected per flow of that signature, if it
            has matched any.
    """

    view: View[str]
    caption: str
    rewards: tuple[int, int]
    signatures: tuple[int, ...]
    centre: str | None = None
    refuted: frozenset[str] = frozenset()
    expected: Mapping[str, float] = field(default_factory=dict)


def sketch(
    graph: KnowledgeGraph, *, signature: int | None = None, traffic: str | None = None
) -> Sketch:
    """Chooses what to draw: the part of the whole graph that tells most, or a neighbourhood.

    A neighbourhood is what is connected to one signature or one traffic type (paper, Fig. 2
    and section III-C). The type in the middle keeps all of its actions, others their best few.

    Args:
        graph: the graph.
        signature: id of the signature; the middle is the type that it predicts.
        traffic: name of the type, in place of a signature.

    Raises:
        InputError: both are given, there is no such signature or type, or nothing is known yet
            of the type or in all.
    """
    if signature is not None and traffic is not None:
        raise InputError("a signature and a traffic type are both given", mend="Leave one out")
    if signature is not None:
        return _around_signature(graph, signature)
    if traffic is not None:
        return _around_type(graph, traffic)
    table, view = _salient(graph, Expected(graph)), to_networkx(graph)
    if not view:
        raise InputError("the graph is empty", expected="a graph that has seen a flow or a lesson")
    chosen = table.index[:_SIGNATURES].tolist()
    left_out = set(nodes_of(view, SIGNATURE)) - {f"signature:{i}" for i in chosen}
    view.remove_nodes_from(left_out)
    view.remove_edges_from([edge for edge in view.edges(keys=True) if edge[2] in left_out])
    caption = (
        f"Drawn: {len(chosen):,} of {len(table):,} signatures{f', {_ORDER}' if left_out else ''}; "
        f"and of each type its best actions, {_ACTIONS} at most. Acting on the detected type is "
        f"not the best on {np.count_nonzero(table.stake):,} of {len(table):,} signatures."
    )
    return _trimmed(graph, view, chosen, caption)


def nodes_of(view: View[str], kind: str) -> list[str]:
    """Names of a view's nodes of one kind."""
    return [name for name, data in view.nodes(data=True) if data["kind"] == kind]


def edges_of(view: View[str], kind: str) -> list[tuple[str, str, dict[str, Any]]]:
    """A view's edges of one kind: source, target, attributes."""
    return [edge for edge in view.edges(data=True) if edge[2]["kind"] == kind]


def confusions_of(view: View[str]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """A view's type -> actual type edges by their two ends, most flows first."""
    met: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for source, target, data in edges_of(view, CONFUSED):
        met[source, target].append(data)
    return {ends: sorted(edges, key=lambda edge: -edge["count"]) for ends, edges in met.items()}


def _salient(graph: KnowledgeGraph, expected: Expected) -> pd.DataFrame:
    """The signatures that have matched a flow, by id, in the order that captions tell.

    Among those with as many misdetected flows, none, the predicted types take turns.
    """
    right = expected.share[np.arange(len(graph.predicted)), graph.predicted]
    table = pd.DataFrame({"predicted": graph.predicted, "seen": expected.flows})
    table["stake"] = table.seen.where(expected.best != expected.usual, 0)
    table["wrong"] = (table.seen * (1 - right)).round(9)
    table = table[table.seen > 0].sort_values("seen", ascending=False, kind="stable")
    table["turn"] = table.groupby("predicted").cumcount().where(table.wrong == 0, 0)
    down = [False, False, True, False]
    return table.sort_values(["stake", "wrong", "turn", "seen"], ascending=down, kind="stable")


def _around_type(graph: KnowledgeGraph, traffic: str) -> Sketch:
    names, centre = graph.catalogue.class_names, f"type:{traffic}"
    if traffic not in names:
        raise InputError(f"no traffic type {traffic!r}", expected=f"one of {', '.join(names)}")
    own = np.flatnonzero(graph.predicted == names.index(traffic)).tolist()
    table = _salient(graph, Expected(graph))
    chosen = (table.index[table.index.isin(own)].tolist() or own)[:_SIGNATURES]
    view = to_networkx(graph, chosen or None)
    if not chosen:  # No signature predicts it, but it may have been taught about.
        if centre not in view or not view.out_degree(centre):
            raise InputError(
                f"nothing is known of traffic type {traffic!r}",
                expected="a type that a signature predicts or that was taught about",
            )
        view = view.subgraph([centre, *view.successors(centre)]).copy()
    which = f", {_ORDER}" if len(chosen) < len(own) else ""
    caption = f"Around {traffic}: {len(chosen):,} of the {len(own):,} signatures that predict it"
    return _trimmed(graph, view, chosen, f"{caption}{which}.", centre)


def _around_signature(graph: KnowledgeGraph, signature: int) -> Sketch:
    if not 0 <= signature < len(graph.predicted):
        raise InputError(
            f"no signature {signature}", expected=f"an id from 0 to {len(graph.predicted) - 1}"
        )
    known, expected = neighbourhood(graph, signature), Expected(graph)
    caption = f"Signature {signature} predicts {known.predicted}. "
    if wrong := known.seen - known.correct:
        caption += f"Of its {known.seen:,} flows, {wrong:,} were of another type. "
    caption += expected.reason(signature)
    refuted = frozenset(f"action:{each.action}" for each in known.actions if each.left_out)
    if refuted:
        caption += (
            f" Faded ({len(refuted)}): actions with a negative record that no type met by mistake "
            "makes good; the filter of section III-C leaves them out of the prompt."
        )
    nodes = [f"action:{name}" for name in graph.catalogue.action_names]
    rewards = dict(zip(nodes, expected.reward[signature], strict=True)) if known.seen else {}
    view, centre = to_networkx(graph, [signature]), f"type:{known.predicted}"
    part = _trimmed(graph, view, [signature], caption, centre)
    return replace(part, refuted=refuted, expected=rewards)


def _trimmed(
    graph: KnowledgeGraph, view: View[str], signatures: list[int], caption: str, centre: str = ""
) -> Sketch:
    """A sketch without actions beyond a type's best few, or of a negative record."""
    rank: Counter[str] = Counter()
    for source, target, data in edges_of(view, EARNED):
        # The view has a type's actions best first, and networkx keeps that order.
        rank[source] += 1
        late = rank[source] > (_ACTIONS if data["mean_reward"] > 0 else 1)
        if late and source != centre:
            view.remove_edge(source, target)
    view.remove_nodes_from([name for name in nodes_of(view, ACTION) if not view.degree(name)])
    bounds = graph.catalogue.lowest_reward, graph.catalogue.highest_reward
    return Sketch(view, caption, bounds, tuple(signatures), centre or None)
