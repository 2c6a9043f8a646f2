"""What came of the packets of captures, counted and told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from envs.errors import quoted

_TELLING = 54
"""Bytes of a packet that hold addresses, ports and flags, on Ethernet over IPv4."""


@dataclass
class MeterTally:
    """Counts of what was read and measured.

    Attributes:
        files: the captures that held packets, in the order of reading.
        packets: all that were read.
        metered: those of them that belong to flows.
        flows: the flows.
        cut: packets that were not captured whole.
        shortest: bytes of the shortest of these.
        late: packets more than a second older than one before them.
        cut_off: captures that end within a packet.
        empty: captures without a packet.
        unused: files in folders that are no captures.
    """

    files: list[str] = field(default_factory=list)
    packets: int = 0
    metered: int = 0
    flows: int = 0
    cut: int = 0
    shortest: int = 2**32
    late: int = 0
    cut_off: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able form."""
        return {
            "captures": self.files,
            "packets": self.packets,
            "packets_in_flows": self.metered,
            "packets_cut": self.cut,
            "packets_late": self.late,
            "flows": self.flows,
            "cut_off": self.cut_off,
            "empty": self.empty,
            "unused": self.unused,
        }

    def notes(self) -> Iterator[str]:
        """What the owner of the captures should know, as sentences."""
        if other := self.packets - self.metered:
            yield (
                f"{other:,} of {self.packets:,} packets belong to no flow: they are no IP, have no "
                "sound header, or are later fragments, whose ports nobody knows."
            )
        if self.cut:
            yield (
                f"{self.cut:,} packets were captured in part. Sizes are those on the wire, so "
                "flows are the same as of a whole capture"
                + (
                    f", but {self.shortest} bytes can be too few for ports and flags. Capture "
                    "at least 96."
                    if self.shortest < _TELLING
                    else "."
                )
            )
        if self.late:
            yield (
                f"{self.late:,} packets are more than a second older than one before them; "
                "they count at the time of the newest. Sort a capture with: reordercap OLD NEW"
            )
        if self.cut_off:
            yield f"The last packet is cut off and left out in {_named(self.cut_off)}."
        if self.empty:
            yield f"No packet is in {_named(self.empty)}."
        if self.unused:
            yield f"No capture, so not read: {_named(self.unused)}."


def _named(files: list[str]) -> str:
    shown = ", ".join(quoted(name, 100)[1:-1] for name in files[:5])
    return shown + (f" and {len(files) - 5:,} more" if len(files) > 5 else "")
