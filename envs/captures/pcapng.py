"""Captures in the newer form (.pcapng), see the IETF's draft-ietf-opsawg-pcapng."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from envs.captures.content import Content, CutOffError
from envs.captures.packets import LARGEST, Packet, check_link, damaged
from envs.errors import InputError

MAGIC = b"\x0a\x0d\x0d\x0a"

_LARGEST_BLOCK = 2**24
_ORDERS = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 1, 2, 3, 6
_RESOLUTION, _OFFSET = 9, 14


@dataclass(frozen=True)
class _Interface:
    """Attributes: link type, units of time per second, seconds to add, bytes of a packet kept."""

    link: int
    per_second: int
    offset: int
    kept: int


@dataclass
class _Section:
    """A part of the file with its own byte order and interfaces."""

    order: str
    interfaces: list[_Interface] = field(default_factory=list)


class _Reader:
    def __init__(self, content: Content) -> None:
        self._content, self._count, self._time = content, 0, 0
        self.begun = False

    def packets(self) -> Iterator[Packet]:
        section = self._section()
        self.begun = True
        while head := self._content.take(8, may_end=True):
            if head[:4] == MAGIC:
                section = self._section(head[4:])
                continue
            kind, size = struct.unpack(f"{section.order}II", head)
            body = self._body(section, size)
            if kind == _INTERFACE:
                section.interfaces.append(self._interface(section.order, body))
            elif kind in (_PACKET, _OLD_PACKET, _SIMPLE_PACKET):
                yield self._packet(section, kind, body)
                self._count += 1

    def _damaged(self, what: str) -> InputError:
        return damaged(self._content.where, what, self._count)

    def _section(self, size: bytes = b"") -> _Section:
        """Reads a section's header; the four bytes before its size are read already."""
        size = size or self._content.take(4)
        order = _ORDERS.get(self._content.take(4))
        if order is None:
            raise self._damaged("the byte order of a section cannot be told")
        section = _Section(order)
        # The byte order was read already.
        self._body(section, struct.unpack(f"{order}I", size)[0], known=12)
        return section

    def _body(self, section: _Section, size: int, known: int = 8) -> bytes:
        if size % 4 or not known + 4 <= size <= _LARGEST_BLOCK:
            raise self._damaged(f"the next block claims {size:,} bytes")
        body = self._content.take(size - known)
        if struct.unpack(f"{section.order}I", body[-4:])[0] != size:
            raise self._damaged("a block's two lengths differ")
        return body[:-4]

    def _interface(self, order: str, body: bytes) -> _Interface:
        link, _, kept = struct.unpack_from(f"{order}HHI", body)
        per_second, offset, place = 1_000_000, 0, 8
        while place + 4 <= len(body):
            code, length = struct.unpack_from(f"{order}HH", body, place)
            value = body[place + 4 : place + 4 + length]
            if code == _RESOLUTION and length == 1:
                power = value[0] & 0x7F
                per_second = 2**power if value[0] & 0x80 else 10**power
            elif code == _OFFSET and length == 8:
                (offset,) = struct.unpack(f"{order}q", value)
            place += 4 + length + -length % 4
        return _Interface(link, per_second, offset, kept)

    def _packet(self, section: _Section, kind: int, body: bytes) -> Packet:
        order = section.order
        if kind == _SIMPLE_PACKET:
            number, start, ticks = 0, 4, None
            (length,) = struct.unpack_from(f"{order}I", body)
            captured = length
        else:
            form, start = f"{order}{'I' if kind == _PACKET else 'Hxx'}IIII", 20
            number, high, low, captured, length = struct.unpack_from(form, body)
            ticks = high << 32 | low
        if number >= len(section.interfaces):
            raise self._damaged(f"the next one is of interface {number}, which is not described")
        interface = section.interfaces[number]
        if kind == _SIMPLE_PACKET:
            captured = min(captured, interface.kept or captured, len(body) - start)
        if captured > min(LARGEST, len(body) - start):
            raise self._damaged(f"the next one claims {captured:,} bytes")
        check_link(self._content.where, interface.link)
        if ticks is not None:
            # A simple packet has no time of its own; it came after the one before it.
            self._time = ticks * 1_000_000 // interface.per_second + interface.offset * 1_000_000
        content = body[start : start + captured]
        return Packet(interface.link, self._time, max(length, captured), content)


def packets_of(content: Content) -> Iterator[Packet]:
    """All packets behind the first four bytes of a file.

    Raises:
        CutOffError: the file ends within a block.
        InputError: it is damaged, or a packet's link type cannot be read.
    """
    reader = _Reader(content)
    try:
        yield from reader.packets()
    except CutOffError:
        if reader.begun:
            raise
        raise InputError(
            "the file ends within its header",
            where=content.where,
            expected="a section header, an interface and packets",
            mend="Copy it again from where it came from",
        ) from None
