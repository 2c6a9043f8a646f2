"""Reads one CSV file, plain or gzipped, in blocks of rows.

The file is cut at line ends here, and pyarrow parses each piece by itself. Compared with
pyarrow's own streaming reader this costs nothing, parses the columns of a block in parallel,
and keeps count of lines: when a block does not parse, only that block is gone through again,
cell by cell, to say where the fault is.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.csv

from envs.datasets.labels import decode_text
from envs.datasets.tables.rows import (
    MISSING_WORDS,
    Block,
    Columns,
    TableFormat,
    is_number,
    locate_columns,
    not_a_number,
    reading,
    shown_path,
    to_features,
    truncated,
)
from envs.errors import InputError, quoted

BLOCK_BYTES = 8 << 20
LINE_BYTES = 1 << 20
"""The longest line taken for a row; a published one has about 500 bytes."""

_PADDING = b", \t"

_NOT_CSV = (
    (b"\x1f\x8b", "gzip data", "Name it .csv.gz"),
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook", "Unpack it, or save it as CSV"),
    (b"PAR1", "a Parquet file", "Name it .parquet"),
    (b"\x89PNG", "a PNG picture", None),
    (b"%PDF", "a PDF document", None),
    (b"\xff\xfe", "text in UTF-16", "Save it in UTF-8"),
    (b"\xfe\xff", "text in UTF-16", "Save it in UTF-8"),
    (b"<", "an HTML or XML page", "Download it again; the server sent a page, not the data"),
    (b"version https://git-lfs", "a pointer of Git LFS", "Fetch the file with 'git lfs pull'"),
)


@dataclass(frozen=True)
class _Sheet:
    """A file's fixed facts, and the lines of it that come before what is read."""

    where: str
    width: int
    form: TableFormat
    columns: Columns
    before: Callable[[], int] = lambda: 1

    def row(self, line: int) -> int:
        """Number, as an editor shows it, of a line counted from 1 where reading began."""
        return self.before() + line


def read_csv(
    path: Path, form: TableFormat, start: int = 0, stop: int | None = None
) -> Iterator[Block]:
    """The rows of ``path`` in order.

    Args:
        path: a ``.csv`` file, or a gzipped one if the name ends in ``.gz``. Cells are
            separated by commas; text is UTF-8 (with or without BOM), cp1252 or latin-1.
        form: of the table.
        start: byte from which on a row must begin to be read; of plain files alone.
        stop: byte from which on rows are left, ``None`` for none; of plain files alone.

    Raises:
        InputError: for a file that is not a whole and sound table of that form. Rows are named
            by their line, the header being line 1.
    """
    where = shown_path(path)
    with reading(path), path.open("rb") as raw, _decompressed(raw, path) as stream:
        sheet = _read_header(stream, form, where)
        if start:
            begun = _seek(stream, start)
            # Told in errors alone; counted beforehand, late rows would cost the whole file.
            sheet = replace(sheet, before=lambda: _lines_before(path, begun))
        line = 1
        rows = 0
        for piece in _pieces(stream, sheet, stop):
            block = _to_block(piece, line, sheet, raw.tell() - start)
            rows += len(block.codes) + block.blank
            line += piece.count(b"\n")
            yield block
    if not (rows or start or stop):
        raise InputError(
            "there is a header but no row below it",
            where=where,
            expected="one row per flow",
            mend="Export or download the file again",
        )


def check_csv(path: Path, form: TableFormat) -> None:
    """Raises :class:`InputError` for a file whose header is not that of the form."""
    with reading(path), path.open("rb") as raw, _decompressed(raw, path) as stream:
        _read_header(stream, form, shown_path(path))


def _seek(stream: IO[bytes], start: int) -> int:
    """Goes to the first line below the header that begins at ``start`` or later."""
    # From the byte before: if it ends a line, the next one begins where it should.
    stream.seek(max(start, stream.tell()) - 1)
    stream.readline()
    return stream.tell()


def _lines_before(path: Path, position: int) -> int:
    with reading(path), path.open("rb") as raw:
        pieces = iter(lambda: raw.read(min(BLOCK_BYTES, position - raw.tell())), b"")
        return sum(piece.count(b"\n") for piece in pieces)


@contextmanager
def _decompressed(raw: IO[bytes], path: Path) -> Iterator[IO[bytes]]:
    if not path.name.lower().endswith(".gz"):
        yield raw
        return
    mend = "Download or compress it again; 'gzip -t' tells whether a file is whole"
    try:
        with gzip.GzipFile(fileobj=raw, mode="rb") as stream:
            yield stream  # type: ignore[misc]
    except EOFError as error:
        raise InputError(
            "the gzip data is truncated: it ends before its end mark",
            where=shown_path(path),
            expected="a whole .csv.gz file",
            mend=mend,
        ) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"not sound gzip data ({quoted(str(error), 80)[1:-1]})",
            where=shown_path(path),
            expected="a whole .csv.gz file",
            mend=f"If it is plain text, name it .csv. {mend}",
        ) from error


def _read_header(stream: IO[bytes], form: TableFormat, where: str) -> _Sheet:
    raw = stream.readline(LINE_BYTES)
    if not raw:
        raise InputError(
            "the file is empty",
            where=where,
            expected="a header and one row per flow",
            mend="Export or download the file again",
        )
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    _refuse_foreign(raw, where)
    try:
        names = next(csv.reader([decode_text(raw).rstrip("\r\n")]), [])
    except csv.Error as error:
        raise InputError(
            f"the first line is no header ({quoted(str(error), 80)[1:-1]})",
            where=f"{where}, row 1",
            expected="column names separated by commas",
        ) from error
    for sign, called in ((";", "semicolons"), ("\t", "tabs")):
        if len(names) == 1 and names[0].count(sign) > 2:
            raise InputError(
                f"the columns are separated by {called}",
                where=f"{where}, row 1",
                expected="commas",
                mend="Save the file again with commas",
            )
    return _Sheet(where, len(names), form, locate_columns(names, form, where))


def _refuse_foreign(first_line: bytes, where: str) -> None:
    start = first_line.lstrip()
    kind, mend = next(
        ((kind, mend) for magic, kind, mend in _NOT_CSV if start.startswith(magic)), (None, None)
    )
    if kind is None and b"\0" in first_line:
        kind = "binary data"
    if kind is None and b"\r" in first_line.rstrip(b"\r\n"):
        kind, mend = "text whose lines end in CR alone", "Save it with LF or CRLF line ends"
    if kind is None and len(first_line) >= LINE_BYTES:
        kind = "data whose first line is longer than 1 MiB"
    if kind is not None:
        raise InputError(
            f"not a CSV file: this is {kind}",
            where=where,
            expected="comma-separated text with a header line",
            mend=mend or "Give a table in CSV",
        )


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
    table, blank = _parse_patiently(piece, first_line, sheet)
    features = len(sheet.columns.features)
    label = table.column(features).combine_chunks().dictionary_encode()

    def row(index: int) -> int:
        return next(
            sheet.row(offset + first_line)
            for i, (offset, _) in enumerate(_rows(piece, sheet.width))
            if i == index
        )

    return Block(
        features=to_features([table.column(i).to_numpy() for i in range(features)], table.num_rows),
        codes=label.indices.to_numpy(),
        texts=[decode_text(raw) for raw in label.dictionary.to_pylist()],
        blank=blank,
        consumed=consumed,
        row=row,
        cut_off=not piece.endswith(b"\n"),
    )


def _parse_patiently(piece: bytes, first_line: int, sheet: _Sheet) -> tuple[Any, int]:
    """Table of a piece, and the number of comma-only lines that are no rows of it."""
    blank = 0
    try:
        table = _parse(piece, sheet)
    except pa.ArrowException as error:
        rows = [line for _, line in _rows(piece, sheet.width)]
        blank = sum(1 for _ in _lines(piece)) - len(rows)
        try:
            if not blank:
                raise
            table = _parse(b"\n".join([*rows, b""]) or b"\n", sheet)
        except pa.ArrowException:
            raise _explain(piece, first_line, sheet, str(error)) from error
    if b'"' in piece and table.num_rows + blank != sum(1 for _ in _lines(piece)):
        # An unclosed quote swallows line ends, and whole rows with them.
        raise _explain(piece, first_line, sheet, "a quoted cell runs over several lines")
    return table, blank


def _parse(piece: bytes, sheet: _Sheet) -> Any:  # noqa: ANN401
    """Table of the features and the label's bytes, for rows that all have the sheet's width."""
    names = [str(position) for position in range(sheet.width)]
    features = [names[position] for position in sheet.columns.features]
    label = names[sheet.columns.label]
    return pyarrow.csv.read_csv(
        pa.py_buffer(piece),
        # One block, so that every column comes out in one chunk.
        read_options=pyarrow.csv.ReadOptions(column_names=names, block_size=len(piece) + 1),
        parse_options=pyarrow.csv.ParseOptions(quote_char='"' if b'"' in piece else False),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=[*features, label],
            # Parsed in float64 first, so that a Parquet copy yields the same float32.
            column_types=dict.fromkeys(features, pa.float64()) | {label: pa.binary()},
            null_values=MISSING_WORDS,
        ),
    )


def _lines(piece: bytes) -> Iterator[tuple[int, bytes]]:
    """Offset and text of the lines that hold anything."""
    return ((offset, line) for offset, line in enumerate(piece.splitlines()) if line)


def _rows(piece: bytes, width: int) -> Iterator[tuple[int, bytes]]:
    """Offset and text of the lines that become rows: comma-only lines do if their width fits."""
    for offset, line in _lines(piece):
        if line.strip(_PADDING) or line.count(b",") == width - 1:
            yield offset, line


def _explain(piece: bytes, first_line: int, sheet: _Sheet, complaint: str) -> InputError:
    """Go through the block cell by cell for the first fault."""
    last = len(piece.splitlines()) - 1
    for offset, line in _rows(piece, sheet.width):
        where = f"{sheet.where}, row {sheet.row(first_line + offset)}"
        error = _fault(line, where, sheet)
        if error is not None:
            if offset == last and not piece.endswith(b"\n"):
                return truncated(error, where)
            return error
    return InputError(
        f"not readable as CSV: {quoted(complaint, 200)[1:-1]}",
        where=f"{sheet.where}, rows {sheet.row(first_line)} to {sheet.row(first_line + last)}",
        expected="one row per line, cells separated by commas",
        mend="Export or download the file again",
    )


def _fault(line: bytes, where: str, sheet: _Sheet) -> InputError | None:
    try:
        # latin-1 keeps one character per byte, whatever the encoding.
        cells = next(csv.reader([line.decode("latin-1")], strict=True))
    except csv.Error as error:
        return InputError(
            f"the row cannot be split into cells ({quoted(str(error), 80)[1:-1]})",
            where=where,
            expected=f"{sheet.width} cells separated by commas, quotes closed on the same line",
            mend="Correct or remove the row",
        )
    if len(cells) != sheet.width:
        return InputError(
            f"the row has {len(cells):,} cells",
            where=where,
            expected=f"{sheet.width}, as in the header",
            mend="Correct or remove the row",
        )
    for feature, position in enumerate(sheet.columns.features):
        if not is_number(cells[position]):
            cell = decode_text(cells[position].encode("latin-1"))
            return not_a_number(cell, sheet.form.schema.names[feature], where)
    return None
