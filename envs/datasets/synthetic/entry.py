"""Synthetic flows as a kind of data set: drawn by rows and seed, all at once or in parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import Catalogue
from envs.datasets import cicflowmeter
from envs.datasets.cicids2017 import PUBLISHED_COUNTS
from envs.datasets.kind import DataSet
from envs.datasets.labels import labels_of
from envs.datasets.source import FlowBatch, FlowSource, Tally
from envs.datasets.synthetic import generator
from envs.flows import Flows, Progress, Provenance

PART_ROWS = 1 << 18
"""Synthetic flows that are drawn in one go, about."""


@dataclass(frozen=True)
class SyntheticPart:
    """Some pieces of synthetic flows."""

    pieces: tuple[generator.Piece, ...]
    catalogue: Catalogue

    @property
    def size(self) -> int:
        """Flows."""
        return sum(piece.size for piece in self.pieces)

    def batches(self) -> Iterator[FlowBatch]:
        """Draws."""
        classes = {label: number for number, label in labels_of(self.catalogue)}
        drawn = 0
        for piece in self.pieces:
            drawn += piece.size
            actual = np.full(piece.size, classes[piece.label], np.int8)
            tally = Tally(piece.size, labels=Counter({piece.label: piece.size}))
            yield FlowBatch(piece.draw(), actual, tally, drawn)


class SyntheticSource(FlowSource):
    """Synthetic flows as :func:`envs.datasets.synthetic.generator.generate` draws them.

    Raises:
        InputError: too few rows, a negative seed, or a catalogue with labels that the generator
            has no statistics of.
    """

    unit = "flows"

    def __init__(self, rows: int, seed: int, catalogue: Catalogue) -> None:
        self.catalogue, self.schema = catalogue, cicflowmeter.SCHEMA
        self._rows, self._seed = rows, seed
        self.parts = [
            SyntheticPart(tuple(pieces), catalogue)
            for pieces in _gathered(generator.cut(rows, seed=seed, catalogue=catalogue))
        ]

    def order(self) -> NDArray[np.int64]:
        """In memory, flows are shuffled."""
        return generator.order_of(self._rows, seed=self._seed)

    def provenance(self, tally: Tally) -> Provenance:
        """Rows and seed."""
        return generator.provenance(self._rows, seed=self._seed, catalogue=self.catalogue)

    def read(self, progress: Progress | None = None) -> Flows:
        """Draws all flows, on several processors."""
        return generator.generate(
            self._rows, seed=self._seed, catalogue=self.catalogue, progress=progress
        )


def _gathered(pieces: Iterator[generator.Piece]) -> Iterator[list[generator.Piece]]:
    """Consecutive pieces together, until they hold PART_ROWS flows."""
    part: list[generator.Piece] = []
    for piece in pieces:
        part.append(piece)
        if sum(one.size for one in part) >= PART_ROWS:
            yield part
            part = []
    if part:
        yield part


SYNTHETIC = DataSet(
    name=generator.KIND,
    title="Flows drawn from a statistical model of CICIDS2017, to run the programs without data",
    citation="Calibrated on CICIDS2017: Sharafaldin, Habibi Lashkari, Ghorbani, ICISSP 2018",
    schema=cicflowmeter.SCHEMA,
    labels=tuple(PUBLISHED_COUNTS),
    synthetic=True,
    draw=SyntheticSource,
)
