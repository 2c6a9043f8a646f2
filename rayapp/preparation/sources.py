"""Where flows are streamed from: parts that any machine can read by itself, again and again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from envs import InputError
from envs.catalogue import PAPER, Catalogue
from envs.datasets.cicids2017 import reader as cicids2017
from envs.datasets.cicids2017.labels import label_index
from envs.datasets.cicids2017.reader import Account, Cleaned, Stretch
from envs.datasets.cicids2017.table import shown_path
from envs.datasets.synthetic import generator as synthetic
from envs.flows import Provenance

PART_BYTES = 64 * 2**20
"""Bytes of files that are read in one go; a published row of CSV has about 500."""

PART_ROWS = 1 << 18
"""Synthetic flows that are drawn in one go, about."""


class Part(Protocol):
    """Consecutive flows of a source; it travels between machines, its flows do not."""

    @property
    def size(self) -> int:
        """What progress counts: bytes or flows."""
        ...

    def batches(self) -> Iterator[Cleaned]:
        """The part's flows in order, the same whenever they are read."""
        ...


class Source(Protocol):
    """Flows that are read part by part.

    Attributes:
        unit: of the parts' sizes.
        parts: in order.
    """

    unit: str
    parts: Sequence[Part]

    def order(self) -> NDArray[np.int64] | None:
        """The row that each flow has in memory's order, ``None`` where that is the parts'."""
        ...

    def provenance(self, account: Account, labels: NDArray[np.int16]) -> Provenance:
        """Where the flows came from, given what was read.

        Raises:
            InputError: no flow is left.
        """
        ...


@dataclass(frozen=True)
class FilePart:
    """A stretch of a file in the published format.

    Attributes:
        stretch: with the path as its owner gave it.
        folder: that a relative path starts from; readers may be at work in another one.
        catalogue: the classes that labels are merged into.
    """

    stretch: Stretch
    folder: Path
    catalogue: Catalogue

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self.stretch.size

    def batches(self) -> Iterator[Cleaned]:
        """Reads and cleans.

        Raises:
            InputError: which names the file as its owner did.
        """
        path = self.folder / self.stretch.path
        try:
            yield from cicids2017.cleaned(replace(self.stretch, path=path), self.catalogue)
        except InputError as error:
            where = error.where
            if where and not self.stretch.path.is_absolute():
                where = where.replace(shown_path(path), shown_path(self.stretch.path))
            raise InputError(
                error.what, where=where, expected=error.expected, mend=error.mend
            ) from error


class Files:
    """CICIDS2017 as :func:`cicids2017.reader.read` takes it; every machine must see the files.

    Args:
        paths: files and folders.
        catalogue: the classes that labels are merged into.
        part_bytes: size of the parts that plain files are cut into.

    Raises:
        InputError: there is nothing to read.
    """

    unit = "bytes"

    def __init__(
        self, paths: Sequence[Path], catalogue: Catalogue = PAPER, part_bytes: int = PART_BYTES
    ) -> None:
        self._files = cicids2017.find_files(paths)
        self._catalogue = catalogue
        self.parts: Sequence[Part] = [
            FilePart(stretch, Path.cwd(), catalogue)
            for file in self._files
            for stretch in cicids2017.stretches(file, part_bytes)
        ]

    def order(self) -> None:
        """In memory, flows have the order of files and lines."""

    def provenance(self, account: Account, labels: NDArray[np.int16]) -> Provenance:
        """Names the files and counts the rows."""
        names = cicids2017.names_of(self._files)
        account.check(names)
        return account.provenance(names, labels, self._catalogue)


@dataclass(frozen=True)
class SyntheticPart:
    """Some pieces of synthetic flows."""

    pieces: tuple[synthetic.Piece, ...]
    catalogue: Catalogue

    @property
    def size(self) -> int:
        """Flows."""
        return sum(piece.size for piece in self.pieces)

    def batches(self) -> Iterator[Cleaned]:
        """Draws."""
        names = label_index(self.catalogue).names
        for piece in self.pieces:
            labels = np.full(piece.size, names.index(piece.label), np.int16)
            yield Cleaned(piece.draw(), labels, piece.size, 0, 0, piece.size)


class Synthetic:
    """Synthetic flows as :func:`envs.datasets.synthetic.generator.generate` draws them.

    Raises:
        InputError: too few rows, or a negative seed.
    """

    unit = "flows"

    def __init__(self, rows: int, *, seed: int, catalogue: Catalogue = PAPER) -> None:
        self._rows, self._seed, self._catalogue = rows, seed, catalogue
        self.parts: Sequence[Part] = [
            SyntheticPart(tuple(pieces), catalogue)
            for pieces in _gathered(synthetic.cut(rows, seed=seed, catalogue=catalogue))
        ]

    def order(self) -> NDArray[np.int64]:
        """In memory, flows are shuffled."""
        return synthetic.order_of(self._rows, seed=self._seed)

    def provenance(self, account: Account, labels: NDArray[np.int16]) -> Provenance:
        """Rows and seed."""
        return synthetic.provenance(self._rows, seed=self._seed, catalogue=self._catalogue)


def _gathered(pieces: Iterator[synthetic.Piece]) -> Iterator[list[synthetic.Piece]]:
    """Consecutive pieces together, until they hold PART_ROWS flows."""
    part: list[synthetic.Piece] = []
    for piece in pieces:
        part.append(piece)
        if sum(one.size for one in part) >= PART_ROWS:
            yield part
            part = []
    if part:
        yield part
