"""Records of a log or a table, told by its content: JSON, Zeek's TSV, CSV; gzip or not.

Logs are written by machines that stop at any moment, and read by anyone. A line that is no record
is left out and counted; what makes a whole file unreadable is refused with its place.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from envs.datasets.labels import decode_text
from envs.errors import InputError, quoted
from envs.files import open_regular, reading, shown_path

MOST_LINE = 16 << 20
"""Bytes of a line; Suricata's lines hold payloads, but none of this size."""

MOST_WHOLE = 1 << 30
"""Bytes of JSON that is no lines, and so must be held at once."""

_DELIMITERS = ",\t;|"

Record = dict[str, Any]


@dataclass
class Account:
    """What a file held.

    Attributes:
        records: that were read.
        damaged: lines that are no record.
        digest: SHA-256 of the unpacked content, once all was read.
    """

    records: int = 0
    damaged: int = 0
    digest: str = ""


def read_records(path: Path, account: Account) -> Iterator[tuple[int, Record]]:
    """The records of a file, each with its line number (its place in the list, in a JSON list).

    Args:
        path: of the file.
        account: is filled in.

    Raises:
        InputError: the file cannot be read, or holds no such records.
    """
    where = shown_path(path)
    with reading(path), _unpacking(where), open_regular(path) as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        with gzip.open(raw) if packed else raw as file:
            lines = _Lines(file, where)
            for number, record in _told_by_content(lines, account):
                account.records += 1
                yield number, record
            account.digest = lines.hash.hexdigest()


@contextmanager
def _unpacking(where: str) -> Iterator[None]:
    """Tells what gzip refuses."""
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(
            "the gzip file is damaged or ends too early",
            where=where,
            expected="a whole file",
            mend="Copy it again, or unpack what can be unpacked and give that",
        ) from error


class _Lines:
    """The lines of a file, bounded; a first line can be looked at before it is taken."""

    def __init__(self, file: BinaryIO | gzip.GzipFile, where: str) -> None:
        self._file, self.where, self.number = file, where, 0
        self.hash = hashlib.sha256()
        self._next = self._line().removeprefix(b"\xef\xbb\xbf")

    @property
    def first(self) -> bytes:
        return self._next

    def __iter__(self) -> Iterator[bytes]:
        while self._next:
            line, self._next = self._next, self._line()
            self.number += 1
            yield line

    def whole(self) -> bytes:
        """All that is left."""
        rest = self._file.read(MOST_WHOLE + 1)
        self.hash.update(rest)
        if len(rest) > MOST_WHOLE:
            raise InputError(
                "holds more than 1 GiB of JSON that is not one record per line",
                where=self.where,
                expected="one JSON object on each line",
                mend="Write it so, for example with jq -c '.[]'",
            )
        return self._next + rest

    def _line(self) -> bytes:
        line = self._file.readline(MOST_LINE + 1)
        if len(line) > MOST_LINE:
            raise InputError(
                "holds a line of more than 16 MiB",
                where=f"{self.where}, line {self.number + 2}",
                mend="Check that it is the right file",
            )
        self.hash.update(line)
        return line


def _told_by_content(lines: _Lines, account: Account) -> Iterator[tuple[int, Record]]:
    while lines.first and not lines.first.strip():
        next(iter(lines))
    first = lines.first.lstrip()
    if not first:
        raise InputError("is empty", where=lines.where, mend="Check that it is the right file")
    if b"\0" in first or first.startswith(b"PK\x03\x04"):
        raise InputError(
            "is no text",
            where=lines.where,
            expected="JSON, CSV or a log of Zeek, in UTF-8, packed by gzip or not",
            mend="Unpack it, or save it in UTF-8",
        )
    if first.startswith(b"<"):
        raise InputError(
            "is an HTML or XML page", where=lines.where, mend="Download the file itself again"
        )
    if first.startswith(b"["):
        return _json_values(lines)
    if first.startswith(b"{"):
        return _json_lines(lines, account) if _object(first) is not None else _json_values(lines)
    if first.startswith((b"#separator", b"#fields")):
        return _zeek(lines, account)
    return _csv(lines, account)


def _object(text: bytes | str) -> Record | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _json_lines(lines: _Lines, account: Account) -> Iterator[tuple[int, Record]]:
    for line in lines:
        record = _object(line)
        if record is not None:
            yield lines.number, record
        elif line.strip():
            account.damaged += 1


_BETWEEN = re.compile(r"[\s,]*")


def _json_values(lines: _Lines) -> Iterator[tuple[int, Record]]:
    """Objects of one list, or one after another, over any number of lines."""
    before = lines.number
    text = decode_text(lines.whole())
    decoder = json.JSONDecoder()
    text = text.strip()
    listed = text.startswith("[")
    at, number = int(listed), 0
    end = len(text) - 1 if listed and text.endswith("]") else len(text)
    while (at := _end_of_gap(text, at)) < end:
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise _no_json(lines.where, before + text.count("\n", 0, at) + 1) from error
        number += 1
        if not isinstance(value, dict):
            raise _no_json(lines.where, before + text.count("\n", 0, at) + 1)
        yield number, value
    if listed and end == len(text):
        raise _no_json(lines.where, before + text.count("\n") + 1)


def _end_of_gap(text: str, at: int) -> int:
    found = _BETWEEN.match(text, at)
    return found.end() if found else at


def _no_json(where: str, line: int) -> InputError:
    return InputError(
        "is not JSON from here on",
        where=f"{where}, line {line}",
        expected="JSON objects, one on each line or in one list",
        mend="Cut the file off before this line (and close the list), or write it again",
    )


def _zeek(lines: _Lines, account: Account) -> Iterator[tuple[int, Record]]:
    separator, unset, empty = "\t", "-", "(empty)"
    names: list[str] = []
    for line in lines:
        text = decode_text(line).rstrip("\r\n")
        if text.startswith("#"):
            key, _, rest = text.partition(" " if text.startswith("#separator") else separator)
            if key == "#separator":
                separator = _unescaped(rest.strip()) or separator
            elif key == "#unset_field":
                unset = rest
            elif key == "#empty_field":
                empty = rest
            elif key == "#fields":
                names = rest.split(separator)
            continue
        cells = text.split(separator)
        if not names or len(cells) != len(names):
            cells = _up_to_notice(text, names)
        if not cells:
            account.damaged += bool(text)
            continue
        yield (
            lines.number,
            {
                name: "" if cell == empty else _unescaped(cell)
                for name, cell in zip(names, cells, strict=False)
                if cell != unset
            },
        )


_NOTICE = re.compile(r"[A-Za-z]\w*::\w+")


def _up_to_notice(text: str, names: list[str]) -> list[str]:
    """The cells of a notice up to its name, where tabs became spaces on the way.

    The message behind the name holds spaces of its own, so what follows cannot be told apart.
    """
    before = names.index("note") + 1 if "note" in names else 0
    cells = text.split(maxsplit=before)[:before]
    return cells if len(cells) == before and before and _NOTICE.fullmatch(cells[-1]) else []


def _unescaped(text: str) -> str:
    return re.sub(r"\\x([0-9a-fA-F]{2})", lambda found: chr(int(found[1], 16)), text)


def _csv(lines: _Lines, account: Account) -> Iterator[tuple[int, Record]]:
    head = decode_text(lines.first)
    delimiter = max(_DELIMITERS, key=head.count)
    names: list[str] = []
    rows = csv.reader((decode_text(line) for line in lines), delimiter=delimiter)
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise InputError(
                f"is no CSV ({error})",
                where=f"{lines.where}, line {lines.number}",
                mend="Check the quotes there",
            ) from error
        if row is None:
            return
        if not names:
            names = _header(row, lines.where)
        elif len(row) == len(names):
            yield lines.number, {k: v.strip() for k, v in zip(names, row, strict=True)}
        else:
            account.damaged += bool(row)


def _header(row: list[str], where: str) -> list[str]:
    names = [name.strip() for name in row]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(
            f"the column {quoted(twice)} is there twice",
            where=f"{where}, line 1",
            expected="a header line with names that differ",
            mend="Rename one of the two",
        )
    return names
