"""Reads JSON records: one a line, as sensors write them, or all in one array.

A record within a record gives columns with dotted names: ``{"flow": {"age": 3}}`` has the column
``flow.age``. Records need not have the same columns.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
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
    shown_path,
    truncated,
)
from envs.errors import InputError, quoted

BLOCK_ROWS = 1 << 14

RECORD_BYTES = 16 << 20
"""The longest line taken for a record."""

ARRAY_BYTES = 1 << 30
"""The longest text of an array of records: it is held in memory."""

_DEPTH = 6
"""Records within records that become columns; what is deeper is left as text."""

_COLUMNS = 2000
"""Columns of a record at the most."""

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
    for _, record in numbered(stream, where, array=array):
        found.append(record)
        if len(found) == rows:
            break
    if not found:
        raise InputError(
            "there is no record in it",
            where=where,
            expected="JSON records, one a line or in an array",
            mend="Export or download the file again",
        )
    names = tuple(dict.fromkeys(name for record in found for name in record))
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
    with opened(path) as file:
        held: list[tuple[int, Record]] = []
        for number, record in numbered(file.stream, where, array=array):
            held.append((number, record))
            if len(held) == BLOCK_ROWS:
                yield _to_block(held, names, wanted, file.raw.tell(), where)
                held = []
        if held:
            yield _to_block(held, names, wanted, file.raw.tell(), where)


def is_array(stream: IO[bytes]) -> bool:
    """Whether the records stand in one array, or in a record that holds one."""
    stream.seek(0)
    line = stream.readline(RECORD_BYTES).removeprefix(b"\xef\xbb\xbf").strip()
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
    """Records with the number that names each in a message, flattened.

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
        place = f"{where}, row {number}"
        try:
            record = json.loads(decode_text(text))
        except (ValueError, RecursionError) as error:
            fault = _no_record(error, place)
            if not line.endswith(b"\n") and len(line) < RECORD_BYTES:
                fault = truncated(fault, place)
            raise fault from error
        if not isinstance(record, dict):
            raise _no_record(ValueError(f"it is a {type(record).__name__}"), place)
        yield number, flat(record)


def _of_array(stream: IO[bytes], where: str) -> Iterator[tuple[int, Record]]:
    raw = stream.read(ARRAY_BYTES + 1)
    if len(raw) > ARRAY_BYTES:
        raise InputError(
            "the array is longer than 1 GiB",
            where=where,
            expected="one record a line where there are so many",
            mend="Write the records one a line, for example with 'jq -c .[]'",
        )
    try:
        value = json.loads(decode_text(raw.removeprefix(b"\xef\xbb\xbf")))
    except (ValueError, RecursionError) as error:
        raise _no_record(error, where) from error
    records = value if isinstance(value, list) else _list_in(value)
    for number, record in enumerate(records or (), start=1):
        if not isinstance(record, dict):
            raise _no_record(
                ValueError(f"it is a {type(record).__name__}"), f"{where}, record {number}"
            )
        yield number, flat(record)


def _list_in(value: Any) -> list[Any] | None:  # noqa: ANN401 (JSON)
    """The only list of records that a record holds."""
    if not isinstance(value, dict):
        return None
    lists = [one for one in value.values() if isinstance(one, list) and one]
    return lists[0] if len(lists) == 1 and isinstance(lists[0][0], dict) else None


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


def word_of(value: Any) -> str:  # noqa: ANN401 (JSON)
    """A value as the text of a cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    return json.dumps(value)


def _to_block(
    held: list[tuple[int, Record]],
    names: tuple[str, ...],
    wanted: Wanted,
    consumed: int,
    where: str,
) -> Block:
    if wanted.select is not None:
        column, value = names[wanted.select[0]], wanted.select[1]
        held = [one for one in held if one[1].get(column) == value]
    places = [number for number, _ in held]
    numbers = [
        _numbers(held, names[position], name, wanted, where)
        for position, name in zip(wanted.numbers, wanted.names, strict=True)
    ]
    texts = [_texts(held, names[position]) for position in wanted.texts]
    return Block(numbers, texts, len(held), 0, consumed, lambda: places)


def _numbers(
    held: list[tuple[int, Record]], column: str, name: str, wanted: Wanted, where: str
) -> NDArray[np.float64]:
    found = np.empty(len(held), np.float64)
    for place, (number, record) in enumerate(held):
        value = record.get(column)
        if value is None:
            found[place] = np.nan
        elif isinstance(value, int | float):
            # Integers beyond float64 are an OverflowError.
            found[place] = float(value) if abs(value) < 1e300 else np.inf
        elif isinstance(value, str) and is_number(value, wanted.missing_words):
            found[place] = number_of(value, wanted.missing_words)
        else:
            raise not_a_number(word_of(value), name, f"{where}, row {number}")
    return found


def _texts(held: list[tuple[int, Record]], column: str) -> Words:
    places: dict[str, int] = {}
    codes = [places.setdefault(word_of(record.get(column)), len(places)) for _, record in held]
    return Words(np.array(codes, np.int32), list(places))
