"""What goes wrong with a graph's store, as one clear message."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from envs import InputError
from kg_actor import snapshot
from kg_actor.database import FILE
from kg_actor.encoding import DamagedError


@contextlib.contextmanager
def problems(folder: Path) -> Iterator[None]:
    """Raises :class:`InputError` for what SQLite and the system complain of."""
    try:
        yield
    except DamagedError as error:
        raise _damaged(folder, str(error)) from error
    except sqlite3.DatabaseError as error:
        raise _explained(folder, error) from error
    except OSError as error:
        raise InputError(
            f"cannot be used ({error.strerror or error})",
            where=str(folder),
            mend="Check the folder's permissions and the free space",
        ) from error


@contextlib.contextmanager
def distrusting(folder: Path) -> Iterator[None]:
    """The same while reading, when whatever cannot be made sense of is damage.

    A file can be wrong in more ways than can be named one by one.
    """
    with problems(folder):
        try:
            yield
        except (InputError, sqlite3.Error, OSError):
            raise
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
            raise DamagedError(f"{error}") from error
        except (RecursionError, MemoryError) as error:
            raise DamagedError("it is too large or too deep") from error


def _explained(folder: Path, error: sqlite3.DatabaseError) -> InputError:
    # Extended codes carry the primary one in their lowest byte.
    code = (getattr(error, "sqlite_errorcode", None) or sqlite3.SQLITE_ERROR) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _damaged(folder, str(error))
    told = {
        sqlite3.SQLITE_FULL: ("the disk is full", "Free some space, then give the command again"),
        sqlite3.SQLITE_IOERR: (f"{error}", "Check the disk, then give the command again"),
        sqlite3.SQLITE_READONLY: ("is read-only", "Make folder and files writable"),
        sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "Check the folder's permissions"),
        sqlite3.SQLITE_BUSY: ("is locked", "End the program that has the file open"),
    }
    what, mend = told.get(code, (f"{error}", "Restore a snapshot: kirl graph restore --help"))
    return InputError(what, where=str(folder / FILE), mend=f"{mend}; nothing merged was lost")


def _damaged(folder: Path, what: str) -> InputError:
    run = folder.parent
    offer = snapshot.newest(run)
    mend = "Put a copy of the folder in its place, or begin with a new graph"
    if offer:
        mend = f"Go back to the last good snapshot, {offer}: kirl graph restore {run}"
    return InputError(f"is damaged ({what})", where=str(folder / FILE), mend=mend)
