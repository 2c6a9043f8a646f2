"""One kind of labelled traffic: what it is called, what it holds, how it is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from envs.catalogue import Catalogue
from envs.datasets.source import FlowSource, Reading
from envs.flows import FeatureSchema

if TYPE_CHECKING:
    import pyarrow as pa

    from envs.datasets.tables.sample import Sample


@dataclass(frozen=True)
class DataSet:
    """One kind of labelled traffic.

    Attributes:
        name: what ``kirl prepare --dataset`` and a scenario's manifest call it.
        title: one line about it.
        citation: of the paper or page that describes it.
        schema: its features, in the order of the columns.
        label: the column that holds the label; ``None`` where labels are no column.
        labels: the labels that it is published with.
        synthetic: whether its flows are drawn from a model rather than recorded.
        catalogue: the shipped catalogue that knows its labels.
        open: given files or folders (or, for tables, an Arrow table) and how to read them, the
            source of their flows; ``None`` for a kind that is not read from files.
        fits: given the beginning of a file, whether it is of this kind, or how many columns tell
            that it is; 0 for a file of another kind.
        known: given the beginning of a file, how many of the features it has, and the names of
            the others; for messages.
        draw: given a number of flows, a seed and a catalogue, the source of such flows; ``None``
            for a kind that is recorded.
    """

    name: str
    title: str
    citation: str
    schema: FeatureSchema
    label: str | None = None
    labels: tuple[str, ...] = ()
    synthetic: bool = False
    catalogue: str = "paper"
    open: Callable[[Sequence[Path] | pa.Table, Reading], FlowSource] | None = None
    fits: Callable[[Sample], int] = lambda one: 0
    known: Callable[[Sample], tuple[int, list[str]]] = lambda one: (0, [])
    draw: Callable[[int, int, Catalogue], FlowSource] | None = None
