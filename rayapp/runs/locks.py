"""Keeps two processes of one machine from working in one folder."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from envs import InputError

LOCK = "lock"


@contextlib.contextmanager
def locked(folder: Path, shown: str) -> Iterator[None]:
    """Keeps other processes from training in a folder; a dead process holds no lock.

    Args:
        folder: an existing one.
        shown: its name in messages.

    Raises:
        InputError: another process is training there.
    """
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                "is being trained by another process",
                where=shown,
                mend="Wait for it, or choose another --out",
            ) from error
        yield
