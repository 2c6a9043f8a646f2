"""Which files of a data set to read, in which order."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from envs.datasets.tables.rows import TableFormat, reading, shown_path
from envs.errors import InputError, quoted

SUFFIXES = (".csv.gz", ".csv", ".parquet")
_READABLE = "files named .csv, .csv.gz or .parquet, or folders that hold such"


def suffix_of(path: Path) -> str | None:
    """Which of :data:`SUFFIXES` a file has."""
    name = path.name.lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)


def names_of(files: Sequence[Path]) -> list[str]:
    """The files' names as provenance tells them."""
    return [quoted(path.name, 500)[1:-1] for path in files]


def size_of(path: Path) -> int:
    """Bytes of a file on disk."""
    with reading(path):
        return path.stat().st_size


def find_files(paths: Sequence[Path], form: TableFormat) -> list[Path]:
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
    if form.published is not None:
        _refuse_twins(files, form.published)
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
    elif suffix_of(path) is None:
        packed = path.suffix.lower() in (".zip", ".gz", ".tar", ".tgz", ".7z", ".rar", ".bz2")
        raise InputError(
            f"files named {quoted(path.suffix or path.name)} are not read",
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
    usable = sorted(file for file in files if suffix_of(file) is not None)
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


def _refuse_twins(files: list[Path], published: str) -> None:
    """Two publications can hold the same flows under the same names; reading both doubles them."""
    seen: dict[str, Path] = {}
    for file in files:
        stem = file.name.lower().removesuffix(suffix_of(file) or "")
        if published in stem and stem in seen:
            raise InputError(
                f"the published file {quoted(file.name, 100)} is there twice",
                where=f"{shown_path(seen[stem])} and {shown_path(file)}",
                expected="each published file once",
                mend="Give one of the two publications, not both",
            )
        seen[stem] = file
