"""Labelled network flows in memory: the form in which every reader and generator hands them on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import Catalogue
from envs.errors import InputError

Progress = Callable[[int, int], None]
"""Called now and then with (done, total), in units that the caller of the work chose."""

KIND = "^[a-z0-9][a-z0-9_.-]{0,63}$"
"""What the name of a kind of data set looks like, as a regular expression."""


@dataclass(frozen=True)
class Column:
    """One feature of a flow.

    Attributes:
        name: as the data set has it.
        unit: of its values, such as ``us`` or ``bytes``; empty if nobody said so.
        categories: the words that the values stand for; a value is the position of its word, and
            -1 any other word. ``None`` for numbers.
    """

    name: str
    unit: str = ""
    categories: tuple[str, ...] | None = None


@dataclass(frozen=True)
class FeatureSchema:
    """What the columns of a feature matrix mean.

    A detector fitted on one schema must not be given flows of another one.

    Attributes:
        source: what computed the features, such as ``CICFlowMeter``.
        columns: in the order of the matrix.
    """

    source: str
    columns: tuple[Column, ...]

    @classmethod
    def unnamed(cls, width: int) -> FeatureSchema:
        """The schema of ``width`` columns of which nobody said what they are."""
        return cls("", tuple(Column(f"feature {number}") for number in range(width)))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns' names in order."""
        return tuple(column.name for column in self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able form, written into a scenario's manifest."""
        columns = [
            [c.name, c.unit] if c.categories is None else [c.name, c.unit, list(c.categories)]
            for c in self.columns
        ]
        return {"source": self.source, "columns": columns}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> FeatureSchema:
        """The inverse of :meth:`to_json`."""
        columns = (
            Column(str(name), str(unit), tuple(map(str, words[0])) if words else None)
            for name, unit, *words in data["columns"]
        )
        return cls(str(data["source"]), tuple(columns))


_NOT_SAID = FeatureSchema("", ())


@dataclass(frozen=True)
class Provenance:
    """Where flows came from and what was left out; it becomes part of a scenario's manifest.

    Attributes:
        kind: name of the data set, such as ``cicids2017`` (:mod:`envs.datasets`), or any name of
            your own: lower-case letters, digits, and dots, dashes and underscores between them.
        origin: what was read (file names) or drawn (rows, seed), JSON-able.
        rows_read: rows seen, before anything was dropped.
        dropped: number of rows dropped, by reason.
        labels: number of rows kept, by label.
        reading: what labels mean beside the catalogue, where somebody said so: ``labels`` (class
            by label) and ``attempted``, as in :class:`envs.datasets.labels.Labelling`.
        synthetic: whether the flows were drawn from a model rather than recorded. Everything that
            is made from them says so; such a kind has ``synthetic`` in its name.

    Raises:
        InputError: a kind that is no such name, or synthetic flows whose kind does not say so.
    """

    kind: str
    origin: dict[str, Any]
    rows_read: int
    dropped: dict[str, int] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    synthetic: bool = False
    reading: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(KIND, self.kind):
            raise InputError(
                f"{self.kind!r} is no name for a kind of data set",
                expected="1 to 64 lower-case letters, digits, dots, dashes and underscores",
            )
        if self.synthetic and "synthetic" not in self.kind:
            raise InputError(
                f"the kind {self.kind!r} does not say that its flows are synthetic",
                expected=f"a name such as {self.kind}-synthetic",
                mend="Rename the kind",
            )


def is_synthetic(source: Mapping[str, Any]) -> bool:
    """Whether a manifest speaks of synthetic flows, given its ``kind`` and ``synthetic``.

    Manifests written before kinds were open have no ``synthetic``; their kind says it.
    """
    return bool(source.get("synthetic", source["kind"] == "synthetic"))


@dataclass(frozen=True)
class Flows:
    """Labelled flows.

    Attributes:
        features: float32 [n, features], all finite. float32 is what scikit-learn's trees compute
            with, so nothing is lost to them.
        actual: int8 [n], index into the catalogue's classes.
        provenance: where they came from.
        catalogue: the classes that ``actual`` refers to, and what can be done about them.
        schema: what the columns of ``features`` mean; unnamed columns if nothing is said.

    Raises:
        InputError: the schema has another number of columns than the features.
    """

    features: NDArray[np.float32]
    actual: NDArray[np.int8]
    provenance: Provenance
    catalogue: Catalogue
    schema: FeatureSchema = _NOT_SAID

    def __post_init__(self) -> None:
        width = self.features.shape[1]
        if self.schema is _NOT_SAID:
            object.__setattr__(self, "schema", FeatureSchema.unnamed(width))
        if len(self.schema) != width:
            raise InputError(
                f"the flows have {width} features, and their schema names {len(self.schema)}",
                expected="one column of the schema for every feature",
            )

    def __len__(self) -> int:
        return len(self.actual)
