"""The paper's graph as networkx sees it: three node kinds and three edge kinds (Fig. 2).

Built on demand from counts; nothing is ever written back through it.
"""

from __future__ import annotations

from collections.abc import Iterable

import networkx as nx
import numpy as np

from kg_actor.graph import KnowledgeGraph, counters_of
from kg_actor.neighbourhood import action_records

TYPE, ACTION, SIGNATURE = "type", "action", "signature"
"""Node kinds (attribute ``kind``)."""

EARNED, PREDICTS, CONFUSED = "earned", "predicts", "confused"
"""Edge kinds (attribute ``kind``): type -> action, signature -> type, type -> actual type."""


def to_networkx(
    graph: KnowledgeGraph, signatures: Iterable[int] | None = None
) -> nx.MultiDiGraph[str]:
    """The graph's view: what has been seen becomes nodes and edges.

    Nodes are named ``type:DoS``, ``action:Audit``, ``signature:17`` and carry ``kind`` and
    ``label``. Edges carry ``kind`` and

    * ``earned``: ``reward_sum``, ``count``, ``mean_reward``;
    * ``predicts``: ``confidence`` (B), ``seen`` (N), ``correct`` (C);
    * ``confused`` (keyed by signature): ``signature``, ``count``, ``share``, ``confidence``.

    Args:
        graph: the graph.
        signatures: only these signatures (default: all that have matched a flow), the types
            they touch and those types' actions.

    Raises:
        KeyError: there is no such signature.
    """
    counts, catalogue = graph.counts(), graph.catalogue
    view: nx.MultiDiGraph[str] = nx.MultiDiGraph(version=counts.version)
    counters = counters_of(counts, graph.predicted, graph.prior)
    confidence = counters.confidence()
    chosen = np.flatnonzero(counters.seen) if signatures is None else sorted(set(signatures))
    if any(not 0 <= signature < len(graph.predicted) for signature in chosen):
        raise KeyError(f"signatures go from 0 to {len(graph.predicted) - 1}")
    for signature in chosen:
        predicted = int(graph.predicted[signature])
        name, source = f"signature:{signature}", _type(view, catalogue.class_names[predicted])
        view.add_node(name, kind=SIGNATURE, label=str(signature))
        seen, belief = int(counters.seen[signature]), float(confidence[signature])
        view.add_edge(
            name,
            source,
            kind=PREDICTS,
            confidence=belief,
            seen=seen,
            correct=int(counters.correct[signature]),
        )
        for actual in np.flatnonzero(counts.signature_actual[signature]):
            if actual != predicted:
                number = int(counts.signature_actual[signature, actual])
                view.add_edge(
                    source,
                    _type(view, catalogue.class_names[int(actual)]),
                    key=name,
                    kind=CONFUSED,
                    signature=int(signature),
                    count=number,
                    share=number / seen,
                    confidence=belief,
                )
    _add_actions(view, graph)
    return view


def _type(view: nx.MultiDiGraph[str], name: str) -> str:
    node = f"type:{name}"
    view.add_node(node, kind=TYPE, label=name)
    return node


def _add_actions(view: nx.MultiDiGraph[str], graph: KnowledgeGraph) -> None:
    counts, catalogue = graph.counts(), graph.catalogue
    for predicted, name in enumerate(catalogue.class_names):
        source = f"type:{name}"
        if source not in view:
            continue
        for record in action_records(counts, catalogue, predicted):
            target = f"action:{record.action}"
            view.add_node(target, kind=ACTION, label=record.action)
            view.add_edge(
                source,
                target,
                kind=EARNED,
                reward_sum=record.reward_sum,
                count=record.count,
                mean_reward=record.mean_reward,
            )
