"""Captures of both forms, told apart by their first bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from envs.captures import pcap, pcapng
from envs.captures.content import Content, CutOffError
from envs.captures.packets import Packet, damaged
from envs.errors import InputError


def packets_of(content: Content) -> Iterator[Packet]:
    """All packets of a capture in order.

    Raises:
        CutOffError: the file ends within a packet; those before it were given.
        InputError: it is no capture, is damaged, or has a link type that cannot be read.
    """
    try:
        magic = content.take(4, may_end=True)
    except CutOffError:
        raise _no_capture(content, b"") from None
    if not magic:
        raise InputError(
            "this file is empty",
            where=content.where,
            expected="a packet capture (pcap or pcapng)",
            mend="Capture again",
        )
    try:
        if magic in pcap.MAGICS:
            yield from pcap.packets_of(content, magic)
        elif magic == pcapng.MAGIC:
            yield from pcapng.packets_of(content)
        else:
            raise _no_capture(content, magic)
    except struct.error as error:
        raise damaged(content.where, "a block is too short for what it holds") from error


def is_capture(content: Content) -> bool:
    """Whether a file begins as a capture does."""
    try:
        return content.take(4) in (*pcap.MAGICS, pcapng.MAGIC)
    except (CutOffError, InputError):
        return False


def _no_capture(content: Content, magic: bytes) -> InputError:
    packed = {
        b"\x28\xb5\x2f\xfd": "zstd",
        b"\xfd7zX": "xz",
        b"BZh9": "bzip2",
        b"PK\x03\x04": "zip",
        b"\x04\x22\x4d\x18": "lz4",
        b"7z\xbc\xaf": "7z",
    }
    other = {b"snoo": "snoop", b"GMBU": "Network Monitor", b"\x34\xcd\xb2\xa1": "modified pcap"}
    if magic in packed:
        what, mend = f"this is a {packed[magic]} file", "Unpack it first"
    elif magic in other:
        what = f"this is a capture in the form of {other[magic]}"
        mend = "Convert it: editcap -F pcapng OLD NEW"
    else:
        what, mend = "this is not a packet capture", "Give files that tcpdump or Wireshark wrote"
    return InputError(
        what, where=content.where, expected="pcap or pcapng, plain or gzip", mend=mend
    )
