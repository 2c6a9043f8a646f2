"""A graph on disk: a folder of two Parquet tables in long form, and who was merged.

``signature_actual.parquet`` holds signature, actual, count; ``type_action.parquet`` holds
predicted, action, actual, count; ``merged.parquet`` holds run, iteration, runner. Only
counts above 0 are written. The scenario's fingerprint stands in each table's metadata.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from envs import InputError
from envs.files import replacing
from kg_actor.graph import GraphCounts, KnowledgeGraph, MergeKey

_FINGERPRINT = b"kirl.fingerprint"
_SIGNATURE_ACTUAL = ("signature", "actual")
_TYPE_ACTION = ("predicted", "action", "actual")
_MERGED = ("run", "iteration", "runner")


def save(graph: KnowledgeGraph, folder: Path, fingerprint: str) -> None:
    """Writes the graph, replacing what stood there once everything is written.

    Raises:
        InputError: the place cannot be written to.
    """
    counts = graph.counts()
    merged = sorted(graph.merged)
    with replacing(folder) as temporary:
        temporary.mkdir()
        _write(
            temporary / "signature_actual.parquet",
            _long(counts.signature_actual, _SIGNATURE_ACTUAL),
            fingerprint,
        )
        _write(
            temporary / "type_action.parquet",
            _long(counts.type_action, _TYPE_ACTION),
            fingerprint,
        )
        columns: dict[str, Any] = {
            "run": pa.array([key.run for key in merged], pa.string()),
            "iteration": pa.array([key.iteration for key in merged], pa.int64()),
            "runner": pa.array([key.runner for key in merged], pa.int64()),
        }
        _write(temporary / "merged.parquet", columns, fingerprint)


def load(graph: KnowledgeGraph, folder: Path, fingerprint: str) -> None:
    """Fills an empty graph with what :func:`save` wrote.

    Raises:
        InputError: missing or unreadable files, or another scenario's graph.
    """
    counts = graph.counts()
    signature_actual = np.zeros_like(counts.signature_actual)
    type_action = np.zeros_like(counts.type_action)
    _fill(signature_actual, folder / "signature_actual.parquet", _SIGNATURE_ACTUAL, fingerprint)
    _fill(type_action, folder / "type_action.parquet", _TYPE_ACTION, fingerprint)
    merged = _read(folder / "merged.parquet", _MERGED, fingerprint)
    keys = [MergeKey(row["run"], row["iteration"], row["runner"]) for row in merged.to_pylist()]
    graph.restore(GraphCounts(signature_actual, type_action, len(keys)), keys)


def _long(array: NDArray[np.int64], names: Iterable[str]) -> dict[str, Any]:
    places = np.nonzero(array)
    columns = {
        name: pa.array(place.astype(np.int32)) for name, place in zip(names, places, strict=True)
    }
    return columns | {"count": pa.array(array[places])}


def _write(path: Path, columns: dict[str, Any], fingerprint: str) -> None:
    table = pa.table(columns).replace_schema_metadata({_FINGERPRINT: fingerprint})
    pq.write_table(table, path)


def _read(path: Path, names: tuple[str, ...], fingerprint: str) -> Any:  # noqa: ANN401 (pyarrow is untyped)
    try:
        table = pq.read_table(path)
    except FileNotFoundError as error:
        raise InputError("no such file", where=str(path), mend="Train the run again") from error
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            "not a readable Parquet file", where=str(path), mend="Train the run again"
        ) from error
    found = (table.schema.metadata or {}).get(_FINGERPRINT, b"").decode()
    if found != fingerprint:
        raise InputError(
            f"belongs to scenario {found[:12] or 'unknown'}",
            where=str(path),
            expected=f"a graph of scenario {fingerprint[:12]}",
            mend="Use the scenario that the graph was learnt on",
        )
    if tuple(table.column_names[: len(names)]) != names or any(
        column.null_count for column in table.columns
    ):
        raise InputError(
            f"has columns {', '.join(table.column_names)}, or empty cells",
            where=str(path),
            expected=f"full columns {', '.join(names)}",
            mend="Train the run again",
        )
    return table


def _fill(target: NDArray[np.int64], path: Path, names: tuple[str, ...], fingerprint: str) -> None:
    table = _read(path, (*names, "count"), fingerprint)
    places = [table[name].to_numpy() for name in names]
    counts = table["count"].to_numpy()
    fits = all(
        np.issubdtype(place.dtype, np.integer) and np.all((place >= 0) & (place < size))
        for place, size in zip(places, target.shape, strict=True)
    )
    if not fits or not np.issubdtype(counts.dtype, np.integer) or np.any(counts < 1):
        raise InputError(
            "holds records that do not fit the scenario",
            where=str(path),
            expected="ids of the scenario and counts of at least 1",
            mend="Train the run again",
        )
    target[tuple(places)] = counts
