"""Reads one Parquet file in blocks of rows.

Data sets are published in CSV; people make such copies with pandas, polars or Spark. So any
numeric type is taken, numbers kept as text too, and labels of any string type.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from envs.datasets.labels import decode_text
from envs.datasets.tables.rows import (
    MISSING_WORDS,
    Block,
    Wanted,
    Words,
    is_number,
    not_a_number,
    number_of,
)
from envs.errors import InputError, quoted
from envs.files import reading, shown_path

BATCH_ROWS = 1 << 16

_MAGIC = b"PAR1"


def sample_parquet(path: Path, rows: int) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The columns' names, and the first rows as texts, [rows][columns].

    Raises:
        InputError: the file is no whole Parquet file.
    """
    with _opened(path) as (file, _):
        names = tuple(file.schema_arrow.names)
        batch = next(file.iter_batches(batch_size=rows), None)
        return names, () if batch is None else texts_of(batch)


def texts_of(rows: Any) -> tuple[tuple[str, ...], ...]:  # noqa: ANN401 (pyarrow is untyped)
    """The cells of an Arrow table or batch as texts, [rows][columns]."""
    columns = [column.to_pylist() for column in rows.columns]
    return tuple(tuple(map(_text, row)) for row in zip(*columns, strict=True))


def read_parquet(
    path: Path, wanted: Wanted, start: int = 0, stop: int | None = None
) -> Iterator[Block]:
    """The rows of ``path`` in order.

    Args:
        path: a Parquet file.
        wanted: the columns to read.
        start: the first row group to read.
        stop: the row group to stop before, ``None`` for none.

    Raises:
        InputError: for a file that is not a whole and sound table of that form. Rows are
            counted from 1.
    """
    where = shown_path(path)
    with _opened(path) as (file, size):
        yield from _blocks(file, wanted, range(file.num_row_groups)[start:stop], size, where)


def read_held(table: pa.Table, wanted: Wanted, where: str) -> Iterator[Block]:
    """The rows of a table that is held in memory, in order.

    Raises:
        InputError: a column holds something else than is wanted. Rows are counted from 1.
    """
    places = {position: position for position in (*wanted.numbers, *wanted.texts)}
    done = 0
    for batch in table.combine_chunks().to_batches(max_chunksize=BATCH_ROWS):
        yield _to_block(batch, wanted, places, done, done + len(batch), where)
        done += len(batch)


def group_starts(path: Path, size: int) -> list[int]:
    """The row groups that stretches of about ``size`` bytes on disk start with.

    Raises:
        InputError: the file is no whole Parquet file.
    """
    with _opened(path) as (file, whole):
        groups = max(1, file.num_row_groups)
        return list(range(0, groups, max(1, groups * size // whole)))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, int]]:
    """The open file and its size in bytes; what is damaged in it is told as an InputError."""
    where = shown_path(path)
    with reading(path):
        size = _check_whole(path, where)
        try:
            with pq.ParquetFile(path) as file:
                yield file, size
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            # Arrow reports damaged pages as OSError, though the disk is sound.
            if isinstance(error, OSError) and error.errno:
                raise
            raise InputError(
                f"not sound Parquet data ({quoted(str(error), 200)[1:-1]})",
                where=where,
                expected="a whole Parquet file",
                mend="Write or download the file again",
            ) from error


def _check_whole(path: Path, where: str) -> int:
    with path.open("rb") as raw:
        start = raw.read(len(_MAGIC))
        size = raw.seek(0, 2)
        raw.seek(max(0, size - len(_MAGIC)))
        end = raw.read()
    if not size:
        what = "the file is empty"
    elif start != _MAGIC:
        what = f"not a Parquet file: it starts with {quoted(start.decode('latin-1'))}"
    elif end != _MAGIC or size < 3 * len(_MAGIC):
        what = "the Parquet file is truncated: its footer is not there"
    else:
        return size
    raise InputError(
        what, where=where, expected="a whole Parquet file", mend="Write or download it again"
    )


def _blocks(
    file: Any,  # noqa: ANN401 (pyarrow is untyped)
    wanted: Wanted,
    groups: range,
    size: int,
    where: str,
) -> Iterator[Block]:
    rows = file.metadata.num_rows
    if not rows:
        raise InputError(
            "there are columns but no row in them",
            where=where,
            expected="one row per flow",
            mend="Write or download the file again",
        )
    positions = sorted({*wanted.numbers, *wanted.texts})
    names = file.schema_arrow.names
    # Names may occur twice, and a name with a dot means a column within a column.
    by_name = len(set(names)) == len(names)
    before = sum(file.metadata.row_group(group).num_rows for group in range(groups.start))
    done = before
    batches = file.iter_batches(
        batch_size=BATCH_ROWS,
        row_groups=list(groups),
        columns=[names[position] for position in positions] if by_name else None,
    )
    for batch in batches:
        consumed = size * (done + len(batch) - before) // rows
        places = {
            position: batch.schema.get_field_index(names[position]) if by_name else position
            for position in positions
        }
        yield _to_block(batch, wanted, places, done, consumed, where)
        done += len(batch)


def _to_block(
    batch: Any,  # noqa: ANN401 (pyarrow is untyped)
    wanted: Wanted,
    places: dict[int, int],
    done: int,
    consumed: int,
    where: str,
) -> Block:
    numbers = [
        _numbers(batch.column(places[position]), name, done, wanted, where)
        for name, position in zip(wanted.names, wanted.numbers, strict=True)
    ]
    texts = [
        _words(batch.column(places[position]), batch.schema.names[places[position]], where)
        for position in wanted.texts
    ]
    return Block(
        numbers, texts, len(batch), 0, consumed, rows=lambda: range(done + 1, done + len(batch) + 1)
    )


def _numbers(
    column: Any,  # noqa: ANN401 (pyarrow is untyped)
    name: str,
    done: int,
    wanted: Wanted,
    where: str,
) -> NDArray[np.float64]:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        column = _parsed(column, name, done, wanted, where)
    elif not (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_null(kind)
    ):
        raise InputError(
            f"the column holds {quoted(str(kind))} values, not numbers",
            where=f"{where}, column '{name}'",
            expected="integers or floating-point numbers",
            mend="Write the file again with numeric columns",
        )
    numbers: NDArray[np.float64] = pc.cast(column, pa.float64(), safe=False).to_numpy(
        zero_copy_only=False
    )
    return numbers


def _parsed(column: Any, name: str, done: int, wanted: Wanted, where: str) -> Any:  # noqa: ANN401
    missing = (*MISSING_WORDS, *wanted.missing_words)
    words = pa.array(missing, column.type)
    column = pc.if_else(pc.is_in(column, value_set=words), pa.scalar(None, column.type), column)
    column = pc.utf8_trim_whitespace(column)
    try:
        return pc.cast(column, pa.float64())
    except pa.ArrowInvalid:
        found = []
        for index, cell in enumerate(column.to_pylist()):
            if cell is not None and not is_number(cell, wanted.missing_words):
                raise not_a_number(cell, name, f"{where}, row {done + index + 1}") from None
            found.append(None if cell is None else number_of(cell, wanted.missing_words))
        return pa.array(found, pa.float64())


def _words(column: Any, name: str, where: str) -> Words:  # noqa: ANN401
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_nested(column.type):
        raise InputError(
            f"the column holds {quoted(str(column.type))} values, not words",
            where=f"{where}, column '{quoted(name)[1:-1]}'",
            expected="text",
            mend="Write the file again with one word per row",
        )
    encoded = column.dictionary_encode()
    distinct = encoded.dictionary
    if pa.types.is_integer(distinct.type):
        distinct = distinct.cast(pa.string())
    words = distinct.to_pylist()
    if not pa.types.is_string(distinct.type):
        words = [_text(value) for value in words]
    codes: NDArray[np.int32] = encoded.indices.fill_null(len(words)).to_numpy()
    return Words(codes, [*words, ""])


def _text(value: object) -> str:
    if value is None:
        return ""
    return decode_text(value) if isinstance(value, bytes) else str(value)
