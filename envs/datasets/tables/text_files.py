"""Reads one text file with one row a line (CSV, tabs, semicolons, Zeek logs), in blocks of rows.

The file is cut at line ends here, and pyarrow parses each piece by itself. Compared with
pyarrow's own streaming reader this costs nothing, parses the columns of a block in parallel,
and keeps count of lines: when a block does not parse, only that block is gone through again,
cell by cell, to say where the fault is.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from envs.datasets.labels import decode_text
from envs.datasets.tables.form import column_key
from envs.datasets.tables.opening import LINE_BYTES, opened
from envs.datasets.tables.rows import (
    MISSING_WORDS,
    Block,
    Wanted,
    Words,
    is_number,
    not_a_number,
    number_of,
    truncated,
)
from envs.datasets.tables.sample import ZEEK_FIELDS, Dialect, split_last
from envs.errors import InputError, quoted
from envs.files import reading, shown_path

BLOCK_BYTES = 8 << 20


@dataclass(frozen=True)
class _Sheet:
    """A file's fixed facts, and the lines of it that come before what is read."""

    where: str
    dialect: Dialect
    wanted: Wanted
    before: Callable[[], int]

    def row(self, line: int) -> int:
        """Number, as an editor shows it, of a line counted from 1 where reading began."""
        return self.before() + line

    @property
    def width(self) -> int:
        return self.dialect.width

    @cached_property
    def padding(self) -> bytes:
        return self.dialect.separator.encode() + b" \t"

    @cached_property
    def columns(self) -> list[int]:
        """Positions of the cells that hold what is wanted, each once."""
        last = self.width - 1
        return sorted({min(p, last) for p in (*self.wanted.numbers, *self.wanted.texts)})

    @cached_property
    def header_keys(self) -> dict[int, str]:
        """What the header calls the cells that hold numbers alone, by position."""
        header = self.dialect.header
        if not header or header.startswith(ZEEK_FIELDS):
            return {}
        names = next(csv.reader([decode_text(header)], delimiter=self.dialect.separator), [])
        keys = {p: column_key(names[p]) for p in self.numeric if p < len(names)}
        return {position: key for position, key in keys.items() if key}

    @cached_property
    def numeric(self) -> list[int]:
        """Positions of the cells that hold numbers alone."""
        last = self.width - 1 if self.dialect.joined > 1 else self.width
        texts = set(self.wanted.texts)
        return [p for p in dict.fromkeys(self.wanted.numbers) if p < last and p not in texts]


def read_text(
    path: Path, dialect: Dialect, wanted: Wanted, start: int = 0, stop: int | None = None
) -> Iterator[Block]:
    """The rows of ``path`` in order.

    Args:
        path: a text file, packed or not. Text is UTF-8, UTF-16, cp1252 or latin-1.
        dialect: how it is written.
        wanted: the columns to read.
        start: byte from which on a row must begin to be read; of plain files alone.
        stop: byte from which on rows are left, ``None`` for none; of plain files alone.

    Raises:
        InputError: for a file that is not a whole and sound table of that form. Rows are named
            by their line, the first one being line 1.
    """
    where = shown_path(path)
    with opened(path) as file:
        sheet = _Sheet(where, dialect, wanted, lambda: dialect.lines)
        stream = file.stream
        for _ in range(dialect.lines):
            stream.readline(LINE_BYTES)
        if start:
            begun = _seek(stream, max(start, dialect.begins))
            # Told in errors alone; counted beforehand, late rows would cost the whole file.
            sheet = replace(sheet, before=cache(lambda: _lines_before(path, begun)))
        line, rows = 1, 0
        for piece in _pieces(stream, sheet, stop):
            block = _to_block(piece, line, sheet, file.raw.tell() - start)
            rows += block.size + block.blank + block.headers
            line += piece.count(b"\n")
            yield block
    # Zeek writes a log for a quiet hour, too.
    if not (rows or start or stop or dialect.header.startswith(ZEEK_FIELDS)):
        raise InputError(
            "there is a header but no row below it",
            where=where,
            expected="one row per flow",
            mend="Export or download the file again",
        )


def _seek(stream: IO[bytes], start: int) -> int:
    """Goes to the first line that begins at ``start`` or later."""
    # From the byte before: if it ends a line, the next one begins where it should.
    stream.seek(start - 1)
    stream.readline()
    return stream.tell()


def _lines_before(path: Path, position: int) -> int:
    with reading(path), path.open("rb") as raw:
        pieces = iter(lambda: raw.read(min(BLOCK_BYTES, position - raw.tell())), b"")
        return sum(piece.count(b"\n") for piece in pieces)


def _pieces(stream: IO[bytes], sheet: _Sheet, stop: int | None) -> Iterator[bytes]:
    """Lines that begin before ``stop``, cut behind line ends; only the file's last may lack one."""
    rest = b""
    line = 1
    while chunk := _chunk(stream, stop):
        end = chunk.rfind(b"\n") + 1
        piece, rest = (rest + chunk[:end], chunk[end:]) if end else (b"", rest + chunk)
        line += piece.count(b"\n")
        if len(rest) > LINE_BYTES:
            raise InputError(
                "the line is longer than 1 MiB",
                where=f"{sheet.where}, row {sheet.row(line)}",
                expected=f"{sheet.width} cells",
                mend="The file is damaged here; download or export it again",
            )
        if piece:
            yield piece
    if rest:
        yield rest


def _chunk(stream: IO[bytes], stop: int | None) -> bytes:
    """The next bytes; those before ``stop`` are followed by the rest of the line there."""
    if stop is None:
        return stream.read(BLOCK_BYTES)
    left = stop - stream.tell()
    if left > BLOCK_BYTES or left <= 0:
        return stream.read(BLOCK_BYTES) if left > 0 else b""
    chunk = stream.read(left)
    return chunk if chunk.endswith(b"\n") else chunk + stream.readline(LINE_BYTES)


def _to_block(piece: bytes, first_line: int, sheet: _Sheet, consumed: int) -> Block:
    table, blank, headers = _parse_patiently(piece, first_line, sheet)

    def rows() -> Sequence[int]:
        first = sheet.row(first_line)
        return [first + offset for offset, _ in _rows(piece, sheet)]

    last = sheet.width - 1
    words = {p: _words(table.column(str(p))) for p in sheet.columns if p not in sheet.numeric}
    numbers = [
        table.column(str(p)).to_numpy()
        if p in sheet.numeric
        else _to_numbers(_within(words[min(p, last)], p, sheet.dialect), sheet.wanted)
        for p in sheet.wanted.numbers
    ]
    texts = [_within(words[min(p, last)], p, sheet.dialect) for p in sheet.wanted.texts]
    ends = piece.endswith(b"\n")
    return Block(
        numbers, texts, table.num_rows, blank, consumed, rows, cut_off=not ends, headers=headers
    )


def _words(column: Any) -> Words:  # noqa: ANN401 (pyarrow is untyped)
    encoded = column.combine_chunks().dictionary_encode()
    return Words(
        encoded.indices.to_numpy(), [decode_text(raw) for raw in encoded.dictionary.to_pylist()]
    )


def _within(words: Words, position: int, dialect: Dialect) -> Words:
    """A column of its own out of a last cell that holds several."""
    if dialect.joined == 1 or position < dialect.width - 1:
        return words
    part = position - (dialect.width - 1)
    parts = [split_last(word, dialect.joined)[part] for word in words.words]
    names = list(dict.fromkeys(parts))
    places = {name: place for place, name in enumerate(names)}
    codes = np.array([places[one] for one in parts], np.int32)
    return Words(codes[words.codes], names)


def _to_numbers(words: Words, wanted: Wanted) -> NDArray[np.float64]:
    found = [
        number_of(word, wanted.missing_words)
        if is_number(word, wanted.missing_words)
        else float("nan")
        for word in words.words
    ]
    return np.array(found, np.float64)[words.codes]


def _parse_patiently(piece: bytes, first_line: int, sheet: _Sheet) -> tuple[Any, int, int]:
    """Table of a piece, and the lines that are no rows of it: without content, and headers."""
    blank = 0
    tidy = _tidied(piece, first_line, sheet)
    headers = _headers(piece, sheet)
    try:
        table = _parse(tidy, sheet)
    except pa.ArrowException as error:
        found = [line for _, line in _rows(tidy, sheet, headers=True)]
        rows = [line for line in found if not _is_header_again(line, sheet)]
        blank = sum(1 for _ in _lines(tidy)) - len(found)
        headers += len(found) - len(rows)
        try:
            table = _parse(b"\n".join([*rows, b""]) or b"\n", sheet)
        except pa.ArrowException:
            fault = _explain(piece, first_line, sheet, str(error))
            if fault is not None:
                raise fault from error
            # Only numbers that pyarrow does not read: hexadecimal ports.
            table = _parse(b"\n".join([*rows, b""]) or b"\n", sheet, lenient=True)
    if sheet.dialect.quotes and b'"' in piece:
        expected = sum(1 for _ in _lines(piece) if not _is_comment(_[1], sheet))
        if table.num_rows + blank + headers != expected:
            # An unclosed quote swallows line ends, and whole rows with them.
            complaint = "a quoted cell runs over several lines"
            raise _explain(piece, first_line, sheet, complaint) or _unreadable(
                piece, first_line, sheet, complaint
            )
    return table, blank, headers


def _tidied(piece: bytes, first_line: int, sheet: _Sheet) -> bytes:
    """The piece without header lines of files that were joined, and without a log's comments."""
    header = sheet.dialect.header
    if header.startswith(ZEEK_FIELDS):
        if b"#" not in piece:
            return piece
        lines = piece.splitlines()
        for offset, line in enumerate(lines):
            if line.startswith(ZEEK_FIELDS) and line.rstrip(b"\r\n") != header.rstrip(b"\r\n"):
                raise InputError(
                    "the columns change here",
                    where=f"{sheet.where}, row {sheet.row(first_line + offset)}",
                    expected="one #fields line, or the same one again",
                    mend="Give the logs that were joined one by one",
                )
        return b"\n".join([*(line for line in lines if not line.startswith(b"#")), b""])
    if not header or header not in piece:
        return piece
    return b"\n".join(line for line in piece.split(b"\n") if line.rstrip(b"\r") != header)


def _headers(piece: bytes, sheet: _Sheet) -> int:
    """Lines that are the file's first line again; files are joined so."""
    header = sheet.dialect.header
    if not header or header.startswith(ZEEK_FIELDS) or header not in piece:
        return 0
    return sum(1 for line in piece.split(b"\n") if line.rstrip(b"\r") == header)


def _is_header_again(line: bytes, sheet: _Sheet) -> bool:
    """Whether a line names the columns of numbers in their order, however it is spelled."""
    if not sheet.header_keys:
        return False
    separator = sheet.dialect.separator
    position, key = next(iter(sheet.header_keys.items()))
    cell = line.split(separator.encode())[position : position + 1]
    if not cell or column_key(decode_text(cell[0])) != key:
        return False
    try:
        cells = next(csv.reader([decode_text(line)], delimiter=separator), [])
    except csv.Error:
        return False
    return len(cells) == sheet.width and all(
        column_key(cells[position]) == key for position, key in sheet.header_keys.items()
    )


def _is_comment(line: bytes, sheet: _Sheet) -> bool:
    return sheet.dialect.header.startswith(ZEEK_FIELDS) and line.startswith(b"#")


def _parse(piece: bytes, sheet: _Sheet, *, lenient: bool = False) -> Any:  # noqa: ANN401
    """Table of the wanted cells, for rows that all have the sheet's width."""
    names = [str(position) for position in range(sheet.width)]
    included = [names[position] for position in sheet.columns]
    numeric = [names[p] for p in sheet.numeric]
    if not piece.strip(b"\r\n"):
        kinds = [pa.float64() if name in numeric else pa.binary() for name in included]
        return pa.table(
            {name: pa.array([], kind) for name, kind in zip(included, kinds, strict=True)}
        )
    quotes = sheet.dialect.quotes and b'"' in piece
    table = pyarrow.csv.read_csv(
        pa.py_buffer(piece),
        # One block, so that every column comes out in one chunk.
        read_options=pyarrow.csv.ReadOptions(column_names=names, block_size=len(piece) + 1),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=sheet.dialect.separator, quote_char='"' if quotes else False
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=included,
            # Parsed in float64 first, so that a Parquet copy yields the same float32.
            column_types=dict.fromkeys(included, pa.binary())
            | dict.fromkeys([] if lenient else numeric, pa.float64()),
            null_values=[*MISSING_WORDS, *sheet.wanted.missing_words],
            decimal_point=sheet.dialect.decimal,
        ),
    )
    for name in numeric if lenient else ():
        words = _words(table.column(name))
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, pa.array(_to_numbers(words, sheet.wanted)))
    return table


def _lines(piece: bytes) -> Iterator[tuple[int, bytes]]:
    """Offset and text of the lines that hold anything."""
    return ((offset, line) for offset, line in enumerate(piece.splitlines()) if line)


def _rows(piece: bytes, sheet: _Sheet, *, headers: bool = False) -> Iterator[tuple[int, bytes]]:
    """Offset and text of the lines that become rows.

    Lines of nothing but separators do if their width fits; comments do not, and header lines only
    if they are asked for.
    """
    header, separator = sheet.dialect.header, sheet.dialect.separator.encode()
    for offset, line in _lines(piece):
        if _is_comment(line, sheet) or (header and line == header):
            continue
        if not headers and _is_header_again(line, sheet):
            continue
        if line.strip(sheet.padding) or line.count(separator) == sheet.width - 1:
            yield offset, line


def _explain(piece: bytes, first_line: int, sheet: _Sheet, complaint: str) -> InputError | None:
    """Go through the block cell by cell for the first fault; ``None`` if pyarrow alone sees one."""
    last = len(piece.splitlines()) - 1
    hexadecimal = False
    for offset, line in _rows(piece, sheet):
        where = f"{sheet.where}, row {sheet.row(first_line + offset)}"
        error = _fault(line, where, sheet)
        if error is not None:
            if offset == last and not piece.endswith(b"\n"):
                return truncated(error, where)
            return error
        hexadecimal = hexadecimal or b"0x" in line or b"0X" in line
    return None if hexadecimal else _unreadable(piece, first_line, sheet, complaint)


def _unreadable(piece: bytes, first_line: int, sheet: _Sheet, complaint: str) -> InputError:
    last = len(piece.splitlines()) - 1
    return InputError(
        f"not readable as a table: {quoted(complaint, 200)[1:-1]}",
        where=f"{sheet.where}, rows {sheet.row(first_line)} to {sheet.row(first_line + last)}",
        expected="one row per line, with the same separator everywhere",
        mend="Export or download the file again",
    )


def _fault(line: bytes, where: str, sheet: _Sheet) -> InputError | None:
    # latin-1 keeps one character per byte, whatever the encoding.
    text = line.decode("latin-1")
    separator = sheet.dialect.separator
    try:
        cells = (
            next(csv.reader([text], strict=True, delimiter=separator))
            if sheet.dialect.quotes
            else text.split(separator)
        )
    except csv.Error as error:
        return InputError(
            f"the row cannot be split into cells ({quoted(str(error), 80)[1:-1]})",
            where=where,
            expected=f"{sheet.width} cells, quotes closed on the same line",
            mend="Correct or remove the row",
        )
    if len(cells) != sheet.width:
        return InputError(
            f"the row has {len(cells):,} cells",
            where=where,
            expected=f"{sheet.width}, as in the header",
            mend="Correct or remove the row",
        )
    for name, position in zip(sheet.wanted.names, sheet.wanted.numbers, strict=True):
        if position in sheet.numeric and not _reads(cells[position], sheet):
            cell = decode_text(cells[position].encode("latin-1"))
            return not_a_number(cell, name, where)
    return None


def _reads(cell: str, sheet: _Sheet) -> bool:
    if sheet.dialect.decimal != ".":
        cell = cell.replace(sheet.dialect.decimal, ".")
    return is_number(cell, sheet.wanted.missing_words)
