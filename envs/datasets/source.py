"""Flows on their way in: batches, the parts that hold them, and the source that has the parts.

A source is read all at once into memory (:meth:`FlowSource.read`), or part by part wherever a
processor is free (``kirl prepare --engine ray``). Both give the same flows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import Catalogue
from envs.datasets.labels import label_index
from envs.errors import InputError
from envs.flows import FeatureSchema, Flows, Progress, Provenance


@dataclass(frozen=True)
class FlowBatch:
    """The sound rows of some consecutive ones, and how many were not.

    Attributes:
        features: float32 [n, features], all finite.
        labels: int16 [n], positions among the catalogue's labels.
        rows: all rows, sound or not.
        non_finite: those dropped for a missing or infinite feature.
        empty: those dropped for being empty.
        consumed: how much of the part was read so far, in the unit of its size.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int16]
    rows: int
    non_finite: int
    empty: int
    consumed: int


class FlowPart(Protocol):
    """Consecutive flows of a source; it travels between machines, its flows do not."""

    @property
    def size(self) -> int:
        """What progress counts: bytes or flows."""
        ...

    def batches(self) -> Iterator[FlowBatch]:
        """The part's flows in order, the same whenever they are read.

        Raises:
            InputError: they cannot be read.
        """
        ...


class Account:
    """Counts rows read and rows left out."""

    def __init__(self) -> None:
        self.rows = self.non_finite = self.empty = 0

    def add(self, rows: int, non_finite: int, empty: int) -> None:
        """Counts some more rows, and those of them that were dropped."""
        self.rows += rows
        self.non_finite += non_finite
        self.empty += empty


class FlowSource:
    """Flows of one data set that are read part by part, or all at once.

    A kind of data set subclasses it. It sets the attributes and overrides :meth:`provenance`; one
    that has no parts overrides :meth:`read` instead, and cannot be streamed.

    Attributes:
        catalogue: the classes that labels are merged into.
        schema: of the features.
        parts: in order; empty if the flows can only be read all at once.
        unit: of the parts' sizes.
    """

    catalogue: Catalogue
    schema: FeatureSchema
    parts: Sequence[FlowPart] = ()
    unit = "bytes"

    def order(self) -> NDArray[np.int64] | None:
        """The row in memory of each flow of the parts, int64 [flows]; ``None`` for their order."""
        return None

    def provenance(self, account: Account, labels: NDArray[np.int16]) -> Provenance:
        """Where the flows came from, given what was read.

        Args:
            account: of all rows.
            labels: int16 [flows], positions among the catalogue's labels.

        Raises:
            InputError: no flow is left.
        """
        raise NotImplementedError

    def read(self, progress: Progress | None = None) -> Flows:
        """All flows.

        Args:
            progress: called with (size read, size in all) after every batch.

        Raises:
            InputError: they cannot be read, or no flow is left.
        """
        account, batches, done = Account(), list[FlowBatch](), 0
        total = sum(part.size for part in self.parts)
        for part in self.parts:
            for batch in part.batches():
                account.add(batch.rows, batch.non_finite, batch.empty)
                batches.append(batch)
                if progress is not None:
                    progress(done + min(batch.consumed, part.size), total)
            done += part.size
            if progress is not None:
                progress(done, total)
        labels = np.concatenate([np.empty(0, np.int16), *(batch.labels for batch in batches)])
        provenance = self.provenance(account, labels)
        actual = label_index(self.catalogue).classes[labels]
        features = _joined(batches, len(self.schema))
        return Flows(features, actual, provenance, self.catalogue, self.schema)


def _joined(batches: list[FlowBatch], width: int) -> NDArray[np.float32]:
    """All features; this empties the list."""
    features = np.empty((sum(len(batch.labels) for batch in batches), width), np.float32)
    start = 0
    batches.reverse()
    while batches:
        # Batches go as they are copied, so that the whole is never in memory twice.
        batch = batches.pop()
        features[start : start + len(batch.labels)] = batch.features
        start += len(batch.labels)
    return features


def label_counts(labels: NDArray[np.int16], catalogue: Catalogue) -> dict[str, int]:
    """Flows by label, of the labels that occur, in the catalogue's order."""
    names = label_index(catalogue).names
    counts = np.bincount(labels, minlength=len(names))
    return {name: int(count) for name, count in zip(names, counts, strict=True) if count}


def check_any_left(account: Account, files: Sequence[str]) -> None:
    """Raises :class:`InputError` if no row of the files is sound."""
    if account.rows == account.non_finite + account.empty:
        raise InputError(
            f"no flow is left of {account.rows:,} rows: {account.non_finite:,} have a missing or "
            f"infinite feature, {account.empty:,} are empty",
            where=", ".join(files[:3]) + (", ..." if len(files) > 3 else ""),
            expected="at least one row whose features are all finite",
            mend="Check how the files were made",
        )
