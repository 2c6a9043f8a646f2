"""What tells one flow from another, in a form that can be compared: ids, both ends, times.

Tools write the same thing in many ways: addresses of IPv6 with or without zeros, protocols by
name or number, times in seconds, in milliseconds or as text.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from envs.datasets.labels import is_missing
from envs.datasets.tables.rows import Words, is_number, number_of
from envs.errors import InputError, quoted

ENDS = ("src_ip", "src_port", "dst_ip", "dst_port")
"""The keys that both ends of a flow are told by."""

_PROTOCOLS = {"icmp": "1", "igmp": "2", "tcp": "6", "udp": "17", "gre": "47", "esp": "50"} | {
    "ah": "51", "icmp6": "58", "icmpv6": "58", "ipv6-icmp": "58", "sctp": "132"
}  # fmt: skip

_WHOLE = re.compile(r"(\d+)\.0+")

_SCALES = ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3))
"""Seconds since 1970 have ten digits today; thirteen are milliseconds, and so on."""


def ids(words: Words) -> list[str]:
    """The id of each row, ``""`` where there is none."""
    # Tools that count in floats write the id 12 as 12.0.
    cells = ["" if is_missing(word) else _WHOLE.sub(r"\1", word.strip()) for word in words.words]
    return [cells[code] for code in words.codes.tolist()]


def pairs(keys: Mapping[str, Words], *, with_protocol: bool) -> list[str]:
    """Both ends of each flow, the same for both directions."""
    from_ip, from_port, to_ip, to_port = (
        _cells(keys[key], _address if key.endswith("ip") else _port) for key in ENDS
    )
    size = len(from_ip)
    protocols = _cells(keys["protocol"], _protocol) if with_protocol else [""] * size
    found = []
    for a, p, b, q, protocol in zip(from_ip, from_port, to_ip, to_port, protocols, strict=True):
        one, other = sorted((f"{a} {p}", f"{b} {q}"))
        found.append(f"{one} - {other} {protocol}".strip() if a and b else "")
    return found


def _cells(words: Words, read: Callable[[str], str]) -> list[str]:
    cells = ["" if is_missing(word) else read(word.strip()) for word in words.words]
    return [cells[code] for code in words.codes.tolist()]


def _address(cell: str) -> str:
    try:
        return ipaddress.ip_address(cell).compressed
    except ValueError:
        return cell.casefold()


def _port(cell: str) -> str:
    number = number_of(cell) if is_number(cell) else float("nan")
    return str(int(number)) if np.isfinite(number) else cell


def _protocol(cell: str) -> str:
    return _PROTOCOLS.get(cell.casefold()) or _port(cell.casefold())


def times(words: Words, where: str) -> NDArray[np.float64]:
    """Seconds since 1970, NaN where there is none."""
    found = np.array([_seconds(word.strip(), where) for word in words.words], np.float64)
    return found[words.codes]


def _seconds(cell: str, where: str) -> float:
    if is_missing(cell):
        return float("nan")
    if is_number(cell):
        number = number_of(cell)
        return number * next((scale for least, scale in _SCALES if number >= least), 1.0)
    text = cell.replace("/", "-") if re.match(r"\d{4}/", cell) else cell
    try:
        told = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f"{quoted(cell, 60)} is no time that can be read in one way alone",
            where=where,
            expected="seconds or milliseconds since 1970, or a time such as "
            "2017-07-05T19:46:12+00:00",
            mend="Write times in one of these ways, or join by an id",
        ) from error
    return (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
