"""What a packet of a capture is, and which ones can be read."""

from __future__ import annotations

from typing import NamedTuple

from envs.errors import InputError

LARGEST = 262_144
"""Bytes of a packet that any capture holds at most; the tools that write them agree on it."""

LINK_TYPES = {
    0: "BSD loopback",
    1: "Ethernet",
    9: "PPP",
    12: "raw IP",
    14: "raw IP",
    50: "PPP in HDLC framing",
    101: "raw IP",
    104: "Cisco HDLC",
    113: "Linux cooked",
    127: "IEEE 802.11 with radiotap",
    228: "raw IPv4",
    229: "raw IPv6",
    276: "Linux cooked v2",
}
"""Link types that NFStream 6.6 reads, by their numbers in captures, and Linux cooked v2."""

COOKED, COOKED_2 = 113, 276


class Packet(NamedTuple):
    """One packet as a capture holds it.

    Attributes:
        link: its link type, a key of :data:`LINK_TYPES`.
        time: microseconds since 1970.
        length: bytes that it had on the wire.
        content: those of them that were captured, at most :data:`LARGEST`.
    """

    link: int
    time: int
    length: int
    content: bytes


def damaged(where: str, what: str, whole: int | None = None) -> InputError:
    """The error for a capture that makes no sense from some place on.

    Args:
        where: the file.
        what: what is wrong, as a clause.
        whole: packets before that place, where they are worth keeping.
    """
    return InputError(
        "the capture is damaged"
        + (f" after {whole:,} packets" if whole is not None else "")
        + f": {what}",
        where=where,
        expected=f"packets of at most {LARGEST:,} bytes that follow each other",
        mend="Copy it again from where it came from"
        + (f", or keep what is whole: tcpdump -r OLD -c {whole} -w NEW" if whole else ""),
    )


def check_link(where: str, link: int) -> None:
    """Checks that packets of a link type can be read.

    Raises:
        InputError: they cannot.
    """
    if link not in LINK_TYPES:
        raise InputError(
            f"packets of link type {link} cannot be read",
            where=where,
            expected=", ".join(sorted(set(LINK_TYPES.values()))),
            mend="Capture on an interface of such a type, for example: tcpdump -i eth0",
        )
