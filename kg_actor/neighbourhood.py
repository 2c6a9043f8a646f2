"""What the graph answers: the records around a signature or a traffic type, typed.

:class:`Neighbourhood` is for people and tools that ask for one signature;
:class:`Records` holds the same for all signatures as arrays, for advisors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs import BetaPrior, Catalogue
from kg_actor.graph import GraphCounts, KnowledgeGraph, counters_of, reward_sums


@dataclass(frozen=True)
class ActionRecord:
    """A type -> action edge: what an action has earned under a predicted type."""

    action: str
    count: int
    reward_sum: int

    @property
    def mean_reward(self) -> float:
        """Average reward per flow."""
        return self.reward_sum / self.count


@dataclass(frozen=True)
class ConfusionRecord:
    """A type -> type edge of one signature: how often its flows were of another type."""

    actual: str
    count: int
    share: float
    best_action: str | None


@dataclass(frozen=True)
class Neighbourhood:
    """All that is connected to one signature (paper, section III-C).

    Attributes:
        signature: its id.
        predicted: name of the type it predicts.
        seen, correct: N and C.
        confidence: B (eq. 1).
        actions: the type's action records, best mean reward first.
        confusions: the signature's misdetections, most frequent first, each with the action
            of best mean reward on record for that type.
        version: of the graph that answered.
    """

    signature: int
    predicted: str
    seen: int
    correct: int
    confidence: float
    actions: tuple[ActionRecord, ...]
    confusions: tuple[ConfusionRecord, ...]
    version: int


@dataclass(frozen=True)
class Records:
    """Every signature's records at one graph version, as arrays.

    Attributes:
        predicted: int8 [signatures].
        signature_actual: int64 [signatures, classes], as in :class:`GraphCounts`.
        confidence: float64 [signatures], B.
        action_count: int64 [classes, actions], how often an action met a predicted type.
        action_reward: float64 [classes, actions], its mean reward there; NaN where the
            count is 0.
        version: of the graph.
    """

    predicted: NDArray[np.int8]
    signature_actual: NDArray[np.int64]
    confidence: NDArray[np.float64]
    action_count: NDArray[np.int64]
    action_reward: NDArray[np.float64]
    version: int


def records_of(
    counts: GraphCounts, predicted: NDArray[np.int8], catalogue: Catalogue, prior: BetaPrior
) -> Records:
    """Derives the records of all signatures from the graph's counts."""
    action_count = counts.type_action.sum(axis=2)
    sums = reward_sums(counts, catalogue)
    mean = np.full(sums.shape, np.nan)
    np.divide(sums, action_count, out=mean, where=action_count > 0)
    return Records(
        predicted,
        counts.signature_actual,
        counters_of(counts, predicted, prior).confidence(),
        action_count,
        mean,
        counts.version,
    )


def neighbourhood(graph: KnowledgeGraph, signature: int) -> Neighbourhood:
    """The records around one signature.

    Raises:
        KeyError: there is no such signature.
    """
    if not 0 <= signature < len(graph.predicted):
        raise KeyError(f"no signature {signature}; ids go from 0 to {len(graph.predicted) - 1}")
    counts, catalogue = graph.counts(), graph.catalogue
    predicted = int(graph.predicted[signature])
    row = counts.signature_actual[signature]
    return Neighbourhood(
        signature=signature,
        predicted=catalogue.class_names[predicted],
        seen=int(row.sum()),
        correct=int(row[predicted]),
        confidence=float(graph.prior.confidence(row.sum(), row[predicted])),
        actions=action_records(counts, catalogue, predicted),
        confusions=_confusions(counts, catalogue, predicted, row),
        version=counts.version,
    )


def action_records(
    counts: GraphCounts, catalogue: Catalogue, predicted: int
) -> tuple[ActionRecord, ...]:
    """What each action tried under a predicted type has earned, best mean first."""
    sums = reward_sums(counts, catalogue)[predicted]
    tried = counts.type_action[predicted].sum(axis=1)
    records = [
        ActionRecord(catalogue.action_names[action], int(tried[action]), int(sums[action]))
        for action in np.flatnonzero(tried)
    ]
    return tuple(sorted(records, key=lambda record: (-record.mean_reward, -record.count)))


def _confusions(
    counts: GraphCounts, catalogue: Catalogue, predicted: int, row: NDArray[np.int64]
) -> tuple[ConfusionRecord, ...]:
    confusions = []
    for actual in np.flatnonzero(row):
        if actual == predicted:
            continue
        known = action_records(counts, catalogue, int(actual))
        confusions.append(
            ConfusionRecord(
                catalogue.class_names[int(actual)],
                int(row[actual]),
                float(row[actual] / row.sum()),
                known[0].action if known else None,
            )
        )
    return tuple(sorted(confusions, key=lambda confusion: -confusion.count))
