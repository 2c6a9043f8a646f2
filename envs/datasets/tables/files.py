"""Which files to read, in which order."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from envs.errors import InputError, quoted
from envs.files import reading, shown_path

_READABLE = "files, or folders of files, that hold CSV, Parquet, Zeek logs or JSON records"

_PACKED = (".gz", ".bz2", ".xz", ".zip")

_TABLES = (".csv", ".tsv", ".parquet", ".json", ".jsonl", ".ndjson", ".labeled", ".binetflow")
"""Names of tables: of a file in a folder that is called so, a fault is told. Others are skipped."""

_LOG = ".log"
"""Tables of Zeek are called so, and so is what programs say of themselves in the same folder."""


def looks_like_a_table(path: Path) -> bool:
    """Whether a file is called as tables are."""
    name = path.name.lower()
    for packed in _PACKED:
        name = name.removesuffix(packed)
    return name.endswith(_TABLES)


def stem_of(path: Path) -> str:
    """A file's name without what says how it is written."""
    name = path.name.lower()
    for suffix in (*_PACKED, *_TABLES, _LOG):
        name = name.removesuffix(suffix)
    return name


def names_of(files: Sequence[Path]) -> list[str]:
    """The files' names as provenance tells them."""
    return [quoted(path.name, 500)[1:-1] for path in files]


def size_of(path: Path) -> int:
    """Bytes of a file on disk."""
    with reading(path):
        return path.stat().st_size


def find_files(paths: Sequence[Path], expected: str = _READABLE) -> list[tuple[Path, bool]]:
    """The files that may be read, each once, in the order of reading, and whether each was named.

    A file that was not named lies in a folder that was.

    Args:
        paths: files and folders; folders are searched in depth.
        expected: what they should hold, for messages.

    Raises:
        InputError: there is nothing to read.
    """
    if not paths:
        raise InputError("no file or folder was named", expected=expected)
    found: dict[str, tuple[Path, bool]] = {}
    for path in paths:
        for file, named in _expand(path, expected):
            found.setdefault(os.path.realpath(file), (file, named))
    return list(found.values())


def _expand(path: Path, expected: str) -> Iterator[tuple[Path, bool]]:
    where = shown_path(path)
    with reading(path):
        is_folder, is_file, exists = path.is_dir(), path.is_file(), path.exists()
    if not exists:
        raise InputError(
            "there is no such file or folder",
            where=where,
            expected=expected,
            mend="Check the path",
        )
    if is_folder:
        yield from ((file, False) for file in _search(path, expected))
    elif not is_file:
        raise InputError("neither a file nor a folder", where=where, expected=expected)
    else:
        yield path, True


def _search(folder: Path, expected: str) -> list[Path]:
    def refuse(error: OSError) -> NoReturn:
        raise error

    files: list[Path] = []
    with reading(folder):
        for parent, folders, names in os.walk(folder, onerror=refuse):
            # Hidden files and __MACOSX hold what archivers left behind, under the data's names.
            folders[:] = [name for name in folders if name[0] != "." and name != "__MACOSX"]
            files += [Path(parent, name) for name in names if name[0] != "."]
        # A link that leads nowhere is told when its turn to be read has come.
        usable = sorted(
            file
            for file in files
            if file.is_file()
            or (file.is_symlink() and not file.exists() and looks_like_a_table(file))
        )
    if not usable:
        raise InputError(
            "there is nothing to read in this folder",
            where=shown_path(folder),
            expected=expected,
            mend="Check the path",
        )
    return usable


def refuse_twins(files: Sequence[Path], published: str) -> None:
    """Two publications can hold the same flows under the same names; reading both doubles them.

    Raises:
        InputError: a published file is there twice.
    """
    seen: dict[str, Path] = {}
    for file in files:
        stem = stem_of(file)
        if published in stem and stem in seen:
            raise InputError(
                f"the published file {quoted(file.name, 100)} is there twice",
                where=f"{shown_path(seen[stem])} and {shown_path(file)}",
                expected="each published file once",
                mend="Give one of the two publications, not both",
            )
        seen[stem] = file
