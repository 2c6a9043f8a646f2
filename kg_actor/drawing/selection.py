"""Which part of a graph is worth looking at: a whole graph is too much for one picture.

Either the signatures that tell most, of the whole graph, or what is connected to one
signature or one traffic type (paper, Fig. 2 and section III-C). Nothing here knows how
the part is shown.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np

from envs import InputError
from kg_actor.graph import KnowledgeGraph, counters_of
from kg_actor.neighbourhood import neighbourhood
from kg_actor.view import ACTION, CONFUSED, EARNED, PREDICTS, SIGNATURE, TYPE, to_networkx

_SUPPORT = 6
"""So many actions of other types make a neighbourhood complete, and no more can be read."""

View = nx.MultiDiGraph  # what to_networkx returns; its type parameter exists for checkers only


@dataclass(frozen=True)
class Sketch:
    """The part of a graph that is drawn.

    Attributes:
        view: nodes and edges drawn; a subset of :func:`kg_actor.to_networkx`.
        caption: one or two sentences: what is drawn and what was left out.
        centre: name of the traffic type in the middle; ``None`` for a part of the whole graph.
        refuted: nodes of the actions that the filter of section III-C leaves out for the
            signature asked about; empty where none was.
    """

    view: View[str]
    caption: str
    centre: str | None = None
    refuted: frozenset[str] = frozenset()


def salient(graph: KnowledgeGraph, signatures: int = 12, traffic: str | None = None) -> list[int]:
    """The signatures that tell most: those with the most misdetected flows.

    Where fewer than ``signatures`` have any, those with the most flows follow, taking turns
    between the predicted types.

    Args:
        graph: the graph.
        signatures: how many at most; only signatures that have matched a flow count.
        traffic: only signatures that predict this type.

    Raises:
        KeyError: there is no such type.
    """
    counters = counters_of(graph.counts(), graph.prior)
    seen, wrong = counters.seen, counters.seen - counters.correct
    place: dict[int, int] = {}
    met: dict[int, int] = defaultdict(int)
    for signature in np.argsort(-seen, kind="stable").tolist():
        predicted = int(graph.predicted[signature])
        place[signature] = met[predicted]
        met[predicted] += 1
    candidates = np.flatnonzero(seen).tolist()
    if traffic is not None:
        wanted = graph.catalogue.class_index(traffic)
        candidates = [i for i in candidates if graph.predicted[i] == wanted]
    candidates.sort(key=lambda i: (-wrong[i], place[i] if wrong[i] == 0 else 0, -seen[i], i))
    return [int(signature) for signature in candidates[:signatures]]


def sketch(graph: KnowledgeGraph, signatures: int = 12, actions: int = 3) -> Sketch:
    """Chooses what to draw of a whole graph.

    Args:
        graph: the graph.
        signatures: how many of the most telling signatures.
        actions: how many actions per type, those of highest mean reward.
    """
    whole = to_networkx(graph)
    view: View[str] = whole.copy()
    chosen = {f"signature:{i}" for i in salient(graph, signatures)}
    names = nodes_of(view, SIGNATURE)
    view.remove_nodes_from([name for name in names if name not in chosen])
    dropped = _beyond(view, actions)
    dropped += [
        (source, target, key)
        for source, target, key, data in view.edges(keys=True, data=True)
        if data["kind"] == CONFUSED and key not in chosen
    ]
    view.remove_edges_from(dropped)
    view.remove_nodes_from([name for name in nodes_of(view, ACTION) if not view.degree(name)])
    return Sketch(view, _whole_caption(whole, view, actions))


def around(
    graph: KnowledgeGraph,
    *,
    signature: int | None = None,
    traffic: str | None = None,
    signatures: int = 8,
) -> Sketch:
    """What is connected to one signature or to one traffic type.

    The type in the middle keeps all of its actions, the types that its flows really were the
    best few only.

    Args:
        graph: the graph.
        signature: id of the signature; the middle is the type that it predicts.
        traffic: name of the type, in place of a signature.
        signatures: how many of a type's most telling signatures.

    Raises:
        InputError: no such signature or type, or nothing is known of the type.
        ValueError: both are given, or none.
    """
    if (signature is None) == (traffic is None):
        raise ValueError("give a signature or a traffic type, one of them")
    refuted: frozenset[str] = frozenset()
    if signature is not None:
        _check_signature(graph, signature)
        chosen = [signature]
        record = neighbourhood(graph, signature)
        middle = record.predicted
        refuted = frozenset(f"action:{a.action}" for a in record.actions if a.left_out)
    else:
        middle = _checked_type(graph, str(traffic))
        chosen = salient(graph, signatures, middle) or _predicting(graph, middle)[:signatures]
    centre = f"type:{middle}"
    view = to_networkx(graph, chosen) if chosen else _taught_only(graph, centre)
    others = len(nodes_of(view, TYPE)) - 1
    view.remove_edges_from(_beyond(view, max(1, _SUPPORT // max(others, 1)), but=centre))
    view.remove_edges_from(_unsupported(view, centre))
    view.remove_nodes_from([name for name in nodes_of(view, ACTION) if not view.degree(name)])
    caption = _signature_caption if signature is not None else _type_caption
    told = caption(graph, view, centre, chosen) + _refuted_sentence(len(refuted))
    return Sketch(view, told, centre, refuted)


def nodes_of(view: View[str], kind: str) -> list[str]:
    """Names of a view's nodes of one kind."""
    return [name for name, data in view.nodes(data=True) if data["kind"] == kind]


def edges_of(view: View[str], kind: str) -> list[tuple[str, str, dict[str, Any]]]:
    """A view's edges of one kind: source, target, attributes."""
    return [edge for edge in view.edges(data=True) if edge[2]["kind"] == kind]


def _beyond(view: View[str], actions: int, but: str | None = None) -> list[tuple[str, str, Any]]:
    """The type to action edges beyond the best few of each type."""
    late = []
    earned: Counter[str] = Counter()
    for source, target, key, data in view.edges(keys=True, data=True):
        # The view adds a type's actions best first, and networkx keeps that order.
        earned[source] += data["kind"] == EARNED
        if data["kind"] == EARNED and earned[source] > actions and source != but:
            late.append((source, target, key))
    return late


def _unsupported(view: View[str], centre: str) -> list[tuple[str, str, Any]]:
    """Edges of other types that support no action: a negative mean, and not their best."""
    best: set[str] = set()
    found = []
    for source, target, key, data in view.edges(keys=True, data=True):
        if data["kind"] == EARNED and source != centre:
            if source in best and data["mean_reward"] <= 0:
                found.append((source, target, key))
            best.add(source)
    return found


def _taught_only(graph: KnowledgeGraph, centre: str) -> View[str]:
    """A type that no signature predicts, with what was taught about it."""
    whole = to_networkx(graph)
    if centre not in whole or not whole.out_degree(centre):
        raise InputError(
            f"nothing is known of traffic type {centre.removeprefix('type:')!r}",
            expected="a type that a signature predicts or that was taught about",
            mend="Choose another type",
        )
    view: View[str] = whole.subgraph([centre, *whole.successors(centre)]).copy()
    return view


def _check_signature(graph: KnowledgeGraph, signature: int) -> None:
    if not 0 <= signature < len(graph.predicted):
        raise InputError(
            f"no signature {signature}",
            expected=f"an id from 0 to {len(graph.predicted) - 1}",
            mend="Choose a signature of this graph's scenario",
        )


def _checked_type(graph: KnowledgeGraph, traffic: str) -> str:
    names = graph.catalogue.class_names
    if traffic not in names:
        raise InputError(f"no traffic type {traffic!r}", expected=f"one of {', '.join(names)}")
    return traffic


def _predicting(graph: KnowledgeGraph, traffic: str) -> list[int]:
    wanted = graph.predicted == graph.catalogue.class_index(traffic)
    return [int(signature) for signature in np.flatnonzero(wanted)]


def _erring(view: View[str]) -> int:
    return sum(data["correct"] < data["seen"] for *_, data in edges_of(view, PREDICTS))


def _whole_caption(whole: View[str], view: View[str], actions: int) -> str:
    seen, shown = len(nodes_of(whole, SIGNATURE)), len(nodes_of(view, SIGNATURE))
    erring = _erring(view)
    which = "those with the most flows, type by type"
    if erring:
        which = "those with the most misdetected flows"
        which += f" ({erring:,}), then those with the most flows" if erring < shown else ""
    earned, confused = len(edges_of(whole, EARNED)), len(edges_of(whole, CONFUSED))
    left = [
        f"{seen - shown:,} signatures",
        f"{earned - len(edges_of(view, EARNED)):,} of {earned:,} type to action edges",
    ]
    end = "No flow in this graph was misdetected."
    if confused:
        end = f"{confused - len(edges_of(view, CONFUSED)):,} of {confused:,} misdetection edges."
    return (
        f"Drawn: {shown:,} of {seen:,} signatures, {which}, and of each type at most {actions} "
        f"actions, those of highest mean reward. Left out: "
        + (f"{', '.join(left)} and {end}" if confused else f"{' and '.join(left)}. {end}")
    )


def _signature_caption(
    graph: KnowledgeGraph, view: View[str], centre: str, chosen: list[int]
) -> str:
    ((_, _, data),) = edges_of(view, PREDICTS)
    wrong = data["seen"] - data["correct"]
    told = f"Around signature {chosen[0]}, which predicts {view.nodes[centre]['label']}: "
    if not data["seen"]:
        return told + "it has matched no flow yet."
    return told + f"of {_flows(data['seen'])}, {_flows(wrong)} of another type."


def _type_caption(graph: KnowledgeGraph, view: View[str], centre: str, chosen: list[int]) -> str:
    name = str(view.nodes[centre]["label"])
    among = len(_predicting(graph, name))
    which = (
        "those with the most misdetected flows" if _erring(view) else "those with the most flows"
    )
    which = f", {which}" if len(chosen) < among else ""
    return f"Around {name}: {len(chosen):,} of the {among:,} signatures that predict it{which}."


def _refuted_sentence(number: int) -> str:
    if not number:
        return ""
    has = "1 action has" if number == 1 else f"{number} actions have"
    return (
        f" Faded: {has} a negative record that no type met by mistake makes good; the filter of "
        "section III-C leaves them out of the prompt."
    )


def _flows(count: float) -> str:
    return "1 flow" if count == 1 else f"{count:,.0f} flows"
