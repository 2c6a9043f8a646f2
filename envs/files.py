"""Writing files and folders so that nobody ever sees half of one.

A file is replaced in one step. A folder that takes another's place is swapped in by two
renames; a crash between them leaves the old one beside it, under a hidden name that ends
in ``.old``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from envs.errors import InputError, quoted

LOCK = "lock"
"""The file whose lock keeps other processes out of a folder."""


def shown_path(path: Path) -> str:
    """A path as its owner gave it, safe to print."""
    return quoted(str(path), limit=500)[1:-1]


def unreadable(where: str, error: OSError) -> InputError:
    """The error for a file that the system refuses to open or to read."""
    return InputError(
        f"cannot be read ({error.strerror or type(error).__name__})",
        where=where,
        expected="a file that this user may read",
        mend="Check the path, its permissions and the disk",
    )


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns the operating system's refusals into :class:`InputError`."""
    try:
        yield
    except OSError as error:
        raise unreadable(shown_path(path), error) from error


def beginning_of(path: Path, most: int) -> bytes:
    """The first bytes of a file, at most ``most`` of them: of one that should be small, all.

    Raises:
        InputError: it cannot be read.
    """
    with reading(path), open_regular(path) as raw:
        return raw.read(most)


def open_regular(path: Path) -> BinaryIO:
    """Opens a file for reading; what may never end, or never begin, is refused unread.

    Raises:
        InputError: it is a pipe, a device or a socket.
        OSError: the system refuses to open it.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(
            "a pipe or a device, which is not read",
            where=shown_path(path),
            expected="a file",
            mend="Save what it gives to a file, and give that file",
        )
    return path.open("rb")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path`` that takes its name once the block succeeds.

    Works for files and folders. A folder that is already there is swapped out whole; on
    an error the temporary path is removed and ``path`` stays as it was.

    Raises:
        InputError: the place cannot be written to.
    """
    path = path.absolute()
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _swap(temporary, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        # What went wrong has been said; failing to tidy up must not replace it.
        with contextlib.suppress(OSError):
            _remove(temporary)


def check_writable(path: Path) -> None:
    """Finds out now, rather than after long work, that a file or folder cannot be written.

    Raises:
        InputError: the place cannot be written to.
    """
    folder = path.absolute().parent
    try:
        str(path.absolute()).encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            "the name is not UTF-8", where=str(path), mend="Choose a name of usual letters"
        ) from error
    try:
        with contextlib.suppress(FileNotFoundError):
            path.lstat()  # refuses names that are too long
        while not folder.exists():
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(
        f"cannot be written ({error.strerror or error})",
        where=str(path),
        mend="Check the folder's permissions and the free space",
    )


def _swap(temporary: Path, path: Path) -> None:
    if not path.is_dir():
        temporary.replace(path)
        return
    old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.old")
    path.rename(old)
    try:
        temporary.rename(path)
    except BaseException:
        old.rename(path)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def take_lock(folder: Path, busy: InputError, seconds: float = 0.0) -> FileLock:
    """Takes the lock of a folder, and holds it until ``release()`` is called.

    The lock is the operating system's: it ends with the process that holds it, however that
    dies. It belongs to the returned object, so any thread may release it. The file stays where
    it is, since others may be waiting for it.

    Args:
        folder: an existing folder.
        busy: raised if somebody else holds the lock.
        seconds: how long to wait for it.

    Raises:
        InputError: ``busy``; or the file cannot be opened, or the file system has no locks.
    """
    # Without the fallback, which is a file that a dead process would leave behind.
    lock = FileLock(folder / LOCK, timeout=seconds, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        raise busy from None
    except OSError as error:
        raise _unwritable(folder / LOCK, error) from error
    return lock


def write_json(path: Path, data: Any) -> None:  # noqa: ANN401
    """Writes JSON by way of a temporary name."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def link_or_copy(source: Path, target: Path) -> None:
    """A hard link where the file system allows one, else a copy; for files that never change."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
