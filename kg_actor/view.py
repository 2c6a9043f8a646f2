"""The paper's graph as networkx sees it: three node kinds and three edge kinds (Fig. 2).

Built on demand from counts; nothing is ever written back through it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from envs import Catalogue
from kg_actor.graph import KnowledgeGraph
from kg_actor.neighbourhood import Answers
from kg_actor.records import ActionRecord, Neighbourhood, mean_rewards

TYPE, ACTION, SIGNATURE = "type", "action", "signature"
"""Node kinds (attribute ``kind``)."""

EARNED, PREDICTS, CONFUSED = "earned", "predicts", "confused"
"""Edge kinds (attribute ``kind``): type -> action, signature -> type, type -> actual type."""


class Edges(NamedTuple):
    """Which edges the view of a whole graph has.

    Attributes:
        earned: bool [classes, actions], type -> action.
        predicts: bool [signatures], signature -> the type it predicts.
        confused: bool [signatures, classes], of a signature, predicted -> actual type.
    """

    earned: NDArray[np.bool_]
    predicts: NDArray[np.bool_]
    confused: NDArray[np.bool_]


def edges_of(graph: KnowledgeGraph) -> Edges:
    """The edges of :func:`to_networkx` as arrays, for those who only count or compare them."""
    counts = graph.counts()
    weight, _ = mean_rewards(counts, graph.catalogue)
    confused = np.asarray(counts.signature_evidence > 0)
    confused[np.arange(len(graph.predicted)), graph.predicted] = False
    seen = np.count_nonzero(counts.signature_actual, axis=1) > 0
    return Edges(weight > 0, seen, confused)


def to_networkx(
    graph: KnowledgeGraph, signatures: Iterable[int] | None = None
) -> nx.MultiDiGraph[str]:
    """The graph's view: what has been seen or taught becomes nodes and edges.

    Nodes are named ``type:DoS``, ``action:Audit``, ``signature:17`` and carry ``kind``,
    ``label`` and

    * types: ``name``;
    * actions: ``name``, ``attack_id`` (empty for 'No Action');
    * signatures: ``seen`` (N), ``correct`` (C), ``confidence`` (B).

    Edges carry ``kind``, ``evidence`` (flows' worth of learnt experience; fewer than the
    flows where forgetting is on) and

    * ``earned``: ``reward_sum``, ``count``, ``mean_reward`` (learnt and taught together),
      ``taught`` (whether anybody taught it), ``taught_weight``, ``sources`` (a list);
    * ``predicts``: ``confidence`` (B), ``seen`` (N), ``correct`` (C);
    * ``confused`` (keyed by signature): ``signature``, ``count``, ``share``, ``confidence``.

    Args:
        graph: the graph.
        signatures: only these signatures (default: all that have matched a flow, and all
            types that were taught about), the types they touch and those types' actions.

    Raises:
        KeyError: there is no such signature.
    """
    answers, catalogue = Answers(graph), graph.catalogue
    view: nx.MultiDiGraph[str] = nx.MultiDiGraph(version=answers.counts.version)
    seen = answers.counts.signature_actual.any(axis=1)
    chosen = np.flatnonzero(seen).tolist() if signatures is None else sorted(set(signatures))
    for around in answers.around(chosen):
        _add_signature(view, around)
    for traffic, name in enumerate(catalogue.class_names):
        records = answers.actions(traffic)
        if signatures is None and any(record.sources for record in records):
            _type(view, name)
        if f"type:{name}" in view:
            _add_actions(view, name, records, catalogue)
    return view


def _type(view: nx.MultiDiGraph[str], name: str) -> str:
    node = f"type:{name}"
    view.add_node(node, kind=TYPE, label=name, name=name)
    return node


def _add_signature(view: nx.MultiDiGraph[str], around: Neighbourhood) -> None:
    name, source = f"signature:{around.signature}", _type(view, around.predicted)
    record = {
        "confidence": around.confidence,
        "seen": around.seen,
        "correct": around.correct,
    }
    view.add_node(name, kind=SIGNATURE, label=str(around.signature), **record)
    view.add_edge(name, source, kind=PREDICTS, evidence=around.evidence, **record)
    for confusion in around.confusions:
        view.add_edge(
            source,
            _type(view, confusion.actual),
            key=name,
            kind=CONFUSED,
            signature=around.signature,
            count=confusion.count,
            evidence=confusion.evidence,
            share=confusion.share,
            confidence=confusion.confidence,
        )


def _add_actions(
    view: nx.MultiDiGraph[str], traffic: str, records: Iterable[ActionRecord], catalogue: Catalogue
) -> None:
    ids = {action.name: action.attack_id or "" for action in catalogue.actions}
    for record in records:
        target = f"action:{record.action}"
        view.add_node(
            target,
            kind=ACTION,
            label=record.action,
            name=record.action,
            attack_id=ids[record.action],
        )
        view.add_edge(
            f"type:{traffic}",
            target,
            kind=EARNED,
            reward_sum=record.reward_sum,
            count=record.count,
            evidence=record.evidence,
            mean_reward=record.mean_reward,
            taught=bool(record.sources),
            taught_weight=record.taught_weight,
            sources=list(record.sources),
        )
