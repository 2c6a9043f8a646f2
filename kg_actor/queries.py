"""Questions about a whole graph: best actions, worst signatures, size, history."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import numpy as np

from envs import BetaPrior, Counters, InputError, InteractionTable
from kg_actor.graph import GraphCounts, KnowledgeGraph
from kg_actor.neighbourhood import Answers
from kg_actor.records import ActionRecord
from kg_actor.view import edges_of


@dataclass(frozen=True)
class TopActions:
    """A type's actions of best mean reward.

    Attributes:
        traffic: the type's name.
        actions: its records, best first; empty where nothing was tried or taught.
    """

    traffic: str
    actions: tuple[ActionRecord, ...]


@dataclass(frozen=True)
class ErrorProne:
    """A signature that was wrong.

    Attributes:
        signature: its id.
        predicted: name of the type it predicts.
        seen: N, flows that matched it.
        wrong: those of them that were of another type.
        confidence: B (eq. 1), by faded flows where forgetting is on.
        actual: the type that they were most often.
    """

    signature: int
    predicted: str
    seen: int
    wrong: int
    confidence: float
    actual: str


@dataclass(frozen=True)
class ErrorProneRule(ErrorProne):
    """A rule of an IDS that misdetects, with what verdicts say of it.

    ``seen``, ``wrong`` and ``confidence`` count all flows that the graph was given: a verdict that
    training met a hundred times counts a hundred times there, and once here.

    Attributes:
        rule: its id and message.
        verdicts: N, verdicts on it.
        right: C, those of them that agree with it.
        verdict_confidence: B of these two (eq. 1).
    """

    rule: str
    verdicts: int
    right: int
    verdict_confidence: float


@dataclass(frozen=True)
class NodeCounts:
    """Nodes by kind, as the networkx view has them."""

    type: int
    action: int
    signature: int

    @property
    def total(self) -> int:
        """All nodes."""
        return self.type + self.action + self.signature


@dataclass(frozen=True)
class EdgeCounts:
    """Edges by kind, named as in :mod:`kg_actor.view`.

    Attributes:
        earned: type -> action.
        predicts: signature -> type.
        confused: type -> type.
    """

    earned: int
    predicts: int
    confused: int

    @property
    def total(self) -> int:
        """All edges."""
        return self.earned + self.predicts + self.confused


@dataclass(frozen=True)
class GraphStats:
    """The size of a graph.

    Attributes:
        version: of the graph.
        flows: merged so far.
        merges: tables merged so far.
        runs: how many runs they came from.
        nodes: of the networkx view.
        edges: of the networkx view, which has one type -> type edge for each signature that
            confuses the two.
        pairs: edges between distinct pairs of nodes; here, such a pair of types counts once.
        lessons: taught and not withdrawn.
        sources: who taught them, in alphabetic order.
        half_life: in flows; ``None`` where forgetting is off.
        seen: signatures that have matched a flow.
        unseen: those that never have.
    """

    version: int
    flows: int
    merges: int
    runs: int
    nodes: NodeCounts
    edges: EdgeCounts
    pairs: EdgeCounts
    lessons: int
    sources: tuple[str, ...]
    half_life: float | None
    seen: int
    unseen: int


@dataclass(frozen=True)
class ConfidencePoint:
    """A signature's record right after one version of the graph.

    Attributes:
        version: of the graph.
        flows: that the graph had merged by then, over all signatures.
        seen: N, flows that had matched the signature.
        correct: C, those of them that were of the predicted type.
        confidence: B (eq. 1), by faded flows where forgetting is on.
    """

    version: int
    flows: int
    seen: int
    correct: int
    confidence: float


def to_json(answer: Any) -> Any:  # noqa: ANN401 (JSON has no narrower type)
    """The JSON-able form of a typed answer, or of a sequence of them.

    Attributes become keys, in their order.
    """
    if is_dataclass(answer) and not isinstance(answer, type):
        return asdict(answer)
    return [to_json(each) for each in answer]


def top_actions(graph: KnowledgeGraph, number: int = 5) -> tuple[TopActions, ...]:
    """The actions of best mean reward under each type, learnt and taught together.

    Args:
        graph: the graph.
        number: how many per type at most.

    Returns:
        One entry per type, in the catalogue's order.

    Raises:
        InputError: ``number`` is below 1.
    """
    _check(number)
    answers = Answers(graph)
    return tuple(
        TopActions(name, answers.actions(traffic)[:number])
        for traffic, name in enumerate(graph.catalogue.class_names)
    )


def error_prone(graph: KnowledgeGraph, number: int = 20) -> tuple[ErrorProne, ...]:
    """The signatures with the most misdetected flows over the graph's whole life.

    Of signatures with equally many, the one that matched fewer flows, so erred the more
    often, comes first; then the lower id. Between types that a signature's flows were equally
    often, the catalogue's order decides.

    Args:
        graph: the graph.
        number: how many at most; signatures that never erred are not among them.

    Raises:
        InputError: ``number`` is below 1.
    """
    _check(number)
    answers = Answers(graph)
    wrong_by_type = answers.counts.signature_actual.copy()
    seen = wrong_by_type.sum(axis=1)
    wrong_by_type[np.arange(len(seen)), graph.predicted] = 0
    wrong = wrong_by_type.sum(axis=1)
    worst = [i for i in np.lexsort((seen, -wrong))[:number].tolist() if wrong[i]]
    return tuple(
        ErrorProne(
            around.signature,
            around.predicted,
            around.seen,
            around.seen - around.correct,
            around.confidence,
            graph.catalogue.class_names[int(wrong_by_type[around.signature].argmax())],
        )
        for around in answers.around(worst)
    )


def of_rules(
    answers: Iterable[ErrorProne], rules: Sequence[str], verdicts: Counters
) -> tuple[ErrorProneRule, ...]:
    """Names the rules behind signatures, where an IDS makes the detections.

    Args:
        answers: of :func:`error_prone`.
        rules: id and message of every rule, by signature.
        verdicts: N and C of every rule by verdicts.
    """
    confidence = verdicts.confidence()
    return tuple(
        ErrorProneRule(
            **asdict(one),
            rule=rules[one.signature],
            verdicts=int(verdicts.seen[one.signature]),
            right=int(verdicts.correct[one.signature]),
            verdict_confidence=float(confidence[one.signature]),
        )
        for one in answers
    )


def stats(graph: KnowledgeGraph) -> GraphStats:
    """The size of a graph; its nodes and edges stand beside the paper's 1,306 and 1,382."""
    counts, edges = graph.counts(), edges_of(graph)
    types = np.count_nonzero(edges.earned, axis=1) + np.count_nonzero(edges.confused, axis=0) > 0
    types[graph.predicted[edges.predicts]] = True
    earned, predicts, confused = (int(np.count_nonzero(kind)) for kind in edges)
    by_type = [edges.confused[graph.predicted == traffic] for traffic in range(len(types))]
    pairs = sum([int(np.count_nonzero(rows.any(axis=0))) for rows in by_type])
    return GraphStats(
        version=counts.version,
        flows=int(counts.signature_actual.sum()),
        merges=len(graph.merged),
        runs=len({key.run for key in graph.merged}),
        nodes=NodeCounts(int(types.sum()), int(edges.earned.any(axis=0).sum()), predicts),
        edges=EdgeCounts(earned, predicts, confused),
        pairs=EdgeCounts(earned, predicts, pairs),
        lessons=len(graph.lessons),
        sources=tuple(sorted({lesson.provenance for lesson in graph.lessons})),
        half_life=graph.half_life,
        seen=predicts,
        unseen=len(graph.predicted) - predicts,
    )


def confidence_history(
    tables: Iterable[tuple[int, InteractionTable]],
    predicted_class: int,
    prior: BetaPrior,
    signature: int,
    *,
    start: GraphCounts | None = None,
    half_life: float | None = None,
) -> Iterator[ConfidencePoint]:
    """How a signature's confidence moved over the versions of a graph.

    Args:
        tables: merged tables, each with the version it made, in ascending order of versions.
        predicted_class: index of the type that the signature predicts.
        prior: of the confidence.
        signature: its id.
        start: the graph's counts before the first of ``tables``; empty if not given.
        half_life: the graph's, in flows; ``None`` where forgetting is off.

    Yields:
        The record at ``start``, if given and the signature had matched a flow by then; then
        one point for each version in which it matched one.
    """
    flows = seen = correct = 0
    evidence, right = 0.0, 0.0
    if start is not None:
        row, faded = start.signature_actual[signature], start.signature_evidence[signature]
        flows = int(start.signature_actual.sum())
        seen, correct = int(row.sum()), int(row[predicted_class])
        evidence, right = float(faded.sum()), float(faded[predicted_class])
        if seen:
            belief = float(prior.confidence(evidence, right))
            yield ConfidencePoint(start.version, flows, seen, correct, belief)
    for version, group in itertools.groupby(tables, key=lambda pair: pair[0]):
        total = InteractionTable.total(table for _, table in group)
        flows += total.flows
        own = total.context == signature
        matched = int(total.count[own].sum())
        hits = int(total.count[own & (total.actual == predicted_class)].sum())
        seen, correct = seen + matched, correct + hits
        fade = 1.0 if half_life is None else 2.0 ** (-total.flows / half_life)
        evidence, right = evidence * fade + matched, right * fade + hits
        if matched:
            belief = float(prior.confidence(evidence, right))
            yield ConfidencePoint(version, flows, seen, correct, belief)


def _check(number: int) -> None:
    if number < 1:
        raise InputError(f"{number} is not a number of answers", expected="at least 1")
