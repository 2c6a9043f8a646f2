"""Flows on their way in: batches, the parts that hold them, and the source that has the parts.

A source is read all at once into memory (:meth:`FlowSource.read`), or part by part wherever a
processor is free (``kirl prepare --engine ray``). Both give the same flows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import Catalogue
from envs.datasets.labels import Labelling, labels_of
from envs.errors import InputError
from envs.flows import FeatureSchema, Flows, Progress, Provenance

if TYPE_CHECKING:
    import pyarrow as pa

    from envs.datasets.tables.rows import Words

NON_FINITE = "non-finite"
EMPTY = "empty"
HEADER = "header"
UNLABELLED = "unlabelled"
LEFT_OUT = "left out"

REASONS = {
    NON_FINITE: "have a missing or infinite feature",
    EMPTY: "are empty",
    HEADER: "repeat the header",
    UNLABELLED: "have no label",
    LEFT_OUT: "are left out by their label",
}
"""Why rows are dropped, in words."""


class LabelFiles(Protocol):
    """Labels that stand in files of their own."""

    def of(self, path: Path) -> LabelJoin:
        """The labels of the flows in a file.

        Raises:
            InputError: there are none.
        """
        ...


class LabelJoin(Protocol):
    """Labels of one file; they travel to where flows are read."""

    def labels_for(self, keys: Mapping[str, Words], size: int) -> Words:
        """The label of each row, ``""`` where there is none.

        Args:
            keys: the columns that tell flows apart, of
                :data:`envs.datasets.tables.form.KEYS` those that the file has.
            size: number of rows.
        """
        ...

    def account(self, flows: Iterable[tuple[str, Mapping[str, Words], int]]) -> str:
        """What matches and what does not, in a sentence, given file, keys and rows of blocks.

        Raises:
            InputError: nothing matches, or two labels are for one flow.
        """
        ...


@dataclass(frozen=True)
class Reading:
    """How files are read.

    Attributes:
        labelling: what labels mean; ``None`` to read flows without labels, which are to be decided.
        schema: the features of the scenario that the flows are read for; ``None`` for all that
            the files have.
        keys: whether to hand on what tells one flow from another.
        join: labels that stand in files of their own.
    """

    labelling: Labelling | None
    schema: FeatureSchema | None = None
    keys: bool = False
    join: LabelFiles | None = None

    @classmethod
    def labelled(cls, catalogue: Catalogue) -> Reading:
        """For flows whose labels are those of the catalogue."""
        return cls(Labelling(catalogue))


@dataclass
class Tally:
    """What became of rows.

    Attributes:
        rows: read.
        dropped: rows by reason, one of :data:`REASONS`.
        labels: kept rows by label, as the catalogue or the file of labels spells it.
        unknown: rows by label that means no class.
        first: where each of these labels stands first: a file, and the number of a row.
        attempted: rows whose label ends in 'Attempted'.
    """

    rows: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    first: dict[str, tuple[str, int]] = field(default_factory=dict)
    attempted: int = 0

    def add(self, other: Tally) -> None:
        """Counts other rows, too. The order of adding does not matter."""
        self.rows += other.rows
        self.dropped.update(other.dropped)
        self.labels.update(other.labels)
        self.unknown.update(other.unknown)
        for label, place in other.first.items():
            self.first[label] = min(self.first.get(label, place), place)
        self.attempted += other.attempted

    def to_json(self) -> dict[str, Any]:
        """A JSON-able form."""
        return {
            "rows": self.rows,
            "dropped": dict(self.dropped),
            "labels": dict(self.labels),
            "unknown": dict(self.unknown),
            "first": self.first,
            "attempted": self.attempted,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Tally:
        """The inverse of :meth:`to_json`."""
        counts = {name: Counter(data[name]) for name in ("dropped", "labels", "unknown")}
        first = {label: (str(file), int(row)) for label, (file, row) in data["first"].items()}
        return cls(data["rows"], **counts, first=first, attempted=data["attempted"])


@dataclass(frozen=True)
class FlowBatch:
    """The sound rows of some consecutive ones, and what became of the others.

    Attributes:
        features: float32 [n, features], all finite.
        actual: int8 [n], class indices; -1 where flows are read without labels.
        tally: of all rows, sound or not.
        consumed: how much of the part was read so far, in the unit of its size.
        keys: n rows, if they are asked for: ``file``, ``row`` (as an editor counts it), and of
            ``time``, ``id``, ``src_ip``, ``src_port``, ``dst_ip``, ``dst_port`` and ``protocol``
            those that the file has, as texts.
        refused: the same of the rows with a missing or infinite feature, with a column ``why``;
            ``None`` if there are none.
    """

    features: NDArray[np.float32]
    actual: NDArray[np.int8]
    tally: Tally
    consumed: int
    keys: pa.Table | None = None
    refused: pa.Table | None = None

    def __len__(self) -> int:
        return len(self.actual)


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


class FlowSource:
    """Flows of one data set that are read part by part, or all at once.

    A kind of data set subclasses it. It sets the attributes and overrides :meth:`provenance`; one
    that has no parts overrides :meth:`read` instead, and cannot be streamed.

    Attributes:
        catalogue: the classes that labels are merged into.
        schema: of the features.
        parts: in order; empty if the flows can only be read all at once.
        unit: of the parts' sizes.
        remarks: what its owner should know of the files, one sentence each.
    """

    catalogue: Catalogue
    schema: FeatureSchema
    parts: Sequence[FlowPart] = ()
    unit = "bytes"
    remarks: Sequence[str] = ()

    def order(self) -> NDArray[np.int64] | None:
        """The row in memory of each flow of the parts, int64 [flows]; ``None`` for their order."""
        return None

    def provenance(self, tally: Tally) -> Provenance:
        """Where the flows came from, given what became of all rows.

        Raises:
            InputError: no flow is left, or there are labels that mean no class.
        """
        raise NotImplementedError

    def batches(self, progress: Progress | None = None) -> Iterator[FlowBatch]:
        """All flows in order, batch by batch.

        Args:
            progress: called with (size read, size in all) after every batch.

        Raises:
            InputError: they cannot be read.
        """
        done, total = 0, sum(part.size for part in self.parts)
        for part in self.parts:
            for batch in part.batches():
                yield batch
                if progress is not None:
                    progress(done + min(batch.consumed, part.size), total)
            done += part.size
            if progress is not None:
                progress(done, total)

    def read(self, progress: Progress | None = None) -> Flows:
        """All flows.

        Args:
            progress: called with (size read, size in all) after every batch.

        Raises:
            InputError: they cannot be read, no flow is left, or there are labels that mean no
                class.
        """
        tally, batches = Tally(), list[FlowBatch]()
        for batch in self.batches(progress):
            tally.add(batch.tally)
            batches.append(batch)
        provenance = self.provenance(tally)
        actual = np.concatenate([np.empty(0, np.int8), *(batch.actual for batch in batches)])
        features = _joined(batches, len(self.schema))
        return Flows(features, actual, provenance, self.catalogue, self.schema)


def _joined(batches: list[FlowBatch], width: int) -> NDArray[np.float32]:
    """All features; this empties the list."""
    features = np.empty((sum(map(len, batches)), width), np.float32)
    start = 0
    batches.reverse()
    while batches:
        # Batches go as they are copied, so that the whole is never in memory twice.
        batch = batches.pop()
        features[start : start + len(batch)] = batch.features
        start += len(batch)
    return features


def in_order(labels: Mapping[str, int], catalogue: Catalogue) -> dict[str, int]:
    """Flows by label, the catalogue's labels first and in its order."""
    first = [label for _, label in labels_of(catalogue) if labels.get(label)]
    return {label: labels[label] for label in [*first, *sorted(set(labels) - set(first))]}


def check_any_left(tally: Tally, files: Sequence[str]) -> None:
    """Raises :class:`InputError` if no row of the files is sound."""
    if not tally.rows:
        raise InputError(
            "there are no rows",
            where=", ".join(files[:3]) + (", ..." if len(files) > 3 else ""),
            expected="one row per flow",
            mend="Give files that hold flows",
        )
    if tally.rows == tally.dropped.total():
        why = [f"{count:,} {REASONS[reason]}" for reason, count in tally.dropped.items() if count]
        unlabelled = tally.dropped[UNLABELLED] == tally.rows
        raise InputError(
            f"no flow is left of {tally.rows:,} rows: {', '.join(why)}",
            where=", ".join(files[:3]) + (", ..." if len(files) > 3 else ""),
            expected="at least one row whose features are all finite"
            + (", with a label" if unlabelled else ""),
            mend="Label the flows, give their labels with --labels, or decide them with kirl decide"
            if unlabelled
            else "Check how the files were made",
        )
