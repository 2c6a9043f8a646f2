"""Captures in the classic form (.pcap), see the IETF's draft-ietf-opsawg-pcap."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from envs.captures.content import Content, CutOffError
from envs.captures.packets import LARGEST, Packet, check_link, damaged
from envs.errors import InputError

MAGICS = {
    b"\xd4\xc3\xb2\xa1": ("<", 1),
    b"\xa1\xb2\xc3\xd4": (">", 1),
    b"\x4d\x3c\xb2\xa1": ("<", 1_000),
    b"\xa1\xb2\x3c\x4d": (">", 1_000),
}
"""First bytes, with the byte order and how many units of the fraction make a microsecond."""

WRITTEN = struct.Struct("<IHHiIII")
RECORD = struct.Struct("<IIII")


def packets_of(content: Content, magic: bytes) -> Iterator[Packet]:
    """All packets behind the first four bytes of a file.

    Raises:
        CutOffError: the file ends within a packet.
        InputError: it is damaged, or its link type cannot be read.
    """
    order, per_microsecond = MAGICS[magic]
    try:
        major, *_, link = struct.unpack(f"{order}HHiIII", content.take(20))
    except CutOffError:
        raise InputError(
            "the file ends within its header",
            where=content.where,
            expected="24 bytes of header, and packets behind it",
            mend="Copy it again from where it came from",
        ) from None
    if major != 2:
        raise damaged(content.where, f"it is of version {major}, not 2")
    # The upper bits tell of checksums behind the packets.
    link &= 0x3FFFFFF
    check_link(content.where, link)
    record = struct.Struct(f"{order}IIII")
    count = 0
    while head := content.take(16, may_end=True):
        seconds, fraction, captured, length = record.unpack(head)
        if captured > LARGEST:
            raise damaged(content.where, f"the next one claims {captured:,} bytes", count)
        time = seconds * 1_000_000 + fraction // per_microsecond
        yield Packet(link, time, max(length, captured), content.take(captured))
        count += 1


def header(link: int) -> bytes:
    """The beginning of a capture of that link type."""
    return WRITTEN.pack(0xA1B2C3D4, 2, 4, 0, 0, LARGEST, link)
