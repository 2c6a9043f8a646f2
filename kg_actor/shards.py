"""Refuses graphs in shards, which earlier versions of kirl could write.

Such a graph was cut by ranges of signatures into several stores. Its folder held one folder per
part, named ``0-of-2`` and so on, and so did its snapshots.
"""

from __future__ import annotations

import re
from pathlib import Path

from envs import InputError

_PART = re.compile(r"\d+-of-\d+")


def refuse_shards(folder: Path) -> None:
    """Raises :class:`InputError` if a folder holds parts of a graph in shards.

    Args:
        folder: of a graph or of a snapshot; it need not exist.
    """
    if folder.is_dir() and any(_PART.fullmatch(entry.name) for entry in folder.iterdir()):
        raise in_shards(str(folder))


def in_shards(where: str) -> InputError:
    """The message for anything that belongs to a graph in shards.

    Args:
        where: the folder or file that was found.
    """
    return InputError(
        "belongs to a graph in shards, and kirl no longer supports those",
        where=where,
        expected="a graph in one piece",
        mend="Train the run again, or use the version of kirl that wrote this one",
    )
