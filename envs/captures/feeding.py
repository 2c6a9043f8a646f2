"""Captures on their way to the meter: one after the other, as one well-formed capture."""

from __future__ import annotations

import struct
import threading
from collections import deque
from typing import BinaryIO

from envs.captures import pcap
from envs.captures.content import CutOffError, opened
from envs.captures.files import CaptureFile
from envs.captures.packets import COOKED, COOKED_2, Packet, damaged
from envs.captures.reading import packets_of
from envs.captures.tally import MeterTally
from envs.errors import InputError
from envs.flows import Progress

_BUFFER = 2**18
_LARGEST_SIZE = 65_535
"""NFStream keeps sizes of packets in 16 bits."""

_SECOND = 1_000_000


class Feeding:
    """Feeds captures to one meter after the other.

    Captures that follow each other in time go to the same meter, so that a flow goes on from one
    part of a rotated capture (``tcpdump -C``, ``-G``) to the next. One that overlaps those before
    it needs a meter of its own.

    Args:
        captures: in the order of their first packets.
        tally: counts what is read.
        progress: called with (bytes read, bytes in all), by the thread that feeds.
    """

    def __init__(
        self, captures: list[CaptureFile], tally: MeterTally, progress: Progress | None
    ) -> None:
        self.waiting = deque(captures)
        self._tally, self._progress = tally, progress
        self._done, self._total = 0, sum(one.size for one in captures)
        self._newest = 0

    def feed(self, meter: BinaryIO, stopped: threading.Event) -> None:
        """Writes to a meter what it shall measure, and closes it.

        Args:
            meter: its standard input.
            stopped: set when the flows are no longer wanted.

        Raises:
            InputError: a capture is damaged.
        """
        try:
            with meter:
                link = self.waiting[0].link
                meter.write(pcap.header(_written(link)))
                self._newest = 0
                while self.waiting and not stopped.is_set() and self._goes_on(link):
                    self._feed_one(self.waiting.popleft(), meter, stopped)
        except BrokenPipeError:
            # Whoever reads the flows finds out why the meter ended.
            return

    def _goes_on(self, link: int) -> bool:
        following = self.waiting[0]
        return following.link == link and following.time >= self._newest

    def _feed_one(self, capture: CaptureFile, meter: BinaryIO, stopped: threading.Event) -> None:
        tally = self._tally
        tally.files.append(capture.path.name)
        buffer = bytearray()
        with opened(capture.path) as content:
            try:
                for packet in packets_of(content):
                    if packet.link != capture.link:
                        raise _mixed(content.where)
                    buffer += self._counted(packet, content.where)
                    if len(buffer) >= _BUFFER:
                        if stopped.is_set():
                            return
                        meter.write(buffer)
                        buffer.clear()
                        self._tell(content.consumed)
            except CutOffError:
                tally.cut_off.append(capture.path.name)
        meter.write(buffer)
        self._done += capture.size
        self._tell(0)

    def _counted(self, packet: Packet, where: str) -> bytes:
        """A packet as the meter reads it, counted."""
        tally = self._tally
        if packet.time >= self._newest:
            self._newest = packet.time
        elif packet.time < self._newest - _SECOND:
            tally.late += 1
        if len(packet.content) < packet.length:
            tally.cut += 1
            tally.shortest = min(tally.shortest, len(packet.content))
        tally.packets += 1
        try:
            return record(packet)
        except struct.error as error:
            raise damaged(where, "a packet's time is not between 1970 and 2106") from error

    def _tell(self, consumed: int) -> None:
        if self._progress is not None:
            self._progress(min(self._done + consumed, self._total), self._total)


def record(packet: Packet) -> bytes:
    """A packet as the meter reads it.

    What was not captured is filled with zeros: NFStream leaves out IPv6 packets that are cut, and
    takes ports that were not captured from whatever is in its memory.

    Raises:
        struct.error: its time is before 1970 or after 2106.
    """
    content, length = packet.content, packet.length
    if packet.link == COOKED_2 and len(content) >= 20:
        # NFStream knows the first version alone, which has other fields of the same.
        kind, sort, size = struct.unpack_from(">8xHBB", content)
        content = (
            struct.pack(">HHH", sort, kind, size) + content[12:20] + content[:2] + content[20:]
        )
        length -= 4
    length = min(length, _LARGEST_SIZE)
    content = content[:length].ljust(length, b"\0")
    seconds, fraction = divmod(packet.time, _SECOND)
    return pcap.RECORD.pack(seconds, fraction, length, length) + content


def _written(link: int) -> int:
    return COOKED if link == COOKED_2 else link


def _mixed(where: str) -> InputError:
    return InputError(
        "this capture holds packets of several link types",
        where=where,
        expected="one link type in a file",
        mend="Write one file for each interface: tshark -r OLD -Y 'frame.interface_id == 0' -w NEW",
    )
