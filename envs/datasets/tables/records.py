"""Reads JSON records: one a line, as sensors write them, or all in one array.

A record within a record gives columns with dotted names: ``{"flow": {"age": 3}}`` has the column
``flow.age``. Records need not have the same columns.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from envs.datasets.labels import decode_text
from envs.datasets.tables.opening import opened
from envs.datasets.tables.rows import (
    Block,
    Wanted,
    Words,
    is_number,
    not_a_number,
    number_of,
    truncated,
)
from envs.errors import InputError, quoted
from envs.files import shown_path

BLOCK_ROWS = 1 << 14

RECORD_BYTES = 16 << 20
"""The longest line taken for a record."""

ARRAY_BYTES = 1 << 30
"""The longest text of an array of records: it is held in memory."""

_DEPTH = 6
"""Records within records that become columns; what is deeper is left as text."""

_COLUMNS = 2000
"""Columns of a record at the most; a sample ends with the record that goes beyond them."""

_BESIDE = 8
"""Names that a record which holds others has at the most; a sensor's own records have more."""

_MOST = 1e300

_BLANKS = re.compile(r"\s*")

_PLAIN = {int, float, type(None)}

Record = dict[str, Any]


def sample_records(
    stream: IO[bytes], where: str, rows: int
) -> tuple[bool, tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Whether the records stand in an array, their columns, and the first of them.

    Raises:
        InputError: there are no records.
    """
    array = is_array(stream)
    found: list[Record] = []
    # In their order; records that share no name would make a table of millions of columns.
    columns: dict[str, None] = {}
    for _, record in numbered(stream, where, array=array):
        found.append(flat(record))
        columns |= dict.fromkeys(found[-1])
        if len(found) == rows or len(columns) > _COLUMNS:
            break
    if not found:
        raise InputError(
            "there is no record in it",
            where=where,
            expected="JSON records, one a line or in an array",
            mend="Export or download the file again",
        )
    names = tuple(columns)
    return array, names, tuple(tuple(word_of(one.get(name)) for name in names) for one in found)


def read_records(
    path: Path, names: tuple[str, ...], wanted: Wanted, *, array: bool
) -> Iterator[Block]:
    """The records of ``path`` in order.

    Args:
        path: the file, packed or not.
        names: of the columns that ``wanted`` counts.
        wanted: the columns to read.
        array: whether the records stand in an array.

    Raises:
        InputError: for a file that is damaged. Records are named by their line, or by their
            number in an array.
    """
    where = shown_path(path)
    places = sorted({*wanted.numbers, *wanted.texts})
    getters = [_getter(names[place]) for place in places]
    select = None if wanted.select is None else (_getter(names[wanted.select[0]]), wanted.select[1])
    with opened(path) as file:
        held = _Held([], [], places)
        for number, record in numbered(file.stream, where, array=array):
            if select is not None and select[0](record) != select[1]:
                continue
            held.numbers.append(number)
            held.rows.append([getter(record) for getter in getters])
            if len(held.rows) == BLOCK_ROWS:
                yield held.block(wanted, file.raw.tell(), where)
                held = _Held([], [], places)
        if held.rows:
            yield held.block(wanted, file.raw.tell(), where)


def is_array(stream: IO[bytes]) -> bool:
    """Whether the records stand in one array, or in a record that holds one."""
    stream.seek(0)
    line = stream.readline(RECORD_BYTES).removeprefix(b"\xef\xbb\xbf").strip()
    while not line and (line := stream.readline(RECORD_BYTES)):
        line = line.strip()
    more = stream.readline(RECORD_BYTES).strip()
    stream.seek(0)
    if line.startswith(b"["):
        return True
    try:
        first = json.loads(decode_text(line))
    except (ValueError, RecursionError):
        # A line that is no whole record begins one that runs over several lines, or is cut off.
        return bool(more) and not more.startswith(b"{")
    return not more and isinstance(first, dict) and _list_in(first) is not None


def numbered(stream: IO[bytes], where: str, *, array: bool) -> Iterator[tuple[int, Record]]:
    """Records with the number that names each in a message.

    Raises:
        InputError: one is damaged.
    """
    yield from _of_array(stream, where) if array else _of_lines(stream, where)


def _of_lines(stream: IO[bytes], where: str) -> Iterator[tuple[int, Record]]:
    number = 0
    while line := stream.readline(RECORD_BYTES):
        number += 1
        text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if not text.strip():
            continue
        try:
            record = json.loads(decode_text(text))
        except (ValueError, RecursionError) as error:
            place = f"{where}, row {number}"
            fault = _no_record(error, place)
            if not line.endswith(b"\n") and len(line) < RECORD_BYTES:
                fault = truncated(fault, place)
            raise fault from error
        if not isinstance(record, dict):
            raise _no_record(_other(record), f"{where}, row {number}")
        yield number, record


def _of_array(stream: IO[bytes], where: str) -> Iterator[tuple[int, Record]]:
    raw = stream.read(ARRAY_BYTES + 1)
    if len(raw) > ARRAY_BYTES:
        raise InputError(
            "the array is longer than 1 GiB",
            where=where,
            expected="one record a line where there are so many",
            mend="Write the records one a line, for example with 'jq -c .[]'",
        )
    text = decode_text(raw.removeprefix(b"\xef\xbb\xbf"))
    for number, record in enumerate(_values(text, where), start=1):
        if not isinstance(record, dict):
            raise _no_record(_other(record), f"{where}, record {number}")
        yield number, record


def _values(text: str, where: str) -> Iterator[Any]:
    """The elements of an array, or of several where files were joined, one after the other.

    A record outside of an array may hold the array.
    """
    decoder, inside, place = json.JSONDecoder(), False, _after_blanks(text, 0)
    while place < len(text):
        sign = text[place]
        if sign == ("]" if inside else "["):
            inside, place = not inside, place + 1
        elif inside and sign == ",":
            place += 1
        else:
            try:
                value, place = decoder.raw_decode(text, place)
            except (ValueError, RecursionError) as error:
                raise _cut_off_or_damaged(error, text, place, where) from error
            yield from [value] if inside else _list_in(value) or [value]
        place = _after_blanks(text, place)
    if inside:
        fault = InputError("the array is not closed", expected="a ']' at its end")
        raise truncated(fault, f"{where}, row {text.count(chr(10)) + 1}")


def _cut_off_or_damaged(error: Exception, text: str, place: int, where: str) -> InputError:
    fault_at = getattr(error, "pos", place)
    row = f"{where}, row {text.count(chr(10), 0, fault_at) + 1}"
    fault = _no_record(error, row)
    return truncated(fault, row) if fault_at >= len(text.rstrip()) - 1 else fault


def _after_blanks(text: str, place: int) -> int:
    found = _BLANKS.match(text, place)
    return found.end() if found else place


def _list_in(value: Any) -> list[Any] | None:  # noqa: ANN401 (JSON)
    """The only list of records that a record holds."""
    if not isinstance(value, dict) or len(value) > _BESIDE:
        return None
    lists = [one for one in value.values() if isinstance(one, list) and one]
    return lists[0] if len(lists) == 1 and isinstance(lists[0][0], dict) else None


def _other(value: Any) -> ValueError:  # noqa: ANN401 (JSON)
    return ValueError(f"it is a {type(value).__name__}")


def _no_record(error: Exception, where: str) -> InputError:
    return InputError(
        f"not a JSON record ({quoted(str(error), 80)[1:-1]})",
        where=where,
        expected="JSON records, one a line or in an array",
        mend="Correct or remove the record",
    )


def flat(record: Record) -> Record:
    """The record with dotted names in place of records within records."""
    found: Record = {}
    _flatten(record, "", found, 0)
    return found


def _flatten(record: Record, before: str, found: Record, depth: int) -> None:
    for name, value in record.items():
        if isinstance(value, dict) and depth < _DEPTH:
            _flatten(value, f"{before}{name}.", found, depth + 1)
        elif len(found) < _COLUMNS:
            found[f"{before}{name}"] = value


def _getter(name: str) -> Callable[[Record], Any]:
    """Gets what :func:`flat` has under a name; ``None`` for nothing."""
    head, dot, rest = name.partition(".")
    if not dot:
        return lambda record: _plain(record.get(name))
    if "." in rest:
        return lambda record: _within(record, name, 0)

    def get(record: Record) -> Any:  # noqa: ANN401 (JSON)
        value = record.get(name)
        if value is None:
            inner = record.get(head)
            value = inner.get(rest) if type(inner) is dict else None
        return None if type(value) is dict else value

    return get


def _plain(value: Any) -> Any:  # noqa: ANN401 (JSON)
    return None if type(value) is dict else value


def _within(record: Record, name: str, depth: int) -> Any:  # noqa: ANN401 (JSON)
    value = record.get(name)
    place = name.find(".")
    while value is None and place >= 0 and depth < _DEPTH:
        inner = record.get(name[:place])
        if type(inner) is dict:
            value = _within(inner, name[place + 1 :], depth + 1)
        place = name.find(".", place + 1)
    return _plain(value)


def word_of(value: Any) -> str:  # noqa: ANN401 (JSON)
    """A value as the text of a cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    return json.dumps(value)


@dataclass(frozen=True)
class _Held:
    """Records that become a block.

    Attributes:
        numbers: that name each in a message.
        rows: the values of each in the columns that are read.
        places: positions of these columns.
    """

    numbers: list[int]
    rows: list[list[Any]]
    places: list[int]

    def block(self, wanted: Wanted, consumed: int, where: str) -> Block:
        columns = dict(zip(self.places, zip(*self.rows, strict=True), strict=True))
        numbers = [
            self._numbers(columns[position], name, wanted, where)
            for position, name in zip(wanted.numbers, wanted.names, strict=True)
        ]
        words = {position: _texts(columns[position]) for position in set(wanted.texts)}
        texts = [words[position] for position in wanted.texts]
        return Block(numbers, texts, len(self.rows), 0, consumed, lambda: self.numbers)

    def _numbers(
        self, values: tuple[Any, ...], name: str, wanted: Wanted, where: str
    ) -> NDArray[np.float64]:
        if set(map(type, values)) <= _PLAIN:
            with contextlib.suppress(OverflowError):
                return np.array(values, np.float64)
        found = np.empty(len(values), np.float64)
        for place, value in enumerate(values):
            if value is None:
                found[place] = np.nan
            elif isinstance(value, int | float):
                # Integers beyond float64 are an OverflowError.
                found[place] = np.inf if abs(value) > _MOST else float(value)
            elif isinstance(value, str) and is_number(value, wanted.missing_words):
                found[place] = number_of(value, wanted.missing_words)
            else:
                place_told = f"{where}, row {self.numbers[place]}"
                raise not_a_number(word_of(value), name, place_told)
        return found


def _texts(values: tuple[Any, ...]) -> Words:
    places: dict[str, int] = {}
    codes = [
        places.setdefault(value if type(value) is str else word_of(value), len(places))
        for value in values
    ]
    return Words(np.array(codes, np.int32), list(places))
