"""What is different between two graphs over the same signatures, or two states of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from envs import InputError
from kg_actor.graph import KnowledgeGraph, Merged, MergeKey, counters_of
from kg_actor.lessons import Lesson
from kg_actor.records import mean_rewards
from kg_actor.view import ACTION, CONFUSED, EARNED, PREDICTS, SIGNATURE, TYPE, edges_of


@dataclass(frozen=True)
class SignatureChange:
    """A signature whose flows were counted differently.

    Attributes:
        signature: its id.
        predicted: name of the type it predicts.
        seen: N before and after.
        correct: C before and after.
        confidence: B (eq. 1) before and after.
    """

    signature: int
    predicted: str
    seen: tuple[int, int]
    correct: tuple[int, int]
    confidence: tuple[float, float]


@dataclass(frozen=True)
class Edge:
    """An edge of the networkx view.

    Attributes:
        kind: one of the edge kinds of :mod:`kg_actor.view`.
        source: name of the node it starts from, as in the view.
        target: name of the node it ends at.
        signature: whose misdetections a type -> type edge counts; ``None`` for other kinds.
    """

    kind: str
    source: str
    target: str
    signature: int | None = None


@dataclass(frozen=True)
class RewardChange:
    """A type -> action edge of both graphs whose mean reward differs.

    Attributes:
        traffic: name of the type.
        action: name of the action.
        mean_reward: before and after, learnt and taught together.
    """

    traffic: str
    action: str
    mean_reward: tuple[float, float]


@dataclass(frozen=True)
class GraphDiff:
    """The way from one graph to another.

    Attributes:
        version: of the graphs, before and after.
        flows: merged, before and after.
        merges_gained: keys that only the later graph merged, in ascending order. A key that
            stands for different tables in the two is both gained and lost.
        merges_lost: keys that only the earlier one merged.
        signatures: those whose flows are counted differently, biggest move of confidence first.
        appeared: edges that only the later graph has.
        vanished: edges that only the earlier one has.
        rewards: edges of both whose mean reward differs, biggest difference first.
        lessons_added: only the later graph was taught, in the order of teaching.
        lessons_withdrawn: only the earlier one holds; a replaced lesson is here in its old
            form and among those added in its new one.
    """

    version: tuple[int, int]
    flows: tuple[int, int]
    merges_gained: tuple[MergeKey, ...]
    merges_lost: tuple[MergeKey, ...]
    signatures: tuple[SignatureChange, ...]
    appeared: tuple[Edge, ...]
    vanished: tuple[Edge, ...]
    rewards: tuple[RewardChange, ...]
    lessons_added: tuple[Lesson, ...]
    lessons_withdrawn: tuple[Lesson, ...]


def difference(before: KnowledgeGraph, after: KnowledgeGraph) -> GraphDiff:
    """What to add to one graph, and to take from it, to arrive at another.

    Raises:
        InputError: the graphs have different signatures or catalogues.
    """
    _check(before, after)
    old, new = before.counts(), after.counts()
    return GraphDiff(
        version=(old.version, new.version),
        flows=(int(old.signature_actual.sum()), int(new.signature_actual.sum())),
        merges_gained=_only_first(after.merged, before.merged),
        merges_lost=_only_first(before.merged, after.merged),
        signatures=_signatures(before, after),
        appeared=_only_edges(after, before),
        vanished=_only_edges(before, after),
        rewards=_rewards(before, after),
        lessons_added=_only_lessons(after, before),
        lessons_withdrawn=_only_lessons(before, after),
    )


def _check(before: KnowledgeGraph, after: KnowledgeGraph) -> None:
    expected = "two graphs of one scenario"
    mend = "Compare graphs that were learnt on the same scenario"
    if before.catalogue != after.catalogue:
        raise InputError("the graphs have different types or actions", expected=expected, mend=mend)
    if not np.array_equal(before.predicted, after.predicted):
        sizes = f"{len(before.predicted)} and {len(after.predicted)}"
        raise InputError(
            f"the graphs have different signatures ({sizes} of them)", expected=expected, mend=mend
        )


def _only_first(
    one: Mapping[MergeKey, Merged], other: Mapping[MergeKey, Merged]
) -> tuple[MergeKey, ...]:
    return tuple(
        sorted(
            key
            for key, merged in one.items()
            if key not in other or other[key].digest != merged.digest
        )
    )


def _only_lessons(one: KnowledgeGraph, other: KnowledgeGraph) -> tuple[Lesson, ...]:
    known = set(other.lessons)
    return tuple(lesson for lesson in one.lessons if lesson not in known)


def _signatures(before: KnowledgeGraph, after: KnowledgeGraph) -> tuple[SignatureChange, ...]:
    graphs = (before, after)
    counts = [graph.counts() for graph in graphs]
    exact = [each.signature_actual for each in counts]
    belief = [
        counters_of(each, graph.prior).confidence()
        for graph, each in zip(graphs, counts, strict=True)
    ]
    changed = np.flatnonzero((exact[0] != exact[1]).any(axis=1)).tolist()
    predicted = before.predicted.tolist()
    changes = [
        SignatureChange(
            i,
            before.catalogue.class_names[predicted[i]],
            (int(exact[0][i].sum()), int(exact[1][i].sum())),
            (int(exact[0][i, predicted[i]]), int(exact[1][i, predicted[i]])),
            (float(belief[0][i]), float(belief[1][i])),
        )
        for i in changed
    ]
    return tuple(sorted(changes, key=lambda change: -_move(change.confidence)))


def _rewards(before: KnowledgeGraph, after: KnowledgeGraph) -> tuple[RewardChange, ...]:
    catalogue = before.catalogue
    _, old = mean_rewards(before.counts(), catalogue)
    _, new = mean_rewards(after.counts(), catalogue)
    both = ~np.isnan(old) & ~np.isnan(new)
    changes = [
        RewardChange(
            catalogue.class_names[traffic],
            catalogue.action_names[action],
            (float(old[traffic, action]), float(new[traffic, action])),
        )
        for traffic, action in np.argwhere(both & (old != new)).tolist()
    ]
    return tuple(sorted(changes, key=lambda change: -_move(change.mean_reward)))


def _move(values: tuple[float, float]) -> float:
    return abs(values[1] - values[0])


def _only_edges(one: KnowledgeGraph, other: KnowledgeGraph) -> tuple[Edge, ...]:
    """Edges of the first graph alone: type -> action, signature -> type, type -> type."""
    types = [f"{TYPE}:{name}" for name in one.catalogue.class_names]
    actions = [f"{ACTION}:{name}" for name in one.catalogue.action_names]
    predicted = [types[traffic] for traffic in one.predicted.tolist()]
    earned, predicts, confused = (
        np.argwhere(mine & ~theirs).tolist()
        for mine, theirs in zip(edges_of(one), edges_of(other), strict=True)
    )
    return (
        *(Edge(EARNED, types[traffic], actions[action]) for traffic, action in earned),
        *(Edge(PREDICTS, f"{SIGNATURE}:{i}", predicted[i]) for (i,) in predicts),
        *(Edge(CONFUSED, predicted[i], types[actual], i) for i, actual in confused),
    )
