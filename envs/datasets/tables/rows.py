"""What all tables have in common: cells, blocks of rows, and the errors that name a place."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from envs.datasets.tables.form import column_key
from envs.errors import InputError, quoted

MISSING_WORDS: tuple[str, ...] = (
    *("", " ", "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "NULL", "null", "None"),
    *("NaN", "nan", "-NaN", "-nan", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
)
"""Cells that stand for 'no number', as the common tools write it."""

_NUMBER = re.compile(
    r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf|infinity|nan(?:\(\w*\))?)",
    re.ASCII | re.IGNORECASE,
)

_GROUPED = re.compile(r"[+-]?\d{1,3}(?:\.\d{3}){2,}", re.ASCII)

_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]{1,8}", re.ASCII)


@dataclass(frozen=True)
class Wanted:
    """The columns of a file that are read, by position; it travels to where files are read.

    Attributes:
        numbers: columns read as numbers.
        texts: columns read as words.
        names: of the columns read as numbers, for messages.
        missing_words: what stands for nothing, beside :data:`MISSING_WORDS`.
        select: position and value: other rows are no rows of this table.
    """

    numbers: tuple[int, ...]
    texts: tuple[int, ...]
    names: tuple[str, ...]
    missing_words: tuple[str, ...] = ()
    select: tuple[int, str] | None = None


@dataclass(frozen=True)
class Words:
    """A column of words.

    Attributes:
        codes: int32 [n], index into ``words``.
        words: the distinct cells as they stand in the file; ``""`` for none.
    """

    codes: NDArray[np.int32]
    words: list[str]

    def counts(self, rows: NDArray[np.bool_] | None = None) -> list[int]:
        """How often each word stands in the column, or in some of its rows."""
        codes = self.codes if rows is None else self.codes[rows]
        counts: list[int] = np.bincount(codes, minlength=len(self.words)).tolist()
        return counts


@dataclass(frozen=True)
class Block:
    """Consecutive rows of one file, before anything is dropped.

    Attributes:
        numbers: float64 [n] for each column read as numbers; missing cells are NaN.
        texts: for each column read as words.
        size: n.
        blank: rows of nothing but separators that are not among the n.
        headers: rows that repeat the header, which are not among the n.
        consumed: bytes of the file on disk that were read up to the block's end.
        rows: gives the number, as an editor shows it, of each row.
        cut_off: the block ends with the file, in a line that no line end closes.
    """

    numbers: list[NDArray[np.float64]]
    texts: list[Words]
    size: int
    blank: int
    consumed: int
    rows: Callable[[], Sequence[int]]
    cut_off: bool = False
    headers: int = 0

    def selected(self, word: str) -> Block:
        """The rows whose last column of words says ``word``, without that column."""
        last = self.texts[-1]
        keep = np.array([one.strip() == word for one in last.words], bool)[last.codes]
        kept = np.flatnonzero(keep)

        def rows() -> Sequence[int]:
            # Counting the lines of a text takes time, and only errors and keys need it.
            numbers: list[int] = np.asarray(self.rows())[kept].tolist()
            return numbers

        return replace(
            self,
            numbers=[column[keep] for column in self.numbers],
            texts=[Words(column.codes[keep], column.words) for column in self.texts[:-1]],
            size=len(kept),
            blank=0,
            rows=rows,
            cut_off=self.cut_off and bool(keep[-1:].any()),
        )


def word_in(cell: str, missing_words: tuple[str, ...] = ()) -> str:
    """The word in a cell, ``""`` where it says nothing."""
    word = cell.strip()
    return "" if word in missing_words else word


def is_number(cell: str, missing_words: tuple[str, ...] = ()) -> bool:
    """Whether a cell reads as a number, as infinite, or as missing."""
    return (
        cell in MISSING_WORDS
        or cell.strip() in missing_words
        or _NUMBER.fullmatch(cell.strip(" \t")) is not None
        or _HEXADECIMAL.fullmatch(cell.strip(" \t")) is not None
    )


def number_of(cell: str, missing_words: tuple[str, ...] = ()) -> float:
    """The number in a cell for which :func:`is_number` holds; NaN where it is missing."""
    text = cell.strip()
    if cell in MISSING_WORDS or text in MISSING_WORDS or text in missing_words:
        return float("nan")
    return float(int(text, 16)) if _HEXADECIMAL.fullmatch(text) else float(text)


def not_a_number(cell: str, name: str, where: str) -> InputError:
    """The error for text in a numeric column; tells a second header line from other text."""
    where = f"{where}, column '{name}'"
    if cell and column_key(cell) in (column_key(name), column_key(name.removesuffix(".1"))):
        return InputError(
            "the column's name stands among the numbers",
            where=where,
            expected="a header line that is the same as the first one, or none",
            mend="Give the files that were joined one by one",
        )
    if _GROUPED.fullmatch(cell.strip()):
        return InputError(
            f"{quoted(cell)} is not a number: a spreadsheet has put dots between its digits, so "
            "that nobody can tell where the decimal point was",
            where=where,
            expected="a decimal number with one decimal point",
            mend="Take the file as it was before a spreadsheet saved it",
        )
    return InputError(
        f"{quoted(cell)} is not a number",
        where=where,
        expected="a decimal number, Infinity, NaN or nothing",
        mend="Correct the cell or remove the row",
    )


def truncated(fault: InputError, where: str) -> InputError:
    """The error for a fault in a last line that nothing closes: the file was cut there."""
    return InputError(
        f"the file seems truncated: it ends in the middle of this row ({fault.what})",
        where=where,
        expected=fault.expected,
        mend="Download or copy the file again",
    )


def to_float32(column: NDArray[np.float64]) -> NDArray[np.float32]:
    """float32 [n]; numbers beyond float32 become infinite."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return column.astype(np.float32)
