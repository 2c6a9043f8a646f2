"""The interaction table: how often each (context, action, actual class) happened.

It is the one form in which experience travels: from environment runners to the learner,
to the knowledge graph, to metrics and evaluation. Within a rollout fragment everything
else (observation, reward, advantage) follows from these four integer columns, so the
table loses nothing, and its size is bounded by contexts, actions and classes, however many
flows it counts. What a context stands for is told by :class:`envs.state.Contexts`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from envs.catalogue import Catalogue

_DENSE_FACTOR = 16
"""Counting into a dense array wins while it is at most this many times the input's length."""


@dataclass(frozen=True)
class InteractionTable:
    """Distinct (context, action, actual) triples in ascending order, each with its count.

    Attributes:
        context: int32 [rows], context id.
        action: int16 [rows], index into the catalogue's actions.
        actual: int8 [rows], index of the flow's true class.
        count: int64 [rows], how often it happened, at least 1.
    """

    context: NDArray[np.int32]
    action: NDArray[np.int16]
    actual: NDArray[np.int8]
    count: NDArray[np.int64]

    @classmethod
    def tally(
        cls,
        context: ArrayLike,
        action: ArrayLike,
        actual: ArrayLike,
        count: ArrayLike | None = None,
    ) -> InteractionTable:
        """Counts transitions, given as three (or, with counts, four) columns of equal length.

        Raises:
            ValueError: a count is below 1, or another entry below 0.
        """
        columns = [np.asarray(column, dtype=np.int64) for column in (context, action, actual)]
        weights = None if count is None else np.asarray(count, dtype=np.int64)
        if weights is not None and len(weights) and weights.min() < 1:
            raise ValueError("every count must be at least 1")
        if len(columns[0]) == 0:
            return cls.empty()
        if min(int(column.min()) for column in columns) < 0:
            raise ValueError("contexts, actions and classes are numbered from 0")
        actions, classes = (int(columns[1].max()) + 1, int(columns[2].max()) + 1)
        keys = (columns[0] * actions + columns[1]) * classes + columns[2]
        distinct, counts = _count(keys, weights)
        rest, actual_column = np.divmod(distinct, classes)
        context_column, action_column = np.divmod(rest, actions)
        return cls(
            context_column.astype(np.int32),
            action_column.astype(np.int16),
            actual_column.astype(np.int8),
            counts,
        )

    @classmethod
    def empty(cls) -> InteractionTable:
        """The table in which nothing happened."""
        return cls(
            np.zeros(0, np.int32),
            np.zeros(0, np.int16),
            np.zeros(0, np.int8),
            np.zeros(0, np.int64),
        )

    @classmethod
    def total(cls, tables: Iterable[InteractionTable]) -> InteractionTable:
        """The sum of tables; exact, and independent of their order."""
        parts = list(tables)
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls.empty()
        return cls.tally(
            np.concatenate([part.context for part in parts]),
            np.concatenate([part.action for part in parts]),
            np.concatenate([part.actual for part in parts]),
            np.concatenate([part.count for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.count)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, InteractionTable):
            return NotImplemented
        return (
            np.array_equal(self.context, other.context)
            and np.array_equal(self.action, other.action)
            and np.array_equal(self.actual, other.actual)
            and np.array_equal(self.count, other.count)
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def flows(self) -> int:
        """Number of flows counted."""
        return int(self.count.sum())

    def flows_by_class(self, classes: int) -> NDArray[np.int64]:
        """Number of flows by true class, int64 [classes]."""
        counted = np.bincount(self.actual, weights=self.count, minlength=classes)
        flows: NDArray[np.int64] = counted.astype(np.int64)
        return flows

    def rewards(self, catalogue: Catalogue) -> NDArray[np.int8]:
        """Reward of each row by eq. 3, int8 [rows]."""
        return catalogue.rewards[self.actual, self.action]


def _count(
    keys: NDArray[np.int64], weights: NDArray[np.int64] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    bound = int(keys.max()) + 1
    if weights is None and bound <= _DENSE_FACTOR * len(keys):
        dense = np.bincount(keys, minlength=bound)
        distinct = np.flatnonzero(dense)
        return distinct, dense[distinct].astype(np.int64)
    distinct, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    if weights is None:
        return distinct, counts.astype(np.int64)
    # np.bincount with weights would go through float64 and lose integers above 2**53.
    summed = np.zeros(len(distinct), dtype=np.int64)
    np.add.at(summed, inverse, weights)
    return distinct, summed
