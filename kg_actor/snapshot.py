"""A graph at one version as a folder of Parquet tables, for checkpoints and for moving it.

====================== ==========================================================
``graph.json``         what the graph is about, its version, SHA-256 of the tables
``signatures``         signature, predicted, version that last changed it
``context_actual``     context, actual, count, and recent where forgetting is on
``type_action``        predicted, action, actual, count, and recent
``merged``             run, iteration, runner, version, flows, digest
``lessons``            traffic, action, reward, weight, provenance
====================== ==========================================================

All tables end in ``.parquet``; counts of 0 are left out.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from envs import InputError
from envs.files import replacing, sha256
from kg_actor.graph import Changes, GraphCounts, GraphState, Merged, MergeKey, Recent
from kg_actor.lessons import Lesson
from kg_actor.shards import refuse_shards
from kg_actor.spec import GraphSpec

FORMAT = 2

_ABOUT = "graph.json"
_TABLES = ("signatures", "context_actual", "type_action", "merged", "lessons")
_CONTEXT_ACTUAL = ("context", "actual")
_TYPE_ACTION = ("predicted", "action", "actual")
_LESSON = pa.schema(
    [
        ("traffic", pa.string()),
        ("action", pa.string()),
        ("reward", pa.float64()),
        ("weight", pa.float64()),
        ("provenance", pa.string()),
    ]
)
_MERGED = pa.schema(
    [
        ("run", pa.string()),
        ("iteration", pa.int64()),
        ("runner", pa.int64()),
        ("version", pa.int64()),
        ("flows", pa.int64()),
        ("digest", pa.binary()),
    ]
)


def save(state: GraphState, spec: GraphSpec, folder: Path) -> None:
    """Writes a snapshot, replacing what stood there once everything is written.

    Raises:
        InputError: the place cannot be written to.
    """
    counts, changes = state.counts, state.changes
    faded = counts.recent
    recent_context = faded.context_actual if faded else None
    recent_type = faded.type_action if faded else None
    tables = {
        "signatures": pa.table({"predicted": spec.predicted, "version": changes.signature}),
        "context_actual": _long(_CONTEXT_ACTUAL, counts.context_actual, recent_context),
        "type_action": _long(_TYPE_ACTION, counts.type_action, recent_type),
        "merged": pa.Table.from_pylist(
            [
                {**key._asdict(), **vars(merged)}
                for key, merged in sorted(state.merged.items(), key=lambda item: item[0])
            ],
            _MERGED,
        ),
        "lessons": pa.Table.from_pylist([vars(lesson) for lesson in state.lessons], _LESSON),
    }
    with replacing(folder) as temporary:
        temporary.mkdir()
        for name, table in tables.items():
            pq.write_table(table, temporary / f"{name}.parquet")
        about = {
            "format": FORMAT,
            "version": counts.version,
            "type_versions": changes.traffic.tolist(),
            "spec": spec.to_json(),
            "sha256": {name: sha256(temporary / f"{name}.parquet") for name in _TABLES},
        }
        (temporary / _ABOUT).write_text(json.dumps(about) + "\n", encoding="utf-8")


def load(folder: Path) -> tuple[GraphState, GraphSpec]:
    """Reads what :func:`save` wrote.

    Raises:
        InputError: missing, changed or unreadable files.
    """
    about = _about(folder)
    try:
        spec = GraphSpec.from_json(about["spec"], str(folder))
        most = _most_rows(spec)
        tables = {name: _table(folder / f"{name}.parquet", about, most[name]) for name in _TABLES}
        state = _state(about, spec, tables)
        spec.new_graph().restore(state)
    except InputError:
        raise
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        raise InputError(
            f"its parts do not fit together ({error})", where=str(folder), mend=_MEND
        ) from error
    except (pa.ArrowException, RecursionError, MemoryError) as error:
        raise InputError("cannot be read", where=str(folder), mend=_MEND) from error
    return state, spec


def _most_rows(spec: GraphSpec) -> dict[str, int]:
    contexts, classes = len(spec.contexts), len(spec.catalogue.classes)
    return {
        "signatures": len(spec.predicted),
        "context_actual": contexts * classes,
        "type_action": classes * classes * len(spec.catalogue.actions),
        "merged": 100_000_000,
        "lessons": 1_000_000,
    }


def exists(folder: Path) -> bool:
    """Whether there is a snapshot in a folder."""
    return (folder / _ABOUT).is_file()


def newest(run: Path) -> Path | None:
    """The latest snapshot among a run's checkpoints, ``None`` if there is none."""
    # Half-written ones have hidden names.
    found = filter(exists, run.glob("checkpoints/[!.]*/graph"))
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


_HEADER, _BYTES_PER_ROW = 2**20, 1_000
"""Generous bounds of a table's size once it is unpacked."""

_MEND = "Take another snapshot, or train the run again"


def _about(folder: Path) -> dict[str, Any]:
    path = folder / _ABOUT
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        refuse_shards(folder)
        raise InputError(
            "not a snapshot of a graph (it has no graph.json)", where=str(folder), mend=_MEND
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError("not readable as JSON", where=str(path), mend=_MEND) from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise InputError(
            "is of another format",
            where=str(path),
            expected=f"format {FORMAT}, which this version of kirl writes",
            mend=_MEND,
        )
    return about


def _table(path: Path, about: Mapping[str, Any], most_rows: int) -> pa.Table:
    try:
        if sha256(path) != about["sha256"][path.stem]:
            raise InputError("has changed since it was written", where=str(path), mend=_MEND)
        file = pq.ParquetFile(path)
        about_file = file.metadata
        groups = [about_file.row_group(i).total_byte_size for i in range(about_file.num_row_groups)]
        # Compressed, a small file can hold more than any memory.
        if about_file.num_rows > most_rows or sum(groups) > _HEADER + most_rows * _BYTES_PER_ROW:
            raise InputError("is larger than it can be", where=str(path), mend=_MEND)
        return file.read()
    except FileNotFoundError as error:
        raise InputError("no such file", where=str(path), mend=_MEND) from error
    except (pa.ArrowException, OSError) as error:
        raise InputError("not a readable Parquet file", where=str(path), mend=_MEND) from error


def _state(about: Mapping[str, Any], spec: GraphSpec, tables: Mapping[str, pa.Table]) -> GraphState:
    empty = spec.new_graph().counts()
    context_actual, recent_context = _dense(
        tables["context_actual"], _CONTEXT_ACTUAL, empty.context_actual.shape
    )
    type_action, recent_type = _dense(tables["type_action"], _TYPE_ACTION, empty.type_action.shape)
    recent = None
    if spec.half_life is not None:
        if recent_context is None or recent_type is None:
            raise ValueError("faded counts are missing")
        recent = Recent(recent_context, recent_type)
    merged = {
        MergeKey(row["run"], row["iteration"], row["runner"]): Merged(
            row["version"], row["flows"], row["digest"]
        )
        for row in tables["merged"].to_pylist()
    }
    changes = Changes(
        _whole(tables["signatures"]["version"]), np.array(about["type_versions"], dtype=np.int64)
    )
    lessons = tuple(Lesson(**row) for row in tables["lessons"].to_pylist())
    counts = GraphCounts(
        context_actual, type_action, operator.index(about["version"]), spec.contexts, recent
    )
    return GraphState(counts, changes, merged, lessons)


def _long(
    names: tuple[str, ...], exact: NDArray[np.int64], recent: NDArray[np.float64] | None
) -> pa.Table:
    places = np.nonzero(exact)
    columns: dict[str, Any] = {
        name: place.astype(np.int32) for name, place in zip(names, places, strict=True)
    }
    columns["count"] = exact[places]
    if recent is not None:
        columns["recent"] = recent[places]
    return pa.table(columns)


def _dense(
    table: pa.Table, names: tuple[str, ...], shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.float64] | None]:
    places = tuple(_whole(table[name]) for name in names)
    for place, size in zip(places, shape, strict=True):
        if len(place) and (place.min() < 0 or place.max() >= size):
            raise ValueError("ids outside of the scenario")
    exact = np.zeros(shape, np.int64)
    exact[places] = _whole(table["count"])
    if len(places[0]) and exact[places].min() < 1:
        raise ValueError("counts below 1")
    if "recent" not in table.column_names:
        return exact, None
    recent = np.zeros(shape)
    recent[places] = table["recent"].to_numpy()
    return exact, recent


def _whole(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """A column of whole numbers without gaps."""
    if column.null_count or not pa.types.is_integer(column.type):
        raise ValueError("a column holds no whole numbers, or empty cells")
    numbers: NDArray[np.int64] = column.to_numpy().astype(np.int64)
    return numbers
