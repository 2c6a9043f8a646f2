"""Writes decisions: to standard output, or to a file that appears when it is whole."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from envs import InputError
from envs.files import replacing
from rayapp.decisions.columns import KEY_TYPES, keys_of, outcome_columns, schema, taken
from rayapp.decisions.decider import Decided
from rayapp.decisions.lines import CsvLines, JsonLines
from rayapp.decisions.outcomes import Outcomes

Format = Literal["json", "csv", "parquet"]

SUFFIXES: dict[str, Format] = {
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".csv": "csv",
    ".parquet": "parquet",
}
"""The format that a file's name asks for."""


class Writer(Protocol):
    """Takes rows that were decided."""

    def write(self, rows: Decided) -> None:
        """Writes some rows behind those before."""
        ...


class _LineWriter:
    def __init__(self, file: IO[bytes], lines: JsonLines | CsvLines) -> None:
        self._file, self._lines = file, lines
        file.write(lines.header)

    def write(self, rows: Decided) -> None:
        self._file.write(self._lines.render(rows))


class _ParquetWriter:
    def __init__(self, file: pq.ParquetWriter, outcomes: Outcomes) -> None:
        self._file, self._outcomes = file, outcomes
        self._schema = schema(explain=outcomes.explain)

    def write(self, rows: Decided) -> None:
        self._file.write_table(table_of(rows, self._outcomes, self._schema))


def table_of(rows: Decided, outcomes: Outcomes, wanted: pa.Schema) -> pa.Table:
    """Rows as a table, with all columns of :func:`rayapp.decisions.columns.schema`."""
    there = keys_of(rows.keys)
    found = {name: there.get(name, pa.nulls(len(rows), kind)) for name, kind in KEY_TYPES.items()}
    codes = outcomes.of(rows)
    for name, (kind, read) in outcome_columns(explain=outcomes.explain).items():
        found[name] = taken([read(one) for one in outcomes.told], kind, codes)
    return pa.table(found, schema=wanted)


@contextlib.contextmanager
def opened(file: IO[bytes] | Path, kind: Format, outcomes: Outcomes) -> Iterator[Writer]:
    """A writer to an open stream, or to a file that is replaced once the block succeeds.

    Args:
        file: a stream for lines of JSON or CSV, or the file's path.
        kind: JSON lines, CSV or Parquet.
        outcomes: of the rows.

    Raises:
        InputError: the file cannot be written.
    """
    if not isinstance(file, Path):
        yield _LineWriter(file, _lines(kind, outcomes))
        return
    with replacing(file) as temporary:
        if kind == "parquet":
            with pq.ParquetWriter(temporary, schema(explain=outcomes.explain)) as parquet:
                yield _ParquetWriter(parquet, outcomes)
        else:
            with temporary.open("wb") as stream:
                yield _LineWriter(stream, _lines(kind, outcomes))


def _lines(kind: Format, outcomes: Outcomes) -> JsonLines | CsvLines:
    return CsvLines(outcomes) if kind == "csv" else JsonLines(outcomes)


def format_of(out: Path | None, given: Format | None) -> Format:
    """The format that was asked for, by name or by the name of the file.

    Raises:
        InputError: a file's name says nothing of it, or Parquet was asked for without a file.
    """
    if out is None:
        if given == "parquet":
            raise InputError(
                "Parquet is not written to standard output",
                expected="a file",
                mend="Add --out decisions.parquet",
            )
        return given or "json"
    found = given or SUFFIXES.get(out.suffix.lower())
    if found is None:
        raise InputError(
            f"the name of the file does not say its format ({out.suffix or 'no suffix'})",
            where=str(out),
            expected=f"a name that ends in {', '.join(SUFFIXES)}",
            mend="Rename it, or add --format json, csv or parquet",
        )
    return found
