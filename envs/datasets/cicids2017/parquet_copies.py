"""Read one Parquet copy of CICIDS2017 in blocks of rows.

Nobody publishes the data set in Parquet; people make such copies with pandas, polars or
Spark. So any numeric type is taken, numbers kept as text too, and labels of any string type.
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

from envs.datasets.cicids2017.labels import decode_text
from envs.datasets.cicids2017.table import (
    MISSING_WORDS,
    Block,
    Columns,
    is_number,
    locate_columns,
    not_a_number,
    printable,
    reading,
    shown_path,
    to_features,
)
from envs.errors import InputError
from envs.flows import FEATURES

BATCH_ROWS = 1 << 16

_MAGIC = b"PAR1"


def read_parquet(path: Path, start: int = 0, stop: int | None = None) -> Iterator[Block]:
    """The rows of ``path`` in order.

    Args:
        path: a ``.parquet`` file.
        start: the first row group to read.
        stop: the row group to stop before, ``None`` for none.

    Raises:
        InputError: for a file that is not a whole and sound table of CICIDS2017 flows. Rows
            are counted from 1.
    """
    where = shown_path(path)
    with _opened(path) as (file, size):
        yield from _blocks(file, range(file.num_row_groups)[start:stop], size, where)


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
                f"not sound Parquet data ({printable(str(error), 200)[1:-1]})",
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
        what = f"not a Parquet file: it starts with {printable(start.decode('latin-1'))}"
    elif end != _MAGIC or size < 3 * len(_MAGIC):
        what = "the Parquet file is truncated: its footer is not there"
    else:
        return size
    raise InputError(
        what, where=where, expected="a whole Parquet file", mend="Write or download it again"
    )


def _blocks(file: Any, groups: range, size: int, where: str) -> Iterator[Block]:  # noqa: ANN401
    names = file.schema_arrow.names
    columns = locate_columns(names, where)
    rows = file.metadata.num_rows
    if not rows:
        raise InputError(
            "there are columns but no row in them",
            where=where,
            expected="one row per flow",
            mend="Write or download the file again",
        )
    wanted = {names[position] for position in (*columns.features, columns.label)}
    done = sum(file.metadata.row_group(group).num_rows for group in range(groups.start))
    batches = file.iter_batches(
        batch_size=BATCH_ROWS, row_groups=list(groups), columns=sorted(wanted)
    )
    for batch in batches:
        columns = locate_columns(batch.schema.names, where)
        yield _to_block(batch, columns, done, size * (done + len(batch)) // rows, where)
        done += len(batch)


def _to_block(batch: Any, columns: Columns, done: int, consumed: int, where: str) -> Block:  # noqa: ANN401
    features = [
        _numbers(batch.column(position), feature, done, where)
        for feature, position in enumerate(columns.features)
    ]
    codes, texts = _labels(batch.column(columns.label), where)
    return Block(
        features=to_features(features, len(batch)),
        codes=codes,
        texts=texts,
        blank=0,
        consumed=consumed,
        row=lambda index: done + index + 1,
    )


def _numbers(column: Any, feature: int, done: int, where: str) -> NDArray[np.float64]:  # noqa: ANN401
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        column = _parsed(column, feature, done, where)
    elif not (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_null(kind)
    ):
        raise InputError(
            f"the column holds {printable(str(kind))} values, not numbers",
            where=f"{where}, column '{FEATURES[feature]}'",
            expected="integers or floating-point numbers",
            mend="Write the file again with numeric columns",
        )
    numbers: NDArray[np.float64] = pc.cast(column, pa.float64(), safe=False).to_numpy(
        zero_copy_only=False
    )
    return numbers


def _parsed(column: Any, feature: int, done: int, where: str) -> Any:  # noqa: ANN401
    words = pa.array(MISSING_WORDS, column.type)
    column = pc.if_else(pc.is_in(column, value_set=words), pa.scalar(None, column.type), column)
    column = pc.utf8_trim_whitespace(column)
    try:
        return pc.cast(column, pa.float64())
    except pa.ArrowInvalid:
        for index, cell in enumerate(column.to_pylist()):
            if cell is not None and not is_number(cell):
                raise not_a_number(cell, feature, f"{where}, row {done + index + 1}") from None
        raise


def _labels(column: Any, where: str) -> tuple[NDArray[np.int32], list[str]]:  # noqa: ANN401
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_nested(column.type):
        raise InputError(
            f"the column holds {printable(str(column.type))} values, not labels",
            where=f"{where}, column 'Label'",
            expected="text",
            mend="Write the file again with one label per row",
        )
    encoded = column.dictionary_encode()
    texts = [_text(value) for value in encoded.dictionary.to_pylist()]
    codes: NDArray[np.int32] = encoded.indices.fill_null(len(texts)).to_numpy()
    return codes, [*texts, ""]


def _text(value: object) -> str:
    if value is None:
        return ""
    return decode_text(value) if isinstance(value, bytes) else str(value)
