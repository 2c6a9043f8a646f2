"""The bytes of a capture file in order, unpacked on the way."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from envs.errors import InputError
from envs.files import reading, shown_path, unreadable

_CHUNK = 2**20
_GZIP = b"\x1f\x8b"


class CutOffError(Exception):
    """A file ends within a record."""


class Content:
    """The bytes of one capture, which may be compressed with gzip.

    Nothing is unpacked ahead of what is asked for, so that a small file that unpacks to a huge
    one takes no memory and no disk.

    Args:
        raw: the open file.
        where: how messages call it.
    """

    def __init__(self, raw: BinaryIO, where: str) -> None:
        self.where = where
        self._raw = raw
        # Told by content: captures are renamed, and tcpdump -z packs them under any name.
        packed = raw.read(len(_GZIP)) == _GZIP
        raw.seek(0)
        # GzipFile gives all that it can of a file that is cut off; a buffer over it would not.
        self._file = gzip.GzipFile(fileobj=raw) if packed else raw

    @property
    def consumed(self) -> int:
        """Bytes of the file on disk that were read so far."""
        return self._raw.tell()

    def take(self, count: int, *, may_end: bool = False) -> bytes:
        """The next bytes.

        Args:
            count: how many.
            may_end: whether the file may end here; it gives no bytes then.

        Raises:
            CutOffError: the file ends within these bytes.
            InputError: the file is compressed and damaged, or cannot be read.
        """
        try:
            taken = self._file.read(count)
        except EOFError:
            raise CutOffError from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise InputError(
                f"the compressed data are damaged ({error})",
                where=self.where,
                expected="a whole gzip file",
                mend="Copy the file again from where it came from, and test it with gzip -t",
            ) from error
        except OSError as error:
            raise unreadable(self.where, error) from error
        if len(taken) < count and not (may_end and not taken):
            raise CutOffError
        return taken


@contextmanager
def opened(path: Path) -> Iterator[Content]:
    """A capture's content, from its beginning.

    Raises:
        InputError: it cannot be opened.
    """
    with reading(path):
        raw = path.open("rb", buffering=_CHUNK)
    with raw:
        yield Content(raw, shown_path(path))
