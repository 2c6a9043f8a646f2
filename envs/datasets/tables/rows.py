"""What CSV and Parquet tables have in common: columns, cells, blocks of rows."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.errors import InputError, quoted
from envs.flows import FeatureSchema

MISSING_WORDS: tuple[str, ...] = (
    *("", " ", "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "NULL", "null", "None"),
    *("NaN", "nan", "-NaN", "-nan", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
)
"""Cells that stand for 'no number', as the common tools write it."""

_NUMBER = re.compile(
    r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf|infinity|nan(?:\(\w*\))?)",
    re.ASCII | re.IGNORECASE,
)

_NAMED_AT_MOST = 3


@dataclass(frozen=True)
class TableFormat:
    """What a kind of table looks like; it travels to where files are read.

    Attributes:
        kind: name of the data set.
        title: what messages call it.
        schema: its features. Files may have them in any order, in any case, and others beside.
        label: the column that holds the label.
        twins: names that the published files give to two columns, each with what the second one
            is called in ``schema``.
        published: part of the name of each published file; a set of files holds each one once.
        advice: what to give instead of a file that is something else.
    """

    kind: str
    title: str
    schema: FeatureSchema
    label: str = "Label"
    twins: tuple[tuple[str, str], ...] = ()
    published: str | None = None
    advice: str = "Give its published files"

    @property
    def expected(self) -> str:
        """The columns, in a few words."""
        made = f" of {self.schema.source}" if self.schema.source else ""
        return f"the {len(self.schema)} features{made} and '{self.label}', by these names"


@dataclass(frozen=True)
class Block:
    """Consecutive rows of one file, before anything is dropped.

    Attributes:
        features: float32 [n, features] in the schema's order; missing cells are NaN.
        codes: int32 [n], index into ``texts``.
        texts: the distinct labels as they stand in the file; ``""`` for none.
        blank: rows of nothing but commas that are not among the n.
        consumed: bytes of the file on disk that were read up to the block's end.
        row: number, as an editor shows it, of the block's i-th row.
        cut_off: the block ends with the file, in a line that no line end closes.
    """

    features: NDArray[np.float32]
    codes: NDArray[np.int32]
    texts: list[str]
    blank: int
    consumed: int
    row: Callable[[int], int]
    cut_off: bool = False


@dataclass(frozen=True)
class Columns:
    """Positions in a file of the features, in the schema's order, and of the label."""

    features: tuple[int, ...]
    label: int


def shown_path(path: Path) -> str:
    """A path as its owner gave it, safe to print."""
    return quoted(str(path), limit=500)[1:-1]


def is_number(cell: str) -> bool:
    """Whether a cell reads as a number, as infinite, or as missing."""
    return cell in MISSING_WORDS or _NUMBER.fullmatch(cell.strip(" \t")) is not None


def not_a_number(cell: str, name: str, where: str) -> InputError:
    """The error for text in a numeric column; tells a second header line from other text."""
    where = f"{where}, column '{name}'"
    if _key(cell) in (_key(name), _key(name.removesuffix(".1"))):
        return InputError(
            "the column's name stands among the numbers",
            where=where,
            expected="the header in the first line only",
            mend="Remove repeated header lines, or give the files that were joined one by one",
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


def to_features(columns: Sequence[NDArray[np.float64]], rows: int) -> NDArray[np.float32]:
    """One float32 [rows, columns] array; numbers beyond float32 become infinite."""
    features = np.empty((rows, len(columns)), dtype=np.float32)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for position, column in enumerate(columns):
            features[:, position] = column
    return features


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into :class:`InputError`."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror or type(error).__name__})",
            where=shown_path(path),
            expected="a file that this user may read",
            mend="Check the path, its permissions and the disk",
        ) from error


def locate_columns(names: Sequence[str], form: TableFormat, where: str) -> Columns:
    """Finds features and label among a file's columns, by name and in any order.

    Args:
        names: the file's column names; case and stray spaces do not matter.
        form: of the table.
        where: the file, for messages.

    Raises:
        InputError: a column is missing, or there twice.
    """
    found: dict[str, list[int]] = {}
    for position, name in enumerate(names):
        found.setdefault(_key(name), []).append(position)
    for name, again in form.twins:
        # pandas calls the second one '.1'.
        twins = found.get(_key(name), [])
        if len(twins) == 2 and _key(again) not in found:
            found[_key(again)] = [twins.pop()]
    wanted = (*form.schema.names, form.label)
    for name in wanted:
        if len(found.get(_key(name), [])) > 1:
            twice = " and ".join(f"'{one}' twice" for one, _ in form.twins)
            raise InputError(
                f"column '{name}' occurs {len(found[_key(name)])} times",
                where=where,
                expected="each column once" + (f" ({twice})" if twice else ""),
                mend="Remove or rename the column that is not meant",
            )
    missing = [name for name in wanted if _key(name) not in found]
    if missing:
        used = {_key(name) for name in wanted}
        spare = [name for name in names if name.strip() and _key(name) not in used]
        raise _missing_columns(missing, spare, form, where)
    positions = [found[_key(name)][0] for name in wanted]
    return Columns(tuple(positions[:-1]), positions[-1])


def _key(name: str) -> str:
    return " ".join(name.replace("\ufeff", "").split()).casefold()


def _missing_columns(
    missing: list[str], spare: list[str], form: TableFormat, where: str
) -> InputError:
    if len(missing) == len(form.schema) + 1:
        return InputError(
            f"not a table of {form.title} flows: none of its columns is there",
            where=where,
            expected=form.expected,
            mend=form.advice,
        )
    listed = ", ".join(f"'{name}'" for name in missing[:_NAMED_AT_MOST])
    if len(missing) > _NAMED_AT_MOST:
        listed += f" and {len(missing) - _NAMED_AT_MOST} more"
    hints = [hint for name in missing[:_NAMED_AT_MOST] if (hint := _renamed(name, spare))]
    hints += [
        f"'{again}' is what the second '{name}' of the published files becomes"
        for name, again in form.twins
        if again in missing
    ]
    what = f"column {listed} is missing" if len(missing) == 1 else f"columns {listed} are missing"
    if missing == [form.label]:
        what = "there is no label column"
    return InputError(
        what,
        where=where,
        expected=form.expected,
        mend=". ".join(hints) or "Add the columns, or give the published files",
    )


def _renamed(name: str, spare: list[str]) -> str | None:
    # A hostile header can hold a million names; comparing each would take minutes.
    keys = {_key(other[:80]): other for other in spare[:500]}
    near = difflib.get_close_matches(_key(name), keys, n=1, cutoff=0.6)
    return f"Is {quoted(keys[near[0]].strip())} '{name}'? Then rename it" if near else None
