"""Keeps two processes of one machine from working in one folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from envs import InputError
from envs.files import take_lock


@contextlib.contextmanager
def locked(folder: Path, shown: str) -> Iterator[None]:
    """Keeps other processes from training in a folder; a dead process holds no lock.

    Args:
        folder: an existing one.
        shown: its name in messages.

    Raises:
        InputError: another process is training there.
    """
    busy = InputError(
        "is being trained by another process",
        where=shown,
        mend="Wait for it, or choose another --out",
    )
    lock = take_lock(folder, busy)
    try:
        yield
    finally:
        lock.release()
