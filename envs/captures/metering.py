"""A process of its own: packets come in as a capture, flows go out as Arrow's stream.

NFStream's own front, ``NFStreamer``, is not used. It waits for ever when its metering process
dies, leaves it behind when it dies itself, pins its caller to two processors, and passes over what
it cannot read in a capture. What it runs in that process, ``meter_workflow``, is run here instead.

This file is run as a script, see :mod:`envs.captures.flows`, which also reads the names here. So
NFStream is imported only where it is used, and nothing of this house is.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from operator import attrgetter
from typing import Any

import pyarrow as pa

IDLE_SECONDS, ACTIVE_SECONDS = 120, 1800
"""A flow ends after so long without a packet, and after so long at all (NFStream's defaults)."""

OUT_OF_MEMORY = 3
"""Exit code: the flows under way take more memory than :data:`MEMORY_SHARE` allows."""

MEMORY_SHARE = 0.5
"""Share of this machine's memory that the flows under way may take."""

_ROWS = 4096

_SIDES = ("bidirectional", "src2dst", "dst2src")


def _statistics() -> list[tuple[str, pa.DataType]]:
    """Those of ``statistical_analysis=True``, in NFStream's order."""
    columns: list[tuple[str, pa.DataType]] = []
    for measure in ("ps", "piat_ms"):
        for side in _SIDES:
            for name in ("min", "mean", "stddev", "max"):
                of = pa.float64() if name in ("mean", "stddev") else pa.int64()
                columns.append((f"{side}_{name}_{measure}", of))
    for side in _SIDES:
        for flag in ("syn", "cwr", "ece", "urg", "ack", "psh", "rst", "fin"):
            columns.append((f"{side}_{flag}_packets", pa.int64()))
    return columns


SCHEMA = pa.schema(
    [
        *(("id", pa.int64()), ("expiration_id", pa.int64())),
        *((f"src_{name}", pa.string()) for name in ("ip", "mac", "oui")),
        ("src_port", pa.int64()),
        *((f"dst_{name}", pa.string()) for name in ("ip", "mac", "oui")),
        ("dst_port", pa.int64()),
        *((name, pa.int64()) for name in ("protocol", "ip_version", "vlan_id", "tunnel_id")),
        *(
            (f"{side}_{name}", pa.int64())
            for side in _SIDES
            for name in ("first_seen_ms", "last_seen_ms", "duration_ms", "packets", "bytes")
        ),
        *_statistics(),
    ]
)
"""NFStream's columns with ``statistical_analysis=True`` and ``n_dissections=0``, in its order."""

_CELLS = attrgetter(*SCHEMA.names)


class _Sink:
    """What NFStream takes for its queue: collects flows and writes them in batches."""

    def __init__(self, writer: pa.RecordBatchStreamWriter, number: int) -> None:
        self._writer, self._number = writer, number
        self._rows: list[tuple[Any, ...]] = []

    def put(self, item: Any) -> None:  # noqa: ANN401 (a flow, an event or None)
        if hasattr(item, "bidirectional_packets"):
            item.id = self._number
            self._number += 1
            self._rows.append(_CELLS(item))
            if len(self._rows) == _ROWS:
                self.flush()
        elif hasattr(item, "message"):
            raise RuntimeError(item.message)

    def flush(self) -> None:
        """Writes the flows that are not written yet."""
        if self._rows:
            columns = zip(*self._rows, strict=True)
            arrays = [
                pa.array(cells, field.type) for cells, field in zip(columns, SCHEMA, strict=True)
            ]
            self._writer.write_batch(pa.record_batch(arrays, schema=SCHEMA))
            self._rows.clear()


class _Count:
    """What NFStream takes for a shared counter; nobody reads it here."""

    value = 0


def _watch_memory() -> None:
    """Ends the process once it holds too much: the flows under way cannot be put anywhere else."""
    import psutil

    process, most = psutil.Process(), MEMORY_SHARE * psutil.virtual_memory().total
    while process.memory_info().rss < most:
        time.sleep(0.2)
    os._exit(OUT_OF_MEMORY)


def main(number: int) -> None:
    """Meters the capture on standard input; the first flow gets this number as its ``id``."""
    out = os.fdopen(os.dup(1), "wb")
    # What NFStream prints must not get among the flows.
    os.dup2(2, 1)
    threading.Thread(target=_watch_memory, daemon=True).start()
    from nfstream.meter import meter_workflow
    from nfstream.utils import NFMode

    # It takes and gives back this lock when it begins, to keep pace with others.
    lock = threading.Lock()
    lock.acquire()
    with pa.ipc.new_stream(out, SCHEMA) as writer:
        sink = _Sink(writer, number)
        # By position, as NFStream calls it.
        meter_workflow(
            "-",  # source: libpcap reads standard input
            65_535,  # snapshot_length, of live captures
            True,  # decode_tunnels
            None,  # bpf_filter
            False,  # promiscuous_mode
            1,  # of how many meters ...
            0,  # ... this is the first
            NFMode.SINGLE_FILE,
            IDLE_SECONDS * 1000,
            ACTIVE_SECONDS * 1000,
            0,  # accounting_mode: bytes on the link
            (),  # udps
            0,  # n_dissections: names of applications are no features
            True,  # statistical_analysis
            0,  # splt_analysis
            sink,
            [_Count(), _Count(), _Count()],
            lock,
            0,  # group_id, of live captures
            0,  # system_visibility_mode
            0,  # socket_buffer_size, of live captures
        )
        sink.flush()
    out.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
