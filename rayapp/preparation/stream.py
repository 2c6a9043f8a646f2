"""Streams a source's flows through Ray Data: every part is read where a processor is free.

Flows stay where they are read. What comes back is what a :class:`Work` makes of each batch,
a few bytes per flow, together with the batch's place, so that results can be put in order
whatever the order in which they arrive.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import ray.data
from numpy.typing import DTypeLike, NDArray
from ray.data import ExecutionResources

from envs import InputError
from envs.datasets.source import FlowBatch, FlowPart, Tally
from envs.flows import Progress

STORE_BYTES = 1 << 30
"""Most memory of the object store that results may take before they are fetched."""

_BLOCK_BYTES = 32 << 20

Result = NDArray[Any]


class Work(Protocol):
    """What is done with batches. It travels to where they are read."""

    def begin(self, part: int) -> Callable[[int, FlowBatch], Result]:
        """Gets ready for a part; what it returns is given each batch and the flows before it."""
        ...


@dataclass(frozen=True)
class BatchHeader:
    """Where a batch stands in its source, and what it held.

    Attributes:
        part: number of its part.
        start: flows of the part that come before it.
        flows: that it holds.
        digest: of labels and features.
        tally: of its rows, as in :class:`envs.datasets.source.FlowBatch`.
    """

    part: int
    start: int
    flows: int
    digest: int
    tally: Tally


_NUMBERS = ("part", "start", "flows", "digest")

_SCHEMA = pa.schema(
    [
        *((name, pa.int64()) for name in _NUMBERS),
        ("tally", pa.string()),
        ("result", pa.large_binary()),
        ("refused", pa.string()),
    ]
)
_LAST = "last"
"""Stands for no refusal in the row that ends a part."""


def stream(
    parts: Sequence[FlowPart], work: Work, kind: DTypeLike, progress: Progress
) -> Iterator[tuple[BatchHeader, Result]]:
    """Reads all parts and yields what becomes of each batch, as it comes. Ray must be running.

    Args:
        parts: of a source.
        work: to be done.
        kind: numpy type of its results.
        progress: told (size done, size in all) as parts end.

    Yields:
        The place of a batch, and the result as a flat array.

    Raises:
        InputError: of the first part that cannot be read, once those before it have been.
    """
    total, done = sum(part.size for part in parts), 0
    ended: dict[int, InputError | None] = {}
    for row in _rows(parts, work):
        if row["refused"] is None:
            tally = Tally.from_json(json.loads(row["tally"]))
            header = BatchHeader(**{name: row[name] for name in _NUMBERS}, tally=tally)
            yield header, np.frombuffer(row["result"], kind)
            continue
        ended[row["part"]] = _refusal(row["refused"])
        done += parts[row["part"]].size
        progress(done, total)
        _raise_first(ended)
    if len(ended) < len(parts):
        raise RuntimeError(f"{len(parts) - len(ended)} parts were never read")


def _rows(parts: Sequence[FlowPart], work: Work) -> Iterator[dict[str, Any]]:
    numbers = [{"part": number} for number in range(len(parts))]
    dataset = ray.data.from_items(numbers, override_num_blocks=len(parts)).map_batches(
        _read,
        batch_size=None,
        batch_format="pyarrow",
        zero_copy_batch=True,
        fn_kwargs={"parts": parts, "work": work},
    )
    context = dataset.context
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = _BLOCK_BYTES
    context.execution_options.resource_limits = ExecutionResources(object_store_memory=STORE_BYTES)
    for table in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
        for index in range(len(table)):
            # Whole columns would be copied on the way to Python.
            row = {name: table[name][index] for name in _SCHEMA.names}
            result = row.pop("result").as_buffer()
            yield {name: value.as_py() for name, value in row.items()} | {"result": result}


def _read(item: pa.Table, parts: Sequence[FlowPart], work: Work) -> Iterator[pa.Table]:
    """Runs on the cluster: one row per batch, and one that ends the part."""
    number = item["part"][0].as_py()
    flows, refused = 0, _LAST
    try:
        apply = work.begin(number)
        for batch in parts[number].batches():
            result = np.ascontiguousarray(apply(flows, batch))
            yield _row([number, flows, len(batch), _digest(batch)], batch.tally, result)
            flows += len(batch)
    except InputError as error:
        refused = json.dumps([error.what, error.where, error.expected, error.mend])
    yield _row([number, flows, 0, 0], Tally(), np.empty(0, np.int8), refused)


def _row(numbers: list[int], tally: Tally, result: Result, refused: str | None = None) -> pa.Table:
    # Straight from the buffer: numpy's own byte strings lose their last zeros.
    offsets = pa.py_buffer(np.array([0, result.nbytes], np.int64))
    binary = pa.Array.from_buffers(
        pa.large_binary(), 1, [None, offsets, pa.py_buffer(result.view(np.uint8).reshape(-1))]
    )
    told = [json.dumps(tally.to_json())]
    columns = [*([number] for number in numbers), told, binary, pa.array([refused], pa.string())]
    return pa.table(columns, schema=_SCHEMA)


def _digest(batch: FlowBatch) -> int:
    digest = zlib.crc32(np.ascontiguousarray(batch.actual).data)
    return zlib.crc32(np.ascontiguousarray(batch.features).data, digest)


def _refusal(text: str) -> InputError | None:
    if text == _LAST:
        return None
    what, where, expected, mend = json.loads(text)
    return InputError(what, where=where, expected=expected, mend=mend)


def _raise_first(ended: dict[int, InputError | None]) -> None:
    """What reading in order would have met first, as soon as that is certain."""
    refused = min((part for part, error in ended.items() if error), default=None)
    if refused is not None and all(part in ended for part in range(refused)):
        error = ended[refused]
        if error:
            raise error
