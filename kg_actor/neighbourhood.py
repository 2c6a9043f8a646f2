"""Asking the graph: the records around a signature or a traffic type, typed."""

from __future__ import annotations

import contextlib
import gc
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs import InputError
from kg_actor.filtering import open_actions
from kg_actor.graph import GraphCounts, KnowledgeGraph, reward_sums
from kg_actor.records import (
    ActionRecord,
    ConfusionRecord,
    Neighbourhood,
    SignatureRecord,
    TypeConfusion,
    TypeNeighbourhood,
    mean_rewards,
)


def neighbourhood(graph: KnowledgeGraph, signature: int) -> Neighbourhood:
    """The records around one signature.

    Raises:
        KeyError: there is no such signature.
    """
    return Answers(graph).around([signature])[0]


def neighbourhoods(graph: KnowledgeGraph, since: int | None = None) -> tuple[Neighbourhood, ...]:
    """The records around every signature that has matched a flow, in ascending order.

    Args:
        graph: the graph.
        since: a version; only signatures whose answer may have changed after it: they matched
            a flow, or something was learnt or taught about their type or about a type that
            they were confused with. Where forgetting is on, every merged flow fades, and so
            changes, all the others.

    Raises:
        InputError: the graph has not reached version ``since``.
    """
    answers = Answers(graph)
    asked = answers.counts.signature_actual.any(axis=1)
    if since is not None:
        asked &= _changed(graph, answers.counts, since)
    with _uncollected():
        return answers.around(np.flatnonzero(asked).tolist())


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Puts off garbage collection.

    Thousands of new records, none of them garbage, would set it off again and again, and it
    would walk all of them each time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def type_neighbourhood(graph: KnowledgeGraph, name: str) -> TypeNeighbourhood:
    """The records around one traffic type.

    Raises:
        KeyError: there is no such type.
    """
    return Answers(graph).around_type(name)


def _changed(graph: KnowledgeGraph, counts: GraphCounts, since: int) -> NDArray[np.bool_]:
    if since > counts.version:
        raise InputError(
            f"the graph has not reached version {since}",
            expected=f"a version up to {counts.version}",
            mend="Ask for everything; the graph may have been set back to a snapshot",
        )
    changes = graph.changes()
    signature, traffic = changes.signature > since, changes.traffic > since
    if counts.recent is not None and signature.any():
        return np.ones_like(signature)
    met = counts.signature_actual[:, traffic].any(axis=1)
    changed: NDArray[np.bool_] = signature | traffic[graph.predicted] | met
    return changed


_Numbers = tuple[int, int, int, float, float]
"""A signature's id, seen, correct, evidence and confidence."""


class _Variant(NamedTuple):
    """An action's index, and its record both for signatures that keep it and for others."""

    action: int
    kept: ActionRecord
    left_out: ActionRecord


class Answers:
    """One version of a graph, ready to be asked; what its answers share is worked out once.

    Args:
        graph: the graph; what it learns later does not show.

    Attributes:
        counts: the graph's, at that version.
        weight: float64 [classes, actions], flows of experience with each type -> action edge,
            learnt and taught; the edge is on record where it is above 0.
        mean: float64 [classes, actions], its mean reward; NaN where it is not on record.
    """

    def __init__(self, graph: KnowledgeGraph) -> None:
        self._graph, self._catalogue = graph, graph.catalogue
        self.counts = graph.counts()
        self.weight, self.mean = mean_rewards(self.counts, self._catalogue)
        self._reward_sums = reward_sums(replace(self.counts, recent=None), self._catalogue)
        sources: dict[tuple[str, str], list[str]] = defaultdict(list)
        for lesson in graph.lessons:
            sources[lesson.traffic, lesson.action].append(lesson.provenance)
        self._sources = {edge: tuple(sorted(names)) for edge, names in sources.items()}
        # Where nothing is on record the mean is NaN, which is sorted behind all numbers.
        order = np.lexsort((-self.weight, -self.mean))
        known = np.count_nonzero(self.weight, axis=1)
        self._ranked = [row[:n].tolist() for row, n in zip(order, known, strict=True)]
        self._known: dict[int, list[_Variant]] = {}

    def actions(self, traffic: int) -> tuple[ActionRecord, ...]:
        """A type's action records, best mean reward first, then most experience first."""
        return tuple(variant.kept for variant in self._variants(traffic))

    def best_action(self, traffic: int) -> str | None:
        """The action of best mean reward on record for a type, if there is any."""
        ranked = self._ranked[traffic]
        return self._catalogue.action_names[ranked[0]] if ranked else None

    def around(self, signatures: Sequence[int]) -> tuple[Neighbourhood, ...]:
        """The records around some signatures, in the order given.

        Raises:
            KeyError: there is no such signature.
        """
        for signature in signatures:
            self._graph.check_signature(signature)
        ids = np.asarray(signatures, np.intp)
        predicted = self._graph.predicted[ids]
        evidence = self.counts.signature_evidence[ids]
        kept = open_actions(predicted, evidence, self.mean)
        numbers = self._numbers(ids)
        confusions = self._confusions(numbers, predicted, ids)
        names, version = self._catalogue.class_names, self.counts.version
        shown: dict[tuple[int, bytes], tuple[ActionRecord, ...]] = {}
        found = []
        for (signature, seen, correct, weight, confidence), traffic, row, confused in zip(
            numbers, predicted.tolist(), kept, confusions, strict=True
        ):
            key = (traffic, row.tobytes())
            if key not in shown:
                shown[key] = self._filtered(traffic, row)
            found.append(
                Neighbourhood(
                    signature,
                    names[traffic],
                    seen,
                    correct,
                    weight,
                    confidence,
                    shown[key],
                    confused,
                    version,
                )
            )
        return tuple(found)

    def around_type(self, name: str) -> TypeNeighbourhood:
        """The records around one traffic type.

        Raises:
            KeyError: there is no such type.
        """
        names = self._catalogue.class_names
        if name not in names:
            raise KeyError(f"no traffic type {name!r}; there are {', '.join(names)}")
        traffic = names.index(name)
        own = np.flatnonzero(self._graph.predicted == traffic)
        count = self.counts.signature_actual[own].sum(axis=0)
        everywhere = self.counts.signature_actual[:, traffic].sum()
        signatures = [SignatureRecord(*numbers) for numbers in self._numbers(own)]
        return TypeNeighbourhood(
            name,
            seen=int(count.sum()),
            correct=int(count[traffic]),
            missed=int(everywhere - count[traffic]),
            actions=self.actions(traffic),
            signatures=tuple(sorted(signatures, key=lambda record: -record.seen)),
            confusions=self._type_confusions(traffic, own),
            version=self.counts.version,
        )

    def _filtered(self, traffic: int, kept: NDArray[np.bool_]) -> tuple[ActionRecord, ...]:
        return tuple(
            variant.kept if kept[variant.action] else variant.left_out
            for variant in self._variants(traffic)
        )

    def _numbers(self, ids: NDArray[np.intp]) -> list[_Numbers]:
        place, predicted = np.arange(len(ids)), self._graph.predicted[ids]
        exact = self.counts.signature_actual[ids]
        faded = self.counts.signature_evidence[ids]
        evidence = faded.sum(axis=1)
        confidence = self._graph.prior.confidence(evidence, faded[place, predicted])
        columns = (ids, exact.sum(axis=1), exact[place, predicted])
        numbers: Any = (*columns, evidence.astype(np.float64), confidence)
        return list(zip(*(column.tolist() for column in numbers), strict=True))

    def _confusions(
        self, numbers: list[_Numbers], predicted: NDArray[np.int8], ids: NDArray[np.intp]
    ) -> list[tuple[ConfusionRecord, ...]]:
        evidence = self.counts.signature_evidence[ids].astype(np.float64)
        evidence[np.arange(len(ids)), predicted] = 0
        place, actual = np.nonzero(evidence)
        order = np.lexsort((actual, -evidence[place, actual], place))
        place, actual = place[order], actual[order]
        count = self.counts.signature_actual[ids[place], actual]
        best = [self.best_action(traffic) for traffic in range(len(self._catalogue.classes))]
        found: list[list[ConfusionRecord]] = [[] for _ in ids]
        columns = (place, actual, count, evidence[place, actual])
        for at, traffic, flows, faded in zip(*(c.tolist() for c in columns), strict=True):
            _, _, _, all_flows, confidence = numbers[at]
            found[at].append(
                ConfusionRecord(
                    self._catalogue.class_names[traffic],
                    flows,
                    faded,
                    faded / all_flows,
                    confidence,
                    best[traffic],
                )
            )
        return [tuple(each) for each in found]

    def _type_confusions(self, traffic: int, own: NDArray[np.intp]) -> tuple[TypeConfusion, ...]:
        count = self.counts.signature_actual[own].sum(axis=0)
        evidence = self.counts.signature_evidence[own].sum(axis=0).astype(np.float64)
        found = [
            TypeConfusion(
                self._catalogue.class_names[actual],
                int(count[actual]),
                float(evidence[actual]),
                float(evidence[actual] / evidence.sum()),
                self.best_action(actual),
            )
            for actual in np.flatnonzero(evidence).tolist()
            if actual != traffic
        ]
        return tuple(sorted(found, key=lambda confusion: -confusion.evidence))

    def _variants(self, traffic: int) -> list[_Variant]:
        """A type's records, best first, each once open and once left out."""
        if traffic not in self._known:
            variants = []
            for action in self._ranked[traffic]:
                kept, left_out = (self._record(traffic, action, left) for left in (False, True))
                variants.append(_Variant(action, kept, left_out))
            self._known[traffic] = variants
        return self._known[traffic]

    def _record(self, traffic: int, action: int, left_out: bool) -> ActionRecord:
        edge, taught = (traffic, action), self.counts.taught
        name = self._catalogue.action_names[action]
        return ActionRecord(
            name,
            count=int(self.counts.type_action[edge].sum()),
            reward_sum=int(self._reward_sums[edge]),
            evidence=float(self.counts.type_evidence[edge].sum()),
            mean_reward=float(self.mean[edge]),
            taught_weight=float(taught.weight[edge]) if taught else 0.0,
            taught_reward_sum=float(taught.reward[edge]) if taught else 0.0,
            sources=self._sources.get((self._catalogue.class_names[traffic], name), ()),
            left_out=left_out,
        )
