"""Interaction tables and graph states as bytes: safetensors, compressed.

The format is open, typed and free of code. What is read may have been written by anybody:
nothing is unpacked that says it is larger than it can be.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from envs import InteractionTable
from kg_actor.graph import Changes, GraphCounts, Recent

Arrays = dict[str, NDArray[Any]]

_COLUMNS = {"context": np.int32, "action": np.int16, "actual": np.int8, "count": np.int64}
_BYTES_PER_ROW = 15
_HEADER = 4_096
"""Bytes that names, types and shapes take at most."""

_LARGEST_TABLE = 2**27


class DamagedError(ValueError):
    """The bytes do not hold what they should."""


def pack_table(table: InteractionTable) -> bytes:
    """An interaction table: context, action, actual, count."""
    return _pack({name: getattr(table, name) for name in _COLUMNS})


def unpack_table(data: bytes, flows: int) -> InteractionTable:
    """The inverse of :func:`pack_table`.

    Args:
        data: what it returned.
        flows: how many the table counts; it has no more rows.

    Raises:
        DamagedError: it is not such a table.
    """
    arrays = _unpack(data, min(_LARGEST_TABLE, _BYTES_PER_ROW * flows) + _HEADER)
    kinds = {name: array.dtype for name, array in arrays.items()}
    if kinds != _COLUMNS or len({array.shape for array in arrays.values()}) != 1:
        raise DamagedError("an interaction table has other columns")
    table = InteractionTable(**{name: np.atleast_1d(array) for name, array in arrays.items()})
    if table.count.ndim != 1 or table.flows != flows:
        raise DamagedError("an interaction table counts other flows")
    return table


def pack_state(counts: GraphCounts, changes: Changes) -> bytes:
    """Counts and versions; lessons and keys are kept elsewhere."""
    arrays: Arrays = {
        "context_actual": counts.context_actual,
        "type_action": counts.type_action,
        "changes.signature": changes.signature,
        "changes.traffic": changes.traffic,
        "version": np.array([counts.version]),
    }
    if counts.recent is not None:
        arrays["recent.context_actual"] = counts.recent.context_actual
        arrays["recent.type_action"] = counts.recent.type_action
    return _pack(arrays)


def unpack_state(data: bytes, like: GraphCounts) -> tuple[GraphCounts, Changes]:
    """The inverse of :func:`pack_state`.

    Args:
        data: what it returned.
        like: counts of the shapes that are expected.

    Raises:
        DamagedError: it is not such a state.
    """
    exact = like.context_actual.nbytes + like.type_action.nbytes
    versions = 8 * (len(like.contexts.predicted) + like.context_actual.shape[1] + 1)
    arrays = _unpack(data, 2 * exact + versions + _HEADER)
    try:
        recent = None
        if like.recent is not None:
            recent = Recent(arrays["recent.context_actual"], arrays["recent.type_action"])
        [version] = arrays["version"].tolist()
        counts = GraphCounts(
            arrays["context_actual"], arrays["type_action"], version, like.contexts, recent
        )
        return counts, Changes(arrays["changes.signature"], arrays["changes.traffic"])
    except (KeyError, ValueError, TypeError) as error:
        raise DamagedError("a state lacks a part") from error


def _pack(arrays: Arrays) -> bytes:
    raw = save(arrays)
    packed: bytes = len(raw).to_bytes(8, "little") + pa.compress(raw, "zstd", asbytes=True)
    return packed


def _unpack(data: bytes, most: int) -> Arrays:
    if not isinstance(data, bytes):
        raise DamagedError("numbers are stored as text")
    size = int.from_bytes(data[:8], "little")
    if size > most:
        raise DamagedError(f"{size:,} bytes where at most {most:,} can be")
    try:
        return load(pa.decompress(data[8:], size, "zstd", asbytes=True))
    except (pa.ArrowException, SafetensorError, OSError, KeyError, ValueError) as error:
        raise DamagedError("compressed numbers cannot be read") from error
