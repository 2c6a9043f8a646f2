"""The beginning of a table: what form it has, what its columns are called, what stands in them.

Files are told by what is in them, never by their name. A Zeek log is a table with tabs whose
header stands in a comment; Suricata's eve.json is one JSON record a line; some tools write one
JSON array.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from envs.datasets.labels import decode_text
from envs.datasets.tables import records
from envs.datasets.tables.form import TableFormat, column_key
from envs.datasets.tables.opening import LINE_BYTES, Opened, opened
from envs.datasets.tables.rows import MISSING_WORDS, is_number
from envs.errors import InputError, quoted
from envs.files import shown_path

if TYPE_CHECKING:
    import pyarrow as pa

Form = Literal["text", "records", "parquet", "held"]

ROWS = 500
"""Rows that a sample holds at the most."""

_NAMES = 4096
"""Columns that a table has at the most."""

_SEPARATORS = (",", ";", "\t", "|")

ZEEK_FIELDS = b"#fields"

_NOT_A_TABLE = (
    (b"PK\x03\x04", "an Excel workbook or another archive", "Save the table as CSV"),
    (b"\x89PNG", "a PNG picture", None),
    (b"%PDF", "a PDF document", None),
    (b"<", "an HTML or XML page", "Download it again; the server sent a page, not the data"),
    (b"version https://git-lfs", "a pointer of Git LFS", "Fetch the file with 'git lfs pull'"),
    (b"\xd4\xc3\xb2\xa1", "a packet capture", "Give it with --pcap"),
    (b"\xa1\xb2\xc3\xd4", "a packet capture", "Give it with --pcap"),
    (b"\x4d\x3c\xb2\xa1", "a packet capture", "Give it with --pcap"),
    (b"\xa1\xb2\x3c\x4d", "a packet capture", "Give it with --pcap"),
    (b"\x0a\x0d\x0d\x0a", "a packet capture", "Give it with --pcap"),
)


@dataclass(frozen=True)
class Dialect:
    """How a file is written; it travels to where the file is read.

    Attributes:
        form: text with one row a line, JSON records, Parquet, or a table held in memory.
        separator: of cells in a text.
        begins: the byte, of the text as it is when unpacked, at which rows begin.
        lines: that come before the rows.
        width: cells of a row.
        header: the header line, to be told from rows where files were joined; empty if none.
        joined: names that stand in the last cell, parted by spaces; 1 for a usual table.
        quotes: whether cells may stand in quotes.
        array: the records stand in one JSON array.
        decimal: the sign between a number's whole part and its fraction.
    """

    form: Form
    separator: str = ","
    begins: int = 0
    lines: int = 0
    width: int = 0
    header: bytes = b""
    joined: int = 1
    quotes: bool = True
    array: bool = False
    decimal: str = "."


@dataclass(frozen=True)
class Sample:
    """The beginning of a file.

    Attributes:
        path: of the file.
        dialect: how it is written.
        names: of its columns, as they stand there; empty if it has no header.
        rows: the first rows, [rows][columns], as texts.
        held: the whole table, where it is no file but held in memory.
    """

    path: Path
    dialect: Dialect
    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    held: pa.Table | None = None

    @cached_property
    def positions(self) -> dict[str, list[int]]:
        """Positions of the columns by :func:`column_key`."""
        found: dict[str, list[int]] = {}
        for position, name in enumerate(self.names):
            found.setdefault(column_key(name), []).append(position)
        return found

    def places(self, name: str) -> list[int]:
        """Positions of the columns of that name."""
        return self.positions.get(column_key(name), [])

    def column(self, *names: str) -> list[str] | None:
        """The cells of the first of these columns that is there."""
        for name in names:
            for position in self.places(name):
                return [row[position] for row in self.rows]
        return None

    def numbers(self, *names: str) -> NDArray[np.float64] | None:
        """The column as numbers, NaN for what is none, float64 [rows]."""
        cells = self.column(*names)
        if cells is None:
            return None
        return np.array([_number(cell) for cell in cells], np.float64)

    def headed(self, form: TableFormat) -> Sample:
        """This sample with the names that a kind gives to the columns of a file without header."""
        if self.names or len(form.headless) != self.dialect.width:
            return self
        named = replace(self, names=form.headless)
        return named if form.agrees is None or form.agrees(named) else self

    def with_columns(self, names: Sequence[str]) -> Sample:
        """This sample with further columns, which the first rows leave empty."""
        more = ("",) * len(names)
        return replace(
            self,
            dialect=replace(self.dialect, width=self.dialect.width + len(more)),
            names=(*self.names, *names),
            rows=tuple((*row, *more) for row in self.rows),
        )


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def sample(path: Path) -> Sample:
    """Reads the beginning of a file.

    Raises:
        InputError: it cannot be read, or is no table.
    """
    where = shown_path(path)
    with opened(path) as file:
        if file.parquet:
            from envs.datasets.tables.parquet_files import sample_parquet

            names, rows = sample_parquet(path, ROWS)
            return Sample(path, Dialect("parquet", width=len(names)), names, rows)
        return _of_text(path, file, where)


def sample_held(table: pa.Table) -> Sample:
    """The beginning of a table that is held in memory; messages call it 'the table'."""
    from envs.datasets.tables.parquet_files import texts_of

    names = tuple(table.schema.names)
    dialect = Dialect("held", width=len(names))
    return Sample(Path("the table"), dialect, names, texts_of(table.slice(0, ROWS)), table)


def _of_text(path: Path, file: Opened, where: str) -> Sample:
    first = file.stream.readline(LINE_BYTES)
    bom = b"\xef\xbb\xbf" if first.startswith(b"\xef\xbb\xbf") else b""
    while first and not first.removeprefix(bom).strip(b" \t\r\n") and len(first) < LINE_BYTES:
        first = file.stream.readline(LINE_BYTES)
    if not first:
        raise InputError(
            "the file is empty",
            where=where,
            expected="a header and one row per flow",
            mend="Export or download the file again",
        )
    text = first.removeprefix(bom)
    if text.lstrip()[:1] in (b"{", b"["):
        file.stream.seek(0)
        array, names, rows = records.sample_records(file.stream, where, ROWS)
        return Sample(path, Dialect("records", array=array, width=len(names)), names, rows)
    _refuse_foreign(text, where)
    if text.startswith(b"#separator") or text.startswith(ZEEK_FIELDS):
        return _of_zeek(path, file, text, where)
    return _of_cells(path, file, text, where)


def _of_zeek(path: Path, file: Opened, line: bytes, where: str) -> Sample:
    lines, separator, unset = 0, "\t", b"-"
    while line.startswith(b"#") and not line.startswith(ZEEK_FIELDS):
        lines += 1
        if line.startswith(b"#separator"):
            separator = _zeek_separator(line)
        line = file.stream.readline(LINE_BYTES)
    if not line.startswith(ZEEK_FIELDS):
        raise InputError(
            "a Zeek log without a line '#fields'",
            where=f"{where}, row {lines + 1}",
            expected="the names of the columns in a line that begins with #fields",
            mend="Copy the log again from its beginning",
        )
    del unset
    text = decode_text(line).rstrip("\r\n")
    cells = text.removeprefix(ZEEK_FIELDS.decode()).lstrip(separator).split(separator)
    # IoT-23 puts its labels behind the last column, with spaces between them.
    last = cells[-1].split()
    names = (*cells[:-1], *last)
    dialect = Dialect(
        "text", separator, file.stream.tell(), lines + 1, len(cells), line, len(last), quotes=False
    )
    return Sample(path, dialect, _named(names, where), _rows(_first_lines(file), dialect))


def _zeek_separator(line: bytes) -> str:
    told = decode_text(line).split(maxsplit=1)[-1].strip()
    if told.startswith("\\x"):
        try:
            return chr(int(told[2:4], 16))
        except ValueError:
            return "\t"
    return told[:1] or "\t"


def _of_cells(path: Path, file: Opened, line: bytes, where: str) -> Sample:
    separator = _separator(line)
    names = _cells(line, separator, where)
    if not _is_header(names):
        file.stream.seek(0)
        dialect = Dialect("text", separator, 0, 0, len(names))
        return Sample(path, dialect, (), _rows(_first_lines(file), dialect))
    begins = file.stream.tell()
    dialect = Dialect("text", separator, begins, 1, len(names), line.rstrip(b"\r\n"))
    lines = _first_lines(file)
    _check_widths(lines, dialect, where)
    return Sample(path, dialect, _named(names, where), _rows(lines, dialect))


def _separator(line: bytes) -> str:
    text = decode_text(line)
    counts = {sign: text.count(sign) for sign in _SEPARATORS}
    most = max(_SEPARATORS, key=lambda sign: (counts[sign], -_SEPARATORS.index(sign)))
    return most if counts[most] else ","


def _cells(line: bytes, separator: str, where: str) -> list[str]:
    try:
        return next(csv.reader([decode_text(line).rstrip("\r\n")], delimiter=separator), [])
    except csv.Error as error:
        raise InputError(
            f"the first line is no header ({quoted(str(error), 80)[1:-1]})",
            where=f"{where}, row 1",
            expected="column names separated by commas",
        ) from error


def _is_header(cells: Sequence[str]) -> bool:
    """A line of names holds no number; one of values holds some."""
    numbers = sum(1 for cell in cells if cell.strip() and _is_value(cell))
    return 3 * numbers < max(1, len(cells))


def _is_value(cell: str) -> bool:
    return is_number(cell) and cell not in MISSING_WORDS


def _named(names: Sequence[str], where: str) -> tuple[str, ...]:
    if len(names) > _NAMES:
        raise InputError(
            f"the table has {len(names):,} columns",
            where=where,
            expected=f"at most {_NAMES:,}",
            mend="Check that the file is a table of flows",
        )
    return tuple(name.replace("\ufeff", "").strip() for name in names)


def _first_lines(file: Opened) -> list[str]:
    lines: list[str] = []
    while len(lines) < ROWS and (line := file.stream.readline(LINE_BYTES)):
        text = decode_text(line).rstrip("\r\n")
        if text and not text.startswith("#"):
            lines.append(text)
    return lines


def _check_widths(lines: Sequence[str], dialect: Dialect, where: str) -> None:
    """Raises InputError if the header has another number of names than every row has cells."""
    widths = {text.count(dialect.separator) + 1 for text in lines if text.strip(", \t;")}
    # One row alone may be cut off.
    if (
        len(lines) < 2
        or len(widths) != 1
        or dialect.width in widths
        or any('"' in text for text in lines)
    ):
        return
    (width,) = widths
    first = lines[0].split(dialect.separator)
    shown = ", ".join(quoted(cell.strip(), 20) for cell in first[:3])
    raise InputError(
        f"header and cells do not fit together: the header has {dialect.width} names, and every "
        f"row has {width} cells",
        where=where,
        expected=f"a name for each cell; the first row begins with {shown}",
        mend="Add the names that are missing to the header, or write the file again with the "
        "program that made it",
    )


def _rows(lines: Sequence[str], dialect: Dialect) -> tuple[tuple[str, ...], ...]:
    """The first rows that have the right number of cells; what is wrong is told when it is read."""
    if dialect.quotes:
        try:
            found = list(csv.reader(io.StringIO("\n".join(lines)), delimiter=dialect.separator))
        except csv.Error:
            found = []
    else:
        found = [text.split(dialect.separator) for text in lines]
    rows = [row for row in found if len(row) == dialect.width]
    if dialect.joined > 1:
        rows = [[*row[:-1], *split_last(row[-1], dialect.joined)] for row in rows]
    return tuple(tuple(cell.strip() for cell in row) for row in rows)


def split_last(cell: str, parts: int) -> list[str]:
    """A last cell that holds several, parted by spaces."""
    found = cell.split(maxsplit=parts - 1)
    return [*found, *[""] * (parts - len(found))]


def _refuse_foreign(line: bytes, where: str) -> None:
    start = line.lstrip()
    kind, mend = next(
        ((kind, mend) for magic, kind, mend in _NOT_A_TABLE if start.startswith(magic)),
        (None, None),
    )
    if kind is None and b"\0" in line:
        kind = "binary data"
    if kind is None and b"\r" in line.rstrip(b"\r\n"):
        kind, mend = "text whose lines end in CR alone", "Save it with LF or CRLF line ends"
    if kind is None and len(line) >= LINE_BYTES:
        kind = "data whose first line is longer than 1 MiB"
    if kind is not None:
        raise InputError(
            f"not a table: this is {kind}",
            where=where,
            expected="CSV, Parquet, a Zeek log, or JSON records",
            mend=mend or "Give a table",
        )
