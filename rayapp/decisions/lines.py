"""Decisions as lines of text: JSON or CSV, a whole batch of rows at once.

All that follows from a row's outcome is rendered once per outcome, and joined to the row's keys by
Arrow: nothing here goes through rows one by one in Python. Only texts of files that need to be
escaped are looked at by themselves.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from envs.errors import printable
from rayapp.decisions.columns import KEY_TYPES, compact, keys_of, outcome_columns
from rayapp.decisions.decider import Decided
from rayapp.decisions.outcomes import Outcome, Outcomes

_TEXT = pa.large_string()
"""Texts of a batch may be longer than 2 GiB together."""

_BEYOND_JSON = r"[^ !#-\[\]-~]"
"""What does not stand in a JSON text as it is, or could upset a terminal."""

_BEYOND_CSV = r"[^ !#-+\--~]"
"""What does not stand in a cell of CSV as it is, or could upset a terminal."""


class JsonLines:
    """One JSON object per row.

    Args:
        outcomes: of the rows.
    """

    def __init__(self, outcomes: Outcomes) -> None:
        self._ends = _Rendered(outcomes, lambda outcome: f",{compact(outcome)[1:]}\n")

    header = b""

    def render(self, rows: Decided) -> pa.Buffer:
        """The lines of some rows, in UTF-8."""
        parts: list[Any] = []
        for place, (name, column) in enumerate(keys_of(rows.keys).items()):
            parts.append(_text(f"{',' if place else '{'}{compact(name)}:"))
            parts.append(_json_cells(column))
        return _joined([*parts, self._ends.of(rows)])


class CsvLines:
    """One line of comma-separated cells per row, below a header.

    Args:
        outcomes: of the rows.
    """

    def __init__(self, outcomes: Outcomes) -> None:
        columns = outcome_columns(explain=outcomes.explain)
        self.header = _csv_line([*KEY_TYPES, *columns]).encode()
        reads = [read for _, read in columns.values()]
        self._ends = _Rendered(
            outcomes, lambda outcome: _csv_line([read(outcome) for read in reads])
        )

    def render(self, rows: Decided) -> pa.Buffer:
        """The lines of some rows, in UTF-8."""
        there = keys_of(rows.keys)
        parts: list[Any] = []
        for name in KEY_TYPES:
            if name in there:
                parts.append(_csv_cells(there[name]))
            parts.append(_text(","))
        return _joined([*parts, self._ends.of(rows)])


class _Rendered:
    """What stands behind the keys of a row, rendered once per outcome."""

    def __init__(self, outcomes: Outcomes, render: Callable[[Outcome], str]) -> None:
        self._outcomes, self._render = outcomes, render
        self._texts: list[str] = []
        self._array = pa.array([], _TEXT)

    def of(self, rows: Decided) -> pa.Array:
        """The rendered outcome of each row."""
        codes = self._outcomes.of(rows)
        told = self._outcomes.told
        if len(told) > len(self._texts):
            self._texts += [self._render(one) for one in told[len(self._texts) :]]
            self._array = pa.array(self._texts, _TEXT)
        return self._array.take(pa.array(codes))


def _joined(parts: Sequence[Any]) -> pa.Buffer:
    """The texts of all rows, one behind the other."""
    lines = pc.binary_join_element_wise(*parts, _text(""))
    _, offsets, data = lines.buffers()
    ends: NDArray[np.int64] = np.frombuffer(offsets, np.int64)
    first, last = int(ends[lines.offset]), int(ends[lines.offset + len(lines)])
    return data.slice(first, last - first)


def _text(value: str) -> Any:  # noqa: ANN401 (pyarrow is untyped)
    return pa.scalar(value, _TEXT)


def _json_cells(column: Any) -> Any:  # noqa: ANN401 (pyarrow is untyped)
    if not pa.types.is_dictionary(column.type):
        return pc.cast(column, _TEXT)
    words = column.dictionary.cast(_TEXT)
    plain = pc.binary_join_element_wise(_text('"'), words, _text('"'), _text(""))
    escaped = _mended(words, plain, _BEYOND_JSON, compact)
    return pc.fill_null(escaped.take(column.indices), _text("null"))


def _csv_cells(column: Any) -> Any:  # noqa: ANN401 (pyarrow is untyped)
    if not pa.types.is_dictionary(column.type):
        return pc.cast(column, _TEXT)
    words = column.dictionary.cast(_TEXT)
    escaped = _mended(words, words, _BEYOND_CSV, lambda word: _csv_line([printable(word)])[:-1])
    return pc.fill_null(escaped.take(column.indices), _text(""))


def _mended(
    words: Any,  # noqa: ANN401 (pyarrow is untyped)
    usual: Any,  # noqa: ANN401
    beyond: str,
    escape: Callable[[str], str],
) -> Any:  # noqa: ANN401
    """The words as they usually stand, those with unusual signs escaped one by one."""
    unusual = pc.match_substring_regex(words, beyond)
    if not pc.any(unusual).as_py():
        return usual
    escaped = pa.array([escape(word) for word in words.filter(unusual).to_pylist()], _TEXT)
    return pc.replace_with_mask(usual, unusual, escaped)


def _csv_line(cells: Sequence[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()
