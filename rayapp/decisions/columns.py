"""The columns of tables of decisions: their names, types, and their values by outcome."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from envs.datasets.tables.form import KEYS
from rayapp.decisions.outcomes import Outcome

PLACES = ("file", "row")

_NOTHING = ("", "-", "(empty)", "nan", "NaN", "null", "None")

_WORDS = pa.dictionary(pa.int32(), pa.string())

KEY_TYPES: dict[str, Any] = {
    "time": _WORDS,
    "id": _WORDS,
    "file": _WORDS,
    "row": pa.int64(),
    **dict.fromkeys((key for key in KEYS if key not in ("time", "id")), _WORDS),
}
"""Columns that say which flow a row is about, in their order."""


def compact(value: object) -> str:
    """JSON on one line, in ASCII: what comes from files cannot upset a terminal."""
    return json.dumps(value, separators=(",", ":"))


def _within(part: str, name: str) -> Callable[[Outcome], Any]:
    return lambda outcome: None if outcome[part] is None else outcome[part][name]


def _as_json(part: str, name: str | None = None) -> Callable[[Outcome], Any]:
    def told(outcome: Outcome) -> str | None:
        value = outcome.get(part)
        if value is not None and name is not None:
            value = value[name]
        return None if value is None else compact(value)

    return told


OUTCOME_COLUMNS: dict[str, tuple[Any, Callable[[Outcome], Any]]] = {
    "class": (_WORDS, _within("detection", "class")),
    "signature": (pa.int32(), _within("detection", "signature")),
    "rule": (_WORDS, _within("detection", "rule")),
    "seen": (pa.int64(), _within("detection", "seen")),
    "correct": (pa.int64(), _within("detection", "correct")),
    "confidence": (pa.float64(), _within("detection", "confidence")),
    "mitigation": (_WORDS, _within("decision", "mitigation")),
    "attack_id": (_WORDS, _within("decision", "attack_id")),
    "probability": (pa.float64(), _within("decision", "probability")),
    "expected_reward": (pa.float64(), _within("decision", "expected_reward")),
    "ranked": (_WORDS, _as_json("decision", "ranked")),
    "undecided": (_WORDS, lambda outcome: outcome.get("undecided")),
}
"""Type of each column, and its value by outcome. ``ranked`` is JSON in a text: a list of fourteen
mitigations per flow would make Parquet files six times as large."""

EXPLANATION: tuple[Any, Callable[[Outcome], Any]] = (_WORDS, _as_json("explanation"))
"""The column of ``--explain``, likewise."""


def outcome_columns(*, explain: bool) -> dict[str, tuple[Any, Callable[[Outcome], Any]]]:
    """:data:`OUTCOME_COLUMNS`, and :data:`EXPLANATION` where it is asked for."""
    return OUTCOME_COLUMNS | ({"explanation": EXPLANATION} if explain else {})


def schema(*, explain: bool) -> pa.Schema:
    """The columns of a table of decisions, with their types."""
    told = {name: kind for name, (kind, _) in outcome_columns(explain=explain).items()}
    return pa.schema(list((KEY_TYPES | told).items()))


def keys_of(keys: pa.Table) -> dict[str, Any]:
    """The key columns of a batch, without those that its file does not have.

    Returns:
        Arrays by name; cells that hold nothing, or a tool's word for nothing, are null.
    """
    found = {}
    for name in KEY_TYPES:
        if name in keys.schema.names:
            column = keys.column(name).combine_chunks()
            found[name] = column if name in PLACES else _without_nothing(column)
    return found


def _without_nothing(column: pa.DictionaryArray) -> pa.DictionaryArray:
    nothing = pc.is_in(column.dictionary, value_set=pa.array(_NOTHING)).to_numpy(
        zero_copy_only=False
    )
    if not nothing.any():
        return column
    codes = column.indices.to_numpy(zero_copy_only=False)
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=nothing[codes]), column.dictionary)


def taken(values: list[Any], kind: pa.DataType, outcome: NDArray[np.int32]) -> pa.Array:
    """A column: the value of each row's outcome."""
    codes = pa.array(outcome)
    if not pa.types.is_dictionary(kind):
        return pa.array(values, kind).take(codes)
    distinct = pa.array(values, pa.string()).dictionary_encode()
    return pa.DictionaryArray.from_arrays(distinct.indices.take(codes), distinct.dictionary)
