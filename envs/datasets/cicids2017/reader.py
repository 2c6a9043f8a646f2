"""Read the published CICIDS2017 data set, in the forms in which people have it.

These are the day files of MachineLearningCVE (79 columns) and of GeneratedLabelledFlows (85
columns), whole or in part, as published or saved again: CSV, gzipped CSV or Parquet, alone or
in folders. Whatever the form, equal rows give equal flows; rows that the paper leaves out are
dropped and counted; and anything else that is wrong is an error with its place.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import PAPER, Catalogue
from envs.datasets.cicids2017.csv_copies import read_csv
from envs.datasets.cicids2017.labels import (
    LabelIndex,
    is_missing,
    label_index,
    label_key,
    merge_label,
    merged_counts,
)
from envs.datasets.cicids2017.parquet_copies import group_starts, read_parquet
from envs.datasets.cicids2017.table import Block, printable, reading, shown_path, truncated
from envs.errors import InputError
from envs.flows import FEATURES, Flows, Progress, Provenance

__all__ = [
    "Account",
    "Cleaned",
    "Stretch",
    "cleaned",
    "find_files",
    "merge_label",
    "merged_counts",
    "names_of",
    "read",
    "size_of",
    "stretches",
]

_READERS = {".csv.gz": read_csv, ".csv": read_csv, ".parquet": read_parquet}
_READABLE = "files named .csv, .csv.gz or .parquet, or folders that hold such"
_PUBLISHED = "pcap_iscx"
"""Part of the name of each published file."""

_NO_LABEL = -1
_UNKNOWN = -2


def read(
    paths: Sequence[Path], *, catalogue: Catalogue = PAPER, progress: Progress | None = None
) -> Flows:
    """Read CICIDS2017 flows and merge their labels into the paper's classes (Table I).

    Rows with a missing or infinite feature (also one too large for float32) are dropped and
    counted as ``non-finite``; rows with neither features nor label, of which one published
    file has 288,602, as ``empty``.

    Args:
        paths: files (``.csv``, ``.csv.gz``, ``.parquet``) and folders, searched in depth.
            Order of rows: that of ``paths``, within a folder that of the sorted file paths.
            A file reached twice is read once.
        catalogue: the classes, and the labels merged into each.
        progress: called with (bytes done, bytes total) of the files on disk.

    Returns:
        Flows with float32 features [n, 78], int8 classes [n] and their provenance, in which
        labels are spelled as in the catalogue.

    Raises:
        InputError: if nothing is there to read, a file cannot be read in full, a column is
            missing, a cell is not a number, a label is unknown, or no row is left. Rows are
            named by line, the header being line 1; in Parquet they are counted from 1.
    """
    files = find_files(paths)
    sizes = [size_of(path) for path in files]
    total = sum(sizes)
    account = Account()
    parts: list[Cleaned] = []
    done = 0
    for path, size in zip(files, sizes, strict=True):
        for part in cleaned(Stretch(path), catalogue):
            account.add(part.rows, part.non_finite, part.empty)
            parts.append(part)
            if progress is not None:
                progress(done + min(part.consumed, size), total)
        done += size
        if progress is not None:
            progress(done, total)
    names = names_of(files)
    account.check(names)
    labels = np.concatenate([part.labels for part in parts])
    return Flows(
        features=_joined(parts),
        actual=label_index(catalogue).classes[labels],
        provenance=account.provenance(names, labels, catalogue),
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


@dataclass(frozen=True)
class Cleaned:
    """The sound rows of some consecutive ones, and how many were not.

    Attributes:
        features: float32 [n, 78], all finite.
        labels: int16 [n], positions among the catalogue's labels.
        rows: all rows, sound or not.
        non_finite: those dropped for a missing or infinite feature.
        empty: those dropped for being empty.
        consumed: bytes of the file read so far.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int16]
    rows: int
    non_finite: int
    empty: int
    consumed: int


def cleaned(stretch: Stretch, catalogue: Catalogue = PAPER) -> Iterator[Cleaned]:
    """Reads the rows of a stretch of a file in order, in pieces, and drops what is unsound.

    The stretches of a file together give exactly the rows of the whole.

    Raises:
        InputError: as :func:`read`.
    """
    index, where = label_index(catalogue), shown_path(stretch.path)
    reader = _READERS[_suffix(stretch.path) or ".csv"]
    for block in reader(stretch.path, stretch.start, stretch.stop):
        yield _clean(block, index, where)


def stretches(path: Path, size: int) -> list[Stretch]:
    """Cuts a file into stretches of about ``size`` bytes that can be read by themselves.

    Gzipped files are whole, and so are Parquet files of one row group.

    Raises:
        InputError: the file cannot be read.
    """
    whole = size_of(path)
    suffix = _suffix(path)
    if suffix == ".csv.gz" or whole <= size:
        return [Stretch(path, size=whole)]
    starts = list(range(0, whole, size))
    if suffix == ".parquet":
        # What is wrong with a file is told when its turn to be read has come.
        starts = [0]
        with contextlib.suppress(InputError):
            starts = group_starts(path, size)
    stops: list[int | None] = [*starts[1:], None]
    share = whole // len(starts)
    return [Stretch(path, start, stop, share) for start, stop in zip(starts, stops, strict=True)]


class Account:
    """Counts rows read and rows left out."""

    def __init__(self) -> None:
        self.rows = self.non_finite = self.empty = 0

    def add(self, rows: int, non_finite: int, empty: int) -> None:
        """Counts some more rows, and those of them that were dropped."""
        self.rows += rows
        self.non_finite += non_finite
        self.empty += empty

    def check(self, files: list[str]) -> None:
        """Raises :class:`InputError` if no row is left."""
        if self.rows == self.non_finite + self.empty:
            raise InputError(
                f"no flow is left of {self.rows:,} rows: {self.non_finite:,} have a missing or "
                f"infinite feature, {self.empty:,} are empty",
                where=", ".join(files[:3]) + (", ..." if len(files) > 3 else ""),
                expected="at least one row whose features are all finite",
                mend="Check how the files were made",
            )

    def provenance(
        self, files: list[str], labels: NDArray[np.int16], catalogue: Catalogue = PAPER
    ) -> Provenance:
        """Where flows with the given labels came from."""
        names = label_index(catalogue).names
        counts = np.bincount(labels, minlength=len(names))
        return Provenance(
            kind="cicids2017",
            origin={"files": files},
            rows_read=self.rows,
            dropped={"non-finite": self.non_finite, "empty": self.empty},
            labels={name: int(count) for name, count in zip(names, counts, strict=True) if count},
        )


def _joined(parts: list[Cleaned]) -> NDArray[np.float32]:
    """All features; this empties the list."""
    features = np.empty((sum(len(part.labels) for part in parts), len(FEATURES)), np.float32)
    start = 0
    parts.reverse()
    while parts:
        # Parts go as they are copied, so that the whole is never in memory twice.
        part = parts.pop()
        features[start : start + len(part.labels)] = part.features
        start += len(part.labels)
    return features


def _clean(block: Block, index: LabelIndex, where: str) -> Cleaned:
    """Checks a block's labels and keeps its sound rows."""
    known = np.array([_position(text, index) for text in block.texts], dtype=np.int16)
    labels = known[block.codes]
    if (labels == _UNKNOWN).any():
        _refuse(block, int(np.argmax(labels == _UNKNOWN)), index, where)
    unlabelled = np.flatnonzero(labels == _NO_LABEL)
    filled = ~np.isnan(block.features[unlabelled]).all(axis=1)
    if filled.any():
        _refuse(block, int(unlabelled[filled][0]), index, where)
    keep = np.asarray(np.isfinite(block.features).all(axis=1))
    return Cleaned(
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


def _refuse(block: Block, number: int, index: LabelIndex, where: str) -> NoReturn:
    text = block.texts[block.codes[number]]
    row = f"{where}, row {block.row(number)}"
    error = index.unknown(text, f"{row}, column 'Label'")
    if is_missing(text):
        error = InputError(
            "the row has no label",
            where=f"{row}, column 'Label'",
            expected="one of: " + ", ".join(index.names),
            mend="Add the label or remove the row",
        )
    if block.cut_off and number == len(block.codes) - 1:
        error = truncated(error, row)
    raise error


def _suffix(path: Path) -> str | None:
    name = path.name.lower()
    return next((suffix for suffix in _READERS if name.endswith(suffix)), None)


def names_of(files: Sequence[Path]) -> list[str]:
    """The files' names as provenance tells them."""
    return [printable(path.name, 500)[1:-1] for path in files]


def size_of(path: Path) -> int:
    """Bytes of a file on disk."""
    with reading(path):
        return path.stat().st_size


def find_files(paths: Sequence[Path]) -> list[Path]:
    """The files to read, each once, in the order of reading.

    Raises:
        InputError: there is nothing to read, or what is there is of another kind.
    """
    if not paths:
        raise InputError("no file or folder was named", expected=_READABLE)
    found: dict[str, Path] = {}
    for path in paths:
        for file in _expand(path):
            found.setdefault(os.path.realpath(file), file)
    files = list(found.values())
    _refuse_both_publications(files)
    return files


def _expand(path: Path) -> Iterator[Path]:
    where = shown_path(path)
    with reading(path):
        is_folder, is_file, exists = path.is_dir(), path.is_file(), path.exists()
    if not exists:
        raise InputError(
            "there is no such file or folder",
            where=where,
            expected=_READABLE,
            mend="Check the path",
        )
    if is_folder:
        yield from _search(path)
    elif not is_file:
        raise InputError("neither a file nor a folder", where=where, expected=_READABLE)
    elif _suffix(path) is None:
        packed = path.suffix.lower() in (".zip", ".gz", ".tar", ".tgz", ".7z", ".rar", ".bz2")
        raise InputError(
            f"files named {printable(path.suffix or path.name)} are not read",
            where=where,
            expected=_READABLE,
            mend="Unpack it first" if packed else "Save the table as CSV or Parquet",
        )
    else:
        yield path


def _search(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> NoReturn:
        raise error

    files: list[Path] = []
    with reading(folder):
        for parent, folders, names in os.walk(folder, onerror=refuse):
            # Hidden files and __MACOSX hold what archivers left behind, under the data's names.
            folders[:] = [name for name in folders if name[0] != "." and name != "__MACOSX"]
            files += [Path(parent, name) for name in names if name[0] != "."]
    usable = sorted(file for file in files if _suffix(file) is not None)
    if not usable:
        raise InputError(
            "there is nothing to read in this folder",
            where=shown_path(folder),
            expected=_READABLE,
            mend="Unpack the archives in it first"
            if any(file.suffix.lower() == ".zip" for file in files)
            else "Check the path",
        )
    return usable


def _refuse_both_publications(files: list[Path]) -> None:
    """The two publications hold the same flows under the same names; reading both doubles them."""
    seen: dict[str, Path] = {}
    for file in files:
        stem = file.name.lower().removesuffix(_suffix(file) or "")
        if _PUBLISHED in stem and stem in seen:
            raise InputError(
                f"the published file {printable(file.name, 100)} is there twice",
                where=f"{shown_path(seen[stem])} and {shown_path(file)}",
                expected="each published file once",
                mend="Give MachineLearningCVE or GeneratedLabelledFlows, not both",
            )
        seen[stem] = file
