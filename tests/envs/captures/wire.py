"""Packets and captures made from bytes, and an independent count of what captures hold."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
TCP, UDP, ICMP, ICMP_6 = 6, 17, 1, 58
IPV4, IPV6, ARP, VLAN = 0x0800, 0x86DD, 0x0806, 0x8100

Conversation = tuple[int, frozenset[tuple[str, int]]]
"""Protocol, and both ends with their ports."""


@dataclass(frozen=True)
class Sent:
    """A packet: when, in microseconds, what, and how many bytes of it were captured."""

    time: int
    frame: bytes
    kept: int | None = None

    @property
    def captured(self) -> bytes:
        return self.frame if self.kept is None else self.frame[: self.kept]


def ethernet(payload: bytes, kind: int = IPV4) -> bytes:
    return b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02" + struct.pack(">H", kind) + payload


def vlan(payload: bytes, number: int, kind: int = IPV4) -> bytes:
    return ethernet(struct.pack(">HH", number, kind) + payload, VLAN)


def ipv4(source: str, target: str, protocol: int, payload: bytes, fragment: int = 0) -> bytes:
    size = 20 + len(payload)
    head = struct.pack(">BBHHHBBH", 0x45, 0, size, 7, fragment, 64, protocol, 0)
    return head + ip_address(source).packed + ip_address(target).packed + payload


def ipv6(source: str, target: str, protocol: int, payload: bytes) -> bytes:
    head = struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64)
    return head + ip_address(source).packed + ip_address(target).packed + payload


def tcp(source: int, target: int, flags: int, payload: bytes = b"") -> bytes:
    return struct.pack(">HHIIBBHHH", source, target, 1, 1, 5 << 4, flags, 512, 0, 0) + payload


def udp(source: int, target: int, payload: bytes = b"") -> bytes:
    return struct.pack(">HHHH", source, target, 8 + len(payload), 0) + payload


def icmp(kind: int = 8) -> bytes:
    return struct.pack(">BBHI", kind, 0, 0, 1) + b"ping"


def pcap(sent: Sequence[Sent], order: str = "<", *, nano: bool = False, link: int = 1) -> bytes:
    magic, units = (0xA1B23C4D, 1000) if nano else (0xA1B2C3D4, 1)
    parts = [struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65535, link)]
    for one in sent:
        seconds, fraction = divmod(one.time, 1_000_000)
        sizes = len(one.captured), len(one.frame)
        parts += [struct.pack(f"{order}IIII", seconds, fraction * units, *sizes), one.captured]
    return b"".join(parts)


def block(order: str, kind: int, body: bytes) -> bytes:
    body += b"\0" * (-len(body) % 4)
    size = struct.pack(f"{order}I", 12 + len(body))
    return struct.pack(f"{order}I", kind) + size + body + size


def section(order: str) -> bytes:
    return block(order, 0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(order: str, link: int = 1, *, nano: bool = False, kept: int = 0) -> bytes:
    options = struct.pack(f"{order}HHBxxxHH", 9, 1, 9, 0, 0) if nano else b""
    return block(order, 1, struct.pack(f"{order}HHI", link, 0, kept) + options)


def pcapng(sent: Sequence[Sent], order: str = "<", *, nano: bool = False, link: int = 1) -> bytes:
    parts = [section(order), interface(order, link, nano=nano)]
    for one in sent:
        ticks = one.time * (1000 if nano else 1)
        sizes = len(one.captured), len(one.frame)
        head = struct.pack(f"{order}IIIII", 0, ticks >> 32, ticks & 0xFFFFFFFF, *sizes)
        parts.append(block(order, 6, head + one.captured))
        # Statistics of the interface, which readers pass over.
        parts.append(block(order, 5, struct.pack(f"{order}III", 0, 0, 0)))
    return b"".join(parts)


def conversations(raw: bytes) -> Counter[Conversation]:
    """Packets by conversation in a little-endian Ethernet capture, counted without the product."""
    counts: Counter[Conversation] = Counter()
    for frame in _frames(raw):
        kind, place = struct.unpack_from(">H", frame, 12)[0], 14
        if kind == VLAN:
            kind, place = struct.unpack_from(">H", frame, 16)[0], 18
        if kind == IPV4:
            protocol, behind = frame[place + 9], place + 4 * (frame[place] & 15)
            ends = frame[place + 12 : place + 16], frame[place + 16 : place + 20]
            if struct.unpack_from(">H", frame, place + 6)[0] & 0x1FFF:
                continue
        elif kind == IPV6:
            protocol, behind = frame[place + 6], place + 40
            ends = frame[place + 8 : place + 24], frame[place + 24 : place + 40]
            while protocol in (0, 43, 60):
                protocol, behind = frame[behind], behind + 8 * (frame[behind + 1] + 1)
        else:
            continue
        ports = (0, 0)
        if protocol in (TCP, UDP):
            ports = struct.unpack_from(">HH", frame, behind)
        names = (str(ip_address(end)) for end in ends)
        counts[protocol, frozenset(zip(names, ports, strict=True))] += 1
    return counts


def _frames(raw: bytes) -> Iterator[bytes]:
    place = 24
    if raw[:4] == b"\x0a\x0d\x0d\x0a":
        place = 0
        while place < len(raw):
            kind, size = struct.unpack_from("<II", raw, place)
            if kind == 6:
                (captured,) = struct.unpack_from("<I", raw, place + 20)
                yield raw[place + 28 : place + 28 + captured]
            place += size
        return
    while place < len(raw):
        (captured,) = struct.unpack_from("<I", raw, place + 8)
        yield raw[place + 16 : place + 16 + captured]
        place += 16 + captured
