"""Opens files as they lie on disk: packed by gzip, bzip2, xz or zip, in UTF-8 or UTF-16."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from envs.errors import InputError, quoted
from envs.files import open_regular, reading, shown_path

LINE_BYTES = 1 << 20
"""The longest line taken for a row; a published one has about 500 bytes."""

_GZIP = b"\x1f\x8b"
_BZIP2 = b"BZh"
_XZ = b"\xfd7zXZ\x00"
_ZIP = b"PK\x03\x04"
_PARQUET = b"PAR1"
_OFFICE = "[Content_Types].xml"
_ZSTD = b"\x28\xb5\x2f\xfd"

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


_DAMAGED = (
    *(gzip.BadGzipFile, zlib.error, lzma.LZMAError, zipfile.BadZipFile),
    # What zipfile says of versions, methods and locks that it does not know.
    *(NotImplementedError, RuntimeError),
)


@dataclass(frozen=True)
class Opened:
    """An open file.

    Attributes:
        stream: its content, unpacked, with lines in an encoding that ASCII is part of.
        raw: the file on disk.
        parquet: whether it holds Parquet.
        plain: whether the stream is the file itself, byte by byte, and can be cut.
    """

    stream: IO[bytes]
    raw: IO[bytes]
    parquet: bool
    plain: bool


@contextmanager
def opened(path: Path) -> Iterator[Opened]:
    """Opens a file and unpacks it on the way.

    Raises:
        InputError: it cannot be read, is damaged, or holds what cannot be unpacked here.
    """
    with reading(path), open_regular(path) as raw:
        start = raw.read(8)
        raw.seek(0)
        if start.startswith(_PARQUET):
            yield Opened(raw, raw, parquet=True, plain=True)
            return
        with _unpacking(path), _unpacked(raw, start, path) as stream:
            first = stream.read(2)
            stream.seek(0)
            if first in _UTF_16:
                yield Opened(_in_utf_8(stream), raw, parquet=False, plain=False)
            else:
                yield Opened(stream, raw, parquet=False, plain=stream is raw)


@contextmanager
def _unpacked(raw: IO[bytes], start: bytes, path: Path) -> Iterator[IO[bytes]]:
    if start.startswith(_GZIP):
        with gzip.GzipFile(fileobj=raw, mode="rb") as stream:
            yield stream  # type: ignore[misc]
    elif start.startswith(_BZIP2):
        with bz2.BZ2File(raw) as stream:
            yield stream
    elif start.startswith(_XZ):
        with lzma.LZMAFile(raw) as stream:
            yield stream
    elif start.startswith(_ZIP):
        with zipfile.ZipFile(raw) as archive, archive.open(_only_member(archive, path)) as member:
            yield member
    elif start.startswith(_ZSTD):
        raise InputError(
            "packed by zstd, which is not read",
            where=shown_path(path),
            expected="a file that is not packed, or packed by gzip, bzip2, xz or zip",
            mend=f"Unpack it with 'zstd -d {shown_path(path)}'",
        )
    else:
        yield raw


def _only_member(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    members = [
        one
        for one in archive.infolist()
        if not one.is_dir() and not one.filename.startswith("__MACOSX")
    ]
    if any(one.filename == _OFFICE for one in members):
        raise InputError(
            "an Excel workbook or another office document",
            where=shown_path(path),
            expected="CSV, Parquet, a Zeek log, or JSON records",
            mend="Save the table as CSV",
        )
    if len(members) != 1 or members[0].flag_bits & 1:
        locked = len(members) == 1
        raise InputError(
            "the archive is locked by a password"
            if locked
            else f"the archive holds {len(members)} files",
            where=shown_path(path),
            expected="one file without a password",
            mend="Unpack it into a folder, and give the folder",
        )
    return members[0]


def _in_utf_8(stream: IO[bytes]) -> IO[bytes]:
    return codecs.EncodedFile(stream, "utf-8", "utf-16")


@contextmanager
def _unpacking(path: Path) -> Iterator[None]:
    """What unpackers say of damaged data, as InputError."""
    mend = "Download or pack it again; 'gzip -t' tells whether a gzip file is whole"
    try:
        yield
    except EOFError as error:
        raise InputError(
            "the packed data is truncated: it ends before its end mark",
            where=shown_path(path),
            expected="a whole file",
            mend=mend,
        ) from error
    except _DAMAGED as error:
        raise InputError(
            f"not sound packed data ({quoted(str(error), 80)[1:-1]})",
            where=shown_path(path),
            expected="a whole file",
            mend=mend,
        ) from error
    except UnicodeError as error:
        raise InputError(
            f"not sound UTF-16 text ({quoted(str(error), 80)[1:-1]})",
            where=shown_path(path),
            expected="text in UTF-8 or UTF-16",
            mend="Save it in UTF-8",
        ) from error
