"""Read the published CICIDS2017 data set, in the forms in which people have it.

These are the day files of MachineLearningCVE (79 columns) and of GeneratedLabelledFlows (85
columns), whole or in part, as published or saved again: CSV, gzipped CSV or Parquet, alone or
in folders. Whatever the form, equal rows give equal flows; rows that the paper leaves out are
dropped and counted; and anything else that is wrong is an error with its place.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import PAPER, Catalogue
from envs.cicids2017_csv import read_csv
from envs.cicids2017_labels import (
    LabelIndex,
    is_missing,
    label_index,
    label_key,
    merge_label,
    merged_counts,
)
from envs.cicids2017_parquet import read_parquet
from envs.cicids2017_table import Block, printable, reading, shown_path, truncated
from envs.errors import InputError
from envs.flows import FEATURES, Flows, Progress, Provenance

__all__ = ["merge_label", "merged_counts", "read"]

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
    files = _find_files(paths)
    sizes = [_size(path) for path in files]
    total = sum(sizes)
    gathered = _Gathered(label_index(catalogue))
    done = 0
    for path, size in zip(files, sizes, strict=True):
        for block in _reader(path)(path):
            gathered.add(block, shown_path(path))
            if progress is not None:
                progress(done + min(block.consumed, size), total)
        done += size
        if progress is not None:
            progress(done, total)
    return gathered.flows([printable(path.name, 500)[1:-1] for path in files])


class _Gathered:
    """Rows kept so far, and the account of those that were not."""

    def __init__(self, index: LabelIndex) -> None:
        self._index = index
        self._features: list[NDArray[np.float32]] = []
        self._labels: list[NDArray[np.int16]] = []
        self._rows = 0
        self._empty = 0
        self._non_finite = 0

    def add(self, block: Block, where: str) -> None:
        """Check a block's labels and keep its sound rows."""
        known = np.array([self._position(text) for text in block.texts], dtype=np.int16)
        labels = known[block.codes]
        if (labels == _UNKNOWN).any():
            self._refuse(block, int(np.argmax(labels == _UNKNOWN)), where)
        unlabelled = np.flatnonzero(labels == _NO_LABEL)
        filled = ~np.isnan(block.features[unlabelled]).all(axis=1)
        if filled.any():
            self._refuse(block, int(unlabelled[filled][0]), where)
        keep = np.asarray(np.isfinite(block.features).all(axis=1))
        self._features.append(block.features if keep.all() else block.features[keep])
        self._labels.append(labels[keep])
        self._rows += len(labels) + block.blank
        self._empty += len(unlabelled) + block.blank
        self._non_finite += len(labels) - len(unlabelled) - int(keep.sum())

    def flows(self, files: list[str]) -> Flows:
        """Join the kept rows; this empties the object."""
        kept = sum(len(part) for part in self._labels)
        dropped = {"non-finite": self._non_finite, "empty": self._empty}
        if not kept:
            raise InputError(
                f"no flow is left of {self._rows:,} rows: {self._non_finite:,} have a missing or "
                f"infinite feature, {self._empty:,} are empty",
                where=", ".join(files[:3]) + (", ..." if len(files) > 3 else ""),
                expected="at least one row whose features are all finite",
                mend="Check how the files were made",
            )
        features = np.empty((kept, len(FEATURES)), dtype=np.float32)
        start = 0
        self._features.reverse()
        while self._features:
            # Parts go as they are copied, so that the whole is never in memory twice.
            part = self._features.pop()
            features[start : start + len(part)] = part
            start += len(part)
        labels = np.concatenate(self._labels)
        counts = np.bincount(labels, minlength=len(self._index.names))
        return Flows(
            features=features,
            actual=self._index.classes[labels],
            provenance=Provenance(
                kind="cicids2017",
                origin={"files": files},
                rows_read=self._rows,
                dropped=dropped,
                labels={
                    name: int(count)
                    for name, count in zip(self._index.names, counts, strict=True)
                    if count
                },
            ),
        )

    def _position(self, text: str) -> int:
        if is_missing(text):
            return _NO_LABEL
        return self._index.by_key.get(label_key(text), _UNKNOWN)

    def _refuse(self, block: Block, index: int, where: str) -> NoReturn:
        text = block.texts[block.codes[index]]
        row = f"{where}, row {block.row(index)}"
        error = self._index.unknown(text, f"{row}, column 'Label'")
        if is_missing(text):
            error = InputError(
                "the row has no label",
                where=f"{row}, column 'Label'",
                expected="one of: " + ", ".join(self._index.names),
                mend="Add the label or remove the row",
            )
        if block.cut_off and index == len(block.codes) - 1:
            error = truncated(error, row)
        raise error


def _suffix(path: Path) -> str | None:
    name = path.name.lower()
    return next((suffix for suffix in _READERS if name.endswith(suffix)), None)


def _reader(path: Path) -> Callable[[Path], Iterator[Block]]:
    return _READERS[_suffix(path) or ".csv"]


def _size(path: Path) -> int:
    with reading(path):
        return path.stat().st_size


def _find_files(paths: Sequence[Path]) -> list[Path]:
    """The files to read, each once, in the order of reading."""
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
