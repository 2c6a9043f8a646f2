"""Flows from tables: which files to read, how they are cut, and which of their rows are sound.

A kind of data set that is a table says what it looks like (:class:`TableFormat`) and takes the
rest from :func:`table_data_set`. Files are CSV, gzipped CSV or Parquet, alone or in folders.
Whatever the form, equal rows give equal flows; rows without finite features are dropped and
counted; anything else that is wrong is an error with its place.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import Catalogue
from envs.datasets.labels import LabelIndex, is_missing, label_index, label_key
from envs.datasets.registry import DataSet
from envs.datasets.source import Account, FlowBatch, FlowSource, check_any_left, label_counts
from envs.datasets.tables.csv_files import check_csv, read_csv
from envs.datasets.tables.files import find_files, names_of, size_of, suffix_of
from envs.datasets.tables.parquet_files import check_parquet, group_starts, read_parquet
from envs.datasets.tables.rows import Block, TableFormat, shown_path, truncated
from envs.errors import InputError
from envs.flows import Provenance

PART_BYTES = 64 * 2**20
"""Bytes of files that are read in one go; a published row of CICIDS2017 in CSV has about 500."""

_NO_LABEL = -1
_UNKNOWN = -2


def table_data_set(
    form: TableFormat, *, citation: str, about: str, labels: Sequence[str]
) -> DataSet:
    """The entry of a kind of data set that is a table in files.

    Args:
        form: what the table looks like.
        citation: of the paper or page that describes it.
        about: one line about it.
        labels: that it is published with.
    """
    return DataSet(
        form.kind,
        about,
        citation,
        form.schema,
        form.label,
        tuple(labels),
        open=lambda paths, catalogue: TableSource(form, paths, catalogue),
        recognises=lambda paths: _recognises(form, paths),
    )


def _recognises(form: TableFormat, paths: Sequence[Path]) -> bool:
    """Whether the first of the files has the form's columns."""
    try:
        first = find_files(paths, form)[0]
        check = check_parquet if suffix_of(first) == ".parquet" else check_csv
        check(first, form)
    except InputError:
        return False
    return True


class TableSource(FlowSource):
    """Flows in files. To be streamed, every machine must see the files.

    Args:
        form: of the table.
        paths: files (``.csv``, ``.csv.gz``, ``.parquet``) and folders, searched in depth. Order of
            rows: that of ``paths``, within a folder that of the sorted file paths. A file reached
            twice is read once.
        catalogue: the classes that labels are merged into.
        part_bytes: size of the parts that plain files are cut into.

    Raises:
        InputError: there is nothing to read.
    """

    def __init__(
        self,
        form: TableFormat,
        paths: Sequence[Path],
        catalogue: Catalogue,
        part_bytes: int = PART_BYTES,
    ) -> None:
        self.catalogue, self.schema = catalogue, form.schema
        self._form = form
        self._files = find_files(paths, form)
        self.parts = [
            TablePart(stretch, Path.cwd(), form, catalogue)
            for file in self._files
            for stretch in stretches(file, part_bytes)
        ]

    def provenance(self, account: Account, labels: NDArray[np.int16]) -> Provenance:
        """Names the files and counts the rows."""
        names = names_of(self._files)
        check_any_left(account, names)
        return Provenance(
            kind=self._form.kind,
            origin={"files": names},
            rows_read=account.rows,
            dropped={"non-finite": account.non_finite, "empty": account.empty},
            labels=label_counts(labels, self.catalogue),
        )


@dataclass(frozen=True)
class Stretch:
    """A file, or some of its bytes (CSV) or row groups (Parquet); whole if nothing is said.

    Attributes:
        path: the file.
        start: of the stretch. A row of a CSV belongs to the stretch in which it begins.
        stop: where the next one starts, ``None`` at the file's end.
        size: bytes on disk, for progress.
    """

    path: Path
    start: int = 0
    stop: int | None = None
    size: int = 0


def stretches(path: Path, size: int) -> list[Stretch]:
    """Cuts a file into stretches of about ``size`` bytes that can be read by themselves.

    Gzipped files are whole, and so are Parquet files of one row group.

    Raises:
        InputError: the file cannot be read.
    """
    whole = size_of(path)
    suffix = suffix_of(path)
    if suffix == ".csv.gz" or whole <= size:
        return [Stretch(path, size=whole)]
    starts = list(range(0, whole, size))
    if suffix == ".parquet":
        # What is wrong with a file is told when its turn to be read has come.
        starts = [0]
        with contextlib.suppress(InputError):
            starts = group_starts(path, size)
    stops: list[int | None] = [*starts[1:], None]
    sizes = [whole * (i + 1) // len(starts) - whole * i // len(starts) for i in range(len(starts))]
    return [Stretch(path, *one) for one in zip(starts, stops, sizes, strict=True)]


@dataclass(frozen=True)
class TablePart:
    """A stretch of a file.

    Attributes:
        stretch: with the path as its owner gave it.
        folder: that a relative path starts from; readers may be at work in another one.
        form: of the table.
        catalogue: the classes that labels are merged into.
    """

    stretch: Stretch
    folder: Path
    form: TableFormat
    catalogue: Catalogue

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self.stretch.size

    def batches(self) -> Iterator[FlowBatch]:
        """Reads the rows in order and drops what is unsound.

        The parts of a file together give exactly the rows of the whole.

        Raises:
            InputError: which names the file as its owner did.
        """
        stretch = replace(self.stretch, path=self.folder / self.stretch.path)
        try:
            yield from _cleaned(stretch, self.form, self.catalogue)
        except InputError as error:
            where = error.where
            if where and not self.stretch.path.is_absolute():
                where = where.replace(shown_path(stretch.path), shown_path(self.stretch.path))
            raise InputError(
                error.what, where=where, expected=error.expected, mend=error.mend
            ) from error


def _cleaned(stretch: Stretch, form: TableFormat, catalogue: Catalogue) -> Iterator[FlowBatch]:
    index, where = label_index(catalogue), shown_path(stretch.path)
    read = read_parquet if suffix_of(stretch.path) == ".parquet" else read_csv
    for block in read(stretch.path, form, stretch.start, stretch.stop):
        yield _clean(block, index, f"column '{form.label}'", where)


def _clean(block: Block, index: LabelIndex, column: str, where: str) -> FlowBatch:
    """Checks a block's labels and keeps its sound rows."""
    known = np.array([_position(text, index) for text in block.texts], dtype=np.int16)
    labels = known[block.codes]
    if (labels == _UNKNOWN).any():
        _refuse(block, int(np.argmax(labels == _UNKNOWN)), index, column, where)
    unlabelled = np.flatnonzero(labels == _NO_LABEL)
    filled = ~np.isnan(block.features[unlabelled]).all(axis=1)
    if filled.any():
        _refuse(block, int(unlabelled[filled][0]), index, column, where)
    keep = np.asarray(np.isfinite(block.features).all(axis=1))
    return FlowBatch(
        features=block.features if keep.all() else block.features[keep],
        labels=labels[keep],
        rows=len(labels) + block.blank,
        non_finite=len(labels) - len(unlabelled) - int(keep.sum()),
        empty=len(unlabelled) + block.blank,
        consumed=block.consumed,
    )


def _position(text: str, index: LabelIndex) -> int:
    if is_missing(text):
        return _NO_LABEL
    return index.by_key.get(label_key(text), _UNKNOWN)


def _refuse(block: Block, number: int, index: LabelIndex, column: str, where: str) -> NoReturn:
    text = block.texts[block.codes[number]]
    row = f"{where}, row {block.row(number)}"
    error = index.unknown(text, f"{row}, {column}")
    if is_missing(text):
        error = InputError(
            "the row has no label",
            where=f"{row}, {column}",
            expected="one of: " + ", ".join(index.names),
            mend="Add the label or remove the row",
        )
    if block.cut_off and number == len(block.codes) - 1:
        error = truncated(error, row)
    raise error
