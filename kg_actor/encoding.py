"""Interaction tables and graph states as bytes: Arrow streams and safetensors, compressed.

Both formats are open, typed and free of code, so that a store can be read without kirl
and a hostile one can do nothing but fail to be read.
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

_COLUMNS = (("signature", "<i4"), ("action", "<i2"), ("actual", "<i1"), ("count", "<i8"))
_OPTIONS = pa.ipc.IpcWriteOptions(compression="zstd")
_LARGEST = 2**31
"""Bytes that a state may take once it is unpacked."""


class DamagedError(ValueError):
    """The bytes do not hold what they should."""


def pack_table(table: InteractionTable) -> bytes:
    """An interaction table as one Arrow IPC stream: signature, action, actual, count."""
    columns = {name: pa.array(getattr(table, name)) for name, _ in _COLUMNS}
    batch = pa.record_batch(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=_OPTIONS) as writer:
        writer.write_batch(batch)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


def unpack_table(data: bytes) -> InteractionTable:
    """The inverse of :func:`pack_table`.

    Raises:
        DamagedError: it is not such a table.
    """
    try:
        table = pa.ipc.open_stream(pa.BufferReader(data)).read_all()
        columns = [
            np.ascontiguousarray(table[name].to_numpy(), dtype=kind) for name, kind in _COLUMNS
        ]
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        raise DamagedError("an interaction table cannot be read") from error
    return InteractionTable(*columns)


def pack_state(counts: GraphCounts, changes: Changes) -> bytes:
    """Counts and versions as compressed safetensors; lessons and keys are kept elsewhere."""
    arrays: dict[str, NDArray[Any]] = {
        "signature_actual": counts.signature_actual,
        "type_action": counts.type_action,
        "changes.signature": changes.signature,
        "changes.traffic": changes.traffic,
        "version": np.array([counts.version]),
    }
    if counts.recent is not None:
        arrays["recent.signature_actual"] = counts.recent.signature_actual
        arrays["recent.type_action"] = counts.recent.type_action
    raw = save(arrays)
    packed: bytes = len(raw).to_bytes(8, "little") + pa.compress(raw, "zstd", asbytes=True)
    return packed


def unpack_state(data: bytes) -> tuple[GraphCounts, Changes]:
    """The inverse of :func:`pack_state`.

    Raises:
        DamagedError: it is not such a state.
    """
    try:
        size = int.from_bytes(data[:8], "little")
        if not 0 < size <= _LARGEST:
            raise DamagedError("a state has no sensible size")
        arrays = load(pa.decompress(data[8:], size, "zstd", asbytes=True))
        recent = None
        if "recent.signature_actual" in arrays:
            recent = Recent(arrays["recent.signature_actual"], arrays["recent.type_action"])
        counts = GraphCounts(
            arrays["signature_actual"], arrays["type_action"], int(arrays["version"][0]), recent
        )
        return counts, Changes(arrays["changes.signature"], arrays["changes.traffic"])
    except (pa.ArrowException, SafetensorError, OSError, KeyError, IndexError) as error:
        raise DamagedError("a state cannot be read") from error
