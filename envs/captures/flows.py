"""Captures to flows, by way of NFStream in a process of its own."""

from __future__ import annotations

import importlib.metadata
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, BinaryIO, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from envs.captures import metering
from envs.captures.feeding import Feeding
from envs.captures.files import find_captures
from envs.captures.metering import SCHEMA
from envs.captures.tally import MeterTally
from envs.errors import InputError, quoted
from envs.files import replacing
from envs.flows import Progress

_VERSION = "6.6."
_INSTALL = "In kirl's folder: pip install -c constraints.txt -e '.[capture]'"
_ROW_GROUP = 65_536


def flows_of(
    captures: Sequence[Path], tally: MeterTally | None = None, progress: Progress | None = None
) -> Iterator[pa.RecordBatch]:
    """The flows of packet captures, in the order in which they end.

    The same captures give the same flows in the same order, however they are named. Memory holds
    the flows under way, some 4 KiB each, never the captures. NFStream runs in a process of its
    own, which ends when the iterator is closed.

    Args:
        captures: pcap or pcapng files, plain or compressed with gzip, or folders of such. Those
            that follow each other in time are read as one capture.
        tally: counts what is read; complete once the iterator has ended.
        progress: called with (bytes read, bytes in all), by another thread.

    Returns:
        Batches of :data:`envs.captures.metering.SCHEMA`: one row per flow, with NFStream's names
        and units (ms, bytes, packets). The 5-tuple is ``src_ip``, ``src_port``, ``dst_ip``,
        ``dst_port``, ``protocol``; the time ``bidirectional_first_seen_ms``, since 1970.

    Raises:
        InputError: NFStream is not installed, a capture cannot be read, or no packet belongs to a
            flow.
    """
    check_installed()
    tally = MeterTally() if tally is None else tally
    feeding = Feeding(find_captures(captures, tally), tally, progress)
    while feeding.waiting:
        for batch in _metered(feeding, tally.flows, tally):
            tally.flows += len(batch)
            tally.metered += pc.sum(batch.column("bidirectional_packets")).as_py()
            yield batch
    if not tally.flows:
        raise InputError(
            f"none of the {tally.packets:,} packets belongs to a flow",
            where=", ".join(quoted(name, 100)[1:-1] for name in tally.files[:3]),
            expected="packets of IPv4 or IPv6",
            mend="Capture where such traffic passes",
        )


def write_flows(
    captures: Sequence[Path], out: Path, progress: Progress | None = None
) -> MeterTally:
    """Writes the flows of packet captures to a Parquet file, which appears when it is complete.

    Args:
        captures: as of :func:`flows_of`.
        out: the file to write.
        progress: called with (bytes read, bytes in all), by another thread.

    Raises:
        InputError: as of :func:`flows_of`, or the file cannot be written.
    """
    tally = MeterTally()
    with replacing(out) as temporary, pq.ParquetWriter(temporary, _described()) as writer:
        group: list[pa.RecordBatch] = []
        for batch in flows_of(captures, tally, progress):
            group.append(batch)
            if sum(map(len, group)) >= _ROW_GROUP:
                writer.write_table(pa.Table.from_batches(group))
                group.clear()
        if group:
            writer.write_table(pa.Table.from_batches(group))
    return tally


def check_installed() -> None:
    """Checks that NFStream can be used.

    Raises:
        InputError: it is not installed, or in a version that is used differently.
    """
    try:
        version = importlib.metadata.version("nfstream")
    except importlib.metadata.PackageNotFoundError:
        raise InputError(
            "captures are read with NFStream, which is not installed", mend=_INSTALL
        ) from None
    if not version.startswith(_VERSION):
        raise InputError(
            f"NFStream {version} is installed",
            expected=f"NFStream {_VERSION}*, which reads captures here",
            mend=_INSTALL,
        )


def _described() -> pa.Schema:
    meter = (
        f"NFStream {importlib.metadata.version('nfstream')}: statistical_analysis=True, "
        f"n_dissections=0, idle_timeout={metering.IDLE_SECONDS}, "
        f"active_timeout={metering.ACTIVE_SECONDS}"
    )
    return SCHEMA.with_metadata({"meter": meter})


class _Feeder(threading.Thread):
    """Feeds a meter, and keeps what went wrong for the one who reads its flows."""

    def __init__(self, feeding: Feeding, meter: BinaryIO) -> None:
        super().__init__(name="captures", daemon=True)
        self._feeding, self._meter = feeding, meter
        self.stopped = threading.Event()
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self._feeding.feed(self._meter, self.stopped)
        except Exception as error:
            self.error = error


def _metered(feeding: Feeding, number: int, tally: MeterTally) -> Iterator[pa.RecordBatch]:
    """The flows of one meter, whose first one gets that number."""
    command = [sys.executable, "-P", metering.__file__, str(number)]
    with tempfile.TemporaryFile() as said:
        # A session of its own: an interrupt at the terminal reaches this process, which ends it.
        process = subprocess.Popen(  # noqa: S603 (our own)
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            start_new_session=True,
        )
        stdin, stdout = cast(BinaryIO, process.stdin), cast(BinaryIO, process.stdout)
        feeder = _Feeder(feeding, stdin)
        feeder.start()
        try:
            with stdout:
                yield from _batches(stdout)
            feeder.join()
            code = process.wait()
        finally:
            feeder.stopped.set()
            process.kill()
            process.wait()
            feeder.join()
        if feeder.error is not None:
            raise feeder.error
        if code:
            raise _ended(code, said, tally)


def _batches(stream: BinaryIO) -> Iterator[pa.RecordBatch]:
    try:
        with pa.ipc.open_stream(stream) as reader:
            yield from reader
    except pa.ArrowInvalid:
        # The process ended amid a batch, or before the first; its exit code says more.
        return


def _ended(code: int, said: IO[bytes], tally: MeterTally) -> InputError:
    """The error for a meter that ended before its time."""
    where = ", ".join(quoted(name, 100)[1:-1] for name in tally.files[-1:]) or None
    if code == metering.OUT_OF_MEMORY:
        return InputError(
            f"the flows under way take {metering.MEMORY_SHARE:.0%} of this machine's memory",
            where=where,
            expected="captures with fewer flows within half an hour",
            mend="Use a machine with more memory, or cut the capture: editcap -i 600 OLD NEW",
        )
    said.seek(0, 2)
    said.seek(max(said.tell() - 2000, 0))
    lines = said.read().decode(errors="replace").strip().splitlines() or [""]
    ended = f"was ended by {signal.Signals(-code).name}" if code < 0 else quoted(lines[-1], 200)
    return InputError(
        f"NFStream failed within the first {tally.packets:,} packets ({ended})",
        where=where,
        mend="Cut the capture (editcap -c 100000 OLD NEW) to find the packets that it fails on",
    )
