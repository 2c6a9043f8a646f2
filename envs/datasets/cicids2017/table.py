"""What CSV and Parquet copies of CICIDS2017 have in common: columns, cells, blocks of rows."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.errors import InputError
from envs.flows import FEATURES

MISSING_WORDS: tuple[str, ...] = (
    *("", " ", "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "NULL", "null", "None"),
    *("NaN", "nan", "-NaN", "-nan", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
)
"""Cells that stand for 'no number', as the common tools write it."""

_NUMBER = re.compile(
    r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf|infinity|nan(?:\(\w*\))?)",
    re.ASCII | re.IGNORECASE,
)

_TWIN = "Fwd Header Length"
_TWIN_AGAIN = "Fwd Header Length.1"
_NAMED_AT_MOST = 3


@dataclass(frozen=True)
class Block:
    """Consecutive rows of one file, before anything is dropped.

    Attributes:
        features: float32 [n, 78] in the order of ``FEATURES``; missing cells are NaN.
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
    """Positions in a file of the 78 features, in the order of ``FEATURES``, and of the label."""

    features: tuple[int, ...]
    label: int


def printable(text: str, limit: int = 40) -> str:
    """``text`` in quotes, shortened, with everything that could upset a terminal escaped."""
    shown = "".join(
        ch if ch.isprintable() else ch.encode("unicode_escape").decode("ascii")
        for ch in text[:limit]
    )
    return f"'{shown}{'...' if len(text) > limit else ''}'"


def shown_path(path: Path) -> str:
    """A path as its owner gave it, safe to print."""
    return printable(str(path), limit=500)[1:-1]


def is_number(cell: str) -> bool:
    """Whether a cell reads as a number, as infinite, or as missing."""
    return cell in MISSING_WORDS or _NUMBER.fullmatch(cell.strip(" \t")) is not None


def not_a_number(cell: str, feature: int, where: str) -> InputError:
    """The error for text in a numeric column; tells a second header line from other text."""
    name = FEATURES[feature]
    where = f"{where}, column '{name}'"
    if _key(cell) in (_key(name), _key(name.removesuffix(".1"))):
        return InputError(
            "the column's name stands among the numbers",
            where=where,
            expected="the header in the first line only",
            mend="Remove repeated header lines, or give the files that were joined one by one",
        )
    return InputError(
        f"{printable(cell)} is not a number",
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
    """One float32 [rows, 78] array; numbers beyond float32 become infinite."""
    features = np.empty((rows, len(FEATURES)), dtype=np.float32)
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


def locate_columns(names: Sequence[str], where: str) -> Columns:
    """Find features and label among a file's columns, by name and in any order.

    Args:
        names: the file's column names; case and stray spaces do not matter.
        where: the file, for messages.

    Raises:
        InputError: if a column is missing, or there twice.
    """
    found: dict[str, list[int]] = {}
    for position, name in enumerate(names):
        found.setdefault(_key(name), []).append(position)
    # The published header names this one twice; pandas calls the second one '.1'.
    twins = found.get(_key(_TWIN), [])
    if len(twins) == 2 and _key(_TWIN_AGAIN) not in found:
        found[_key(_TWIN_AGAIN)] = [twins.pop()]
    wanted = (*FEATURES, "Label")
    for name in wanted:
        if len(found.get(_key(name), [])) > 1:
            raise InputError(
                f"column '{name}' occurs {len(found[_key(name)])} times",
                where=where,
                expected=f"each column once ('{_TWIN}' twice)",
                mend="Remove or rename the column that is not meant",
            )
    missing = [name for name in wanted if _key(name) not in found]
    if missing:
        used = {_key(name) for name in wanted}
        spare = [name for name in names if name.strip() and _key(name) not in used]
        raise _missing_columns(missing, spare, where)
    positions = [found[_key(name)][0] for name in wanted]
    return Columns(tuple(positions[:-1]), positions[-1])


def _key(name: str) -> str:
    return " ".join(name.replace("\ufeff", "").split()).casefold()


def _missing_columns(missing: list[str], spare: list[str], where: str) -> InputError:
    if len(missing) == len(FEATURES) + 1:
        return InputError(
            "not a table of CICIDS2017 flows: none of its columns is there",
            where=where,
            expected=f"the {len(FEATURES)} features of CICFlowMeter and 'Label', by these names",
            mend="Give the day files of MachineLearningCVE or GeneratedLabelledFlows",
        )
    listed = ", ".join(f"'{name}'" for name in missing[:_NAMED_AT_MOST])
    if len(missing) > _NAMED_AT_MOST:
        listed += f" and {len(missing) - _NAMED_AT_MOST} more"
    hints = [hint for name in missing[:_NAMED_AT_MOST] if (hint := _renamed(name, spare))]
    if _TWIN_AGAIN in missing:
        hints.append(f"'{_TWIN_AGAIN}' is what the second '{_TWIN}' of the published files becomes")
    what = f"column {listed} is missing" if len(missing) == 1 else f"columns {listed} are missing"
    if missing == ["Label"]:
        what = "there is no label column"
    return InputError(
        what,
        where=where,
        expected=f"the {len(FEATURES)} features of CICFlowMeter and 'Label', by these names",
        mend=". ".join(hints) or "Add the columns, or give the published files",
    )


def _renamed(name: str, spare: list[str]) -> str | None:
    # A hostile header can hold a million names; comparing each would take minutes.
    keys = {_key(other[:80]): other for other in spare[:500]}
    near = difflib.get_close_matches(_key(name), keys, n=1, cutoff=0.6)
    return f"Is {printable(keys[near[0]].strip())} '{name}'? Then rename it" if near else None
