"""What a kind of table looks like: its features with all their names, its labels, its keys.

A kind says this once as data. Reading, checking and recognising tables follows from it::

    FORM = TableFormat(
        kind="mynet",
        title="my network",
        made_by="the router's connection log",
        fields=(Field("duration", "s"), Field("protocol", category=True), Field("port", "port")),
        labels=("verdict",),
    )
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from envs.flows import Column, FeatureSchema
from envs.spelling import DASHES

if TYPE_CHECKING:
    from envs.datasets.tables.sample import Sample

KEYS = ("time", "id", "src_ip", "src_port", "dst_ip", "dst_port", "protocol")
"""What tells one flow from another; a table may have some of them, under names of its own."""


def column_key(name: str) -> str:
    """What is compared of a column's name: letters and digits, whatever their case."""
    return "".join(c for c in DASHES.sub("", name).casefold() if c.isalnum())


@dataclass(frozen=True)
class Field:
    """One feature, and how it is read.

    Attributes:
        name: what the scenario calls it.
        unit: of its values, such as ``us`` or ``bytes``.
        aliases: other names of the same thing *in the same unit*.
        category: the column holds words, not numbers. Each word becomes a number; the scenario
            keeps the list.
        missing: what an empty cell stands for; ``None`` drops the row, which is counted.
        factor: what numbers of the file are multiplied with to have ``unit``.
    """

    name: str
    unit: str = ""
    aliases: tuple[str, ...] = ()
    category: bool = False
    missing: float | None = None
    factor: float = 1.0

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """All names as they are compared."""
        return tuple(dict.fromkeys(column_key(name) for name in (self.name, *self.aliases)))


def first_given(parts: tuple[str, ...]) -> str:
    """The label of a row: the first of the label columns that says anything."""
    return next((part for part in parts if part.strip()), "")


@dataclass(frozen=True)
class TableFormat:
    """What a kind of table looks like; it travels to where files are read.

    Attributes:
        kind: name of the data set.
        title: what messages call it.
        made_by: what computed the features. A detector of features that one program made is never
            applied to another's.
        fields: its features, in the scenario's order. Files may have them in any order, lack
            some, and have others beside.
        labels: the label columns. One column may be enough; a tuple within lists the names that
            it goes by.
        label_of: the label of a row, given its cells of ``labels`` (``""`` where there is none).
        unlabelled: words in a label's cell that mean that nobody has labelled the row.
        keys: columns of :data:`KEYS`, each with the names that it goes by.
        telling: sets of column names. A table that has all names of one set is of this kind.
        catalogue: the shipped catalogue that knows its labels.
        headless: names of the columns of a file that has no header.
        missing_words: what stands for 'no number', beside the usual words.
        sparse: records leave out what is empty, so that all features count as present.
        select: of records of several types, those with this value of this column.
        factors: given a file's first rows, what its numbers are multiplied with, by feature, to
            have the units of ``fields``. It raises InputError where units cannot be told.
        twins: names that a file may give to two columns, each with what the second one is called.
        published: part of the name of each published file; a set of files holds each one once.
        advice: what to give instead of a file that is something else.
    """

    kind: str
    title: str
    made_by: str
    fields: tuple[Field, ...]
    labels: tuple[str | tuple[str, ...], ...] = ("Label",)
    label_of: Callable[[tuple[str, ...]], str] = first_given
    unlabelled: tuple[str, ...] = ()
    keys: Mapping[str, tuple[str, ...]] | None = None
    telling: tuple[tuple[str, ...], ...] = ()
    catalogue: str = "paper"
    headless: tuple[str, ...] = ()
    missing_words: tuple[str, ...] = ()
    sparse: bool = False
    select: tuple[str, str] | None = None
    factors: Callable[[Sample], Mapping[str, float]] | None = None
    twins: tuple[tuple[str, str], ...] = ()
    published: str | None = None
    advice: str = "Give its published files"

    @cached_property
    def schema(self) -> FeatureSchema:
        """All features that a table of this kind can have."""
        return FeatureSchema(self.made_by, tuple(Column(f.name, f.unit) for f in self.fields))

    @property
    def label(self) -> str:
        """What the label column is called, or the first of several."""
        return self.label_names[0][0] if self.labels else ""

    @cached_property
    def label_names(self) -> tuple[tuple[str, ...], ...]:
        """The names that each label column goes by."""
        return tuple((one,) if isinstance(one, str) else one for one in self.labels)
