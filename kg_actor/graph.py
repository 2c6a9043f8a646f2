"""The knowledge graph's truth: integer counts that interaction tables are added to.

Two arrays hold all three edge kinds of the paper (section III-B). Sums of integers are
exact and do not depend on order; a key per table makes merging it twice harmless. What
people look at (typed neighbourhoods, networkx) is derived elsewhere, on demand.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs import BetaPrior, Catalogue, Counters, InteractionTable


class MergeKey(NamedTuple):
    """What makes a table unique; the graph merges each key once."""

    run: str
    iteration: int
    runner: int


@dataclass(frozen=True)
class GraphCounts:
    """The graph at one version.

    Attributes:
        signature_actual: int64 [signatures, classes]: flows that matched a signature, by their
            true class. Its row sums are N, its entries at the predicted class are C.
        type_action: int64 [classes, actions, classes]: by predicted class, action taken and
            true class. Weighted with eq. 3 it gives each type -> action edge's reward sum.
        version: number of tables merged.
    """

    signature_actual: NDArray[np.int64]
    type_action: NDArray[np.int64]
    version: int

    def equals(self, other: GraphCounts) -> bool:
        """Whether both hold the same counts, whatever their versions."""
        return np.array_equal(self.signature_actual, other.signature_actual) and np.array_equal(
            self.type_action, other.type_action
        )


class KnowledgeGraph:
    """Counts of experience over a signature database.

    Args:
        predicted: int8 [signatures], the class each signature predicts.
        catalogue: classes, actions, rewards.
        prior: of the signatures' confidence.
    """

    def __init__(
        self, predicted: NDArray[np.int8], catalogue: Catalogue, prior: BetaPrior | None = None
    ) -> None:
        classes, actions = len(catalogue.classes), len(catalogue.actions)
        self.predicted = predicted
        self.catalogue = catalogue
        self.prior = prior or BetaPrior()
        self._signature_actual = np.zeros((len(predicted), classes), dtype=np.int64)
        self._type_action = np.zeros((classes, actions, classes), dtype=np.int64)
        self._merged: set[MergeKey] = set()

    @property
    def version(self) -> int:
        """Number of tables merged so far."""
        return len(self._merged)

    @property
    def merged(self) -> frozenset[MergeKey]:
        """The keys merged so far."""
        return frozenset(self._merged)

    def merge(self, table: InteractionTable, key: MergeKey) -> bool:
        """Adds a table unless its key was merged before.

        Returns:
            Whether it was added.

        Raises:
            ValueError: the table names a signature, action or class that the graph does not
                have; nothing is added then.
        """
        if key in self._merged:
            return False
        if len(table):
            self._check(table)
            predicted = self.predicted[table.signature]
            np.add.at(self._signature_actual, (table.signature, table.actual), table.count)
            np.add.at(self._type_action, (predicted, table.action, table.actual), table.count)
        self._merged.add(key)
        return True

    def counts(self) -> GraphCounts:
        """A copy of the graph as it is now."""
        return GraphCounts(
            self._signature_actual.copy(), self._type_action.copy(), len(self._merged)
        )

    def restore(self, counts: GraphCounts, merged: Iterable[MergeKey]) -> None:
        """Replaces the whole content by that of a snapshot.

        Raises:
            ValueError: the snapshot's shapes are another scenario's.
        """
        if (
            counts.signature_actual.shape != self._signature_actual.shape
            or counts.type_action.shape != self._type_action.shape
        ):
            raise ValueError(
                f"a snapshot of {len(counts.signature_actual)} signatures does not fit a graph "
                f"of {len(self.predicted)}"
            )
        self._signature_actual = counts.signature_actual.copy()
        self._type_action = counts.type_action.copy()
        self._merged = {MergeKey(*key) for key in merged}

    def _check(self, table: InteractionTable) -> None:
        classes, actions = len(self.catalogue.classes), len(self.catalogue.actions)
        for name, column, size in (
            ("signature", table.signature, len(self.predicted)),
            ("action", table.action, actions),
            ("actual", table.actual, classes),
        ):
            if column.min() < 0 or column.max() >= size:
                raise ValueError(f"{name} must be in 0 .. {size - 1}")
        if table.count.min() < 1:
            raise ValueError("every count must be at least 1")


def counters_of(counts: GraphCounts, predicted: NDArray[np.int8], prior: BetaPrior) -> Counters:
    """N and C of every signature, as the environment takes them."""
    seen = counts.signature_actual.sum(axis=1)
    correct = counts.signature_actual[np.arange(len(predicted)), predicted]
    return Counters(seen, correct, prior)


def reward_sums(counts: GraphCounts, catalogue: Catalogue) -> NDArray[np.int64]:
    """Reward earned by each action under each predicted class, int64 [classes, actions]."""
    rewards = catalogue.rewards.astype(np.int64)
    summed: NDArray[np.int64] = np.einsum("pat,ta->pa", counts.type_action, rewards)
    return summed
