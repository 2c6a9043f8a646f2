"""CICFlowMeter's arithmetic: from a flow's base quantities to the 78 published columns.

The base quantities are what a flow is free in; means, rates, totals and copies follow from
them by the identities that hold in the published files. It knows nothing of classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.datasets.cicflowmeter import SCHEMA

Array = NDArray[np.float64]

FIELDS: tuple[str, ...] = (
    "port",
    "duration",  # microseconds
    "fwd packets",
    "bwd packets",
    "fwd max",  # bytes of payload per packet
    "fwd min",
    "fwd mean",  # position between the bounds that count, min and max leave
    "fwd std",
    "bwd max",
    "bwd min",
    "bwd mean",
    "bwd std",
    "first",  # position of the first packet's length between fwd min and fwd max
    "gap max",  # position between the mean gap and the duration
    "gap min",  # microseconds
    "gap std",
    "fwd gap total",  # share of the duration
    "fwd gap max",
    "fwd gap min",
    "fwd gap std",
    "bwd gap total",
    "bwd gap max",
    "bwd gap min",
    "bwd gap std",
    "flags",  # bits of FLAG_COLUMNS
    "fwd header extra",  # header bytes per packet above the smallest segment
    "bwd header",  # header bytes per packet
    "fwd window",  # bytes, -1 when there was none
    "bwd window",
    "active packets",  # share of the forward packets after the first that carry payload
    "smallest segment",  # bytes
    "idle",  # 1 when a gap beyond the activity timeout was recorded as idle
    "idle min",  # position between the timeout and idle max
    "idle mean",  # position between idle min and idle max
    "idle std",  # share of (max - min) / sqrt 2
    "active max",  # microseconds
    "active min",  # share of active max
    "active mean",
    "active std",
)
"""The base quantities of a flow. Behaviours draw these; every published column follows."""

FLAG_COLUMNS: tuple[tuple[str, ...], ...] = (
    ("FIN Flag Count",),
    # In the published files the next pairs are equal in every row.
    ("SYN Flag Count", "Fwd PSH Flags"),
    ("RST Flag Count", "ECE Flag Count"),
    ("PSH Flag Count",),
    ("ACK Flag Count",),
    ("URG Flag Count",),
    ("CWE Flag Count", "Fwd URG Flags"),
)
"""Published columns of each bit of the field ``flags``, lowest bit first."""

ACTIVITY_TIMEOUT = 5_000_000
"""Microseconds of silence after which CICFlowMeter calls a flow idle."""

_COLUMN = {name: i for i, name in enumerate(SCHEMA.names)}


def std_bounds(count: Array, low: Array, high: Array, mean: Array) -> tuple[Array, Array]:
    """Least and greatest sample standard deviation of ``count`` numbers.

    They are known to have minimum ``low``, maximum ``high`` and mean ``mean``. Up to three
    numbers are fixed by that, so both bounds agree; below two, both are 0.
    """
    others = np.maximum(count - 2, 1)
    middle = (count * mean - low - high) / others
    least = (low - mean) ** 2 + (high - mean) ** 2
    least = least + np.where(count > 2, others * (middle - mean) ** 2, 0)
    most = count * np.maximum((high - mean) * (mean - low), 0)
    most = np.where(count > 3, np.maximum(most, least), least)
    freedom = np.maximum(count - 1, 1)
    several = count > 1
    return (
        np.where(several, np.sqrt(np.maximum(least, 0) / freedom), 0),
        np.where(several, np.sqrt(np.maximum(most, 0) / freedom), 0),
    )


def _between(position: Array, low: Array, high: Array) -> Array:
    return low + np.clip(position, 0, 1) * (high - low)


@dataclass(frozen=True)
class _Summary:
    """Count, sum, minimum, maximum, mean and sample standard deviation of some numbers."""

    count: Array
    total: Array
    low: Array
    high: Array
    mean: Array
    std: Array

    @property
    def squares(self) -> Array:
        """Sum of the squared numbers."""
        return self.std**2 * np.maximum(self.count - 1, 0) + self.count * self.mean**2


def _lengths(fields: Mapping[str, Array], way: str, count: Array) -> _Summary:
    """Payload lengths of one direction's packets, in bytes."""
    present = count > 0
    high = np.where(present, np.rint(fields[f"{way} max"]), 0)
    low = np.where(count > 1, np.minimum(np.rint(fields[f"{way} min"]), high), high)
    least, most = (count - 1) * low + high, low + (count - 1) * high
    total = np.rint(_between(fields[f"{way} mean"], least, most))
    total = np.where(present, total, 0)
    mean = total / np.maximum(count, 1)
    std = _between(fields[f"{way} std"], *std_bounds(count, low, high, mean))
    return _Summary(count, total, low, high, mean, std)


def _gaps(fields: Mapping[str, Array], way: str, count: Array, total: Array) -> _Summary:
    """Times between packets, in microseconds: ``count`` gaps that sum to ``total``."""
    count = np.maximum(count, 0)
    total = np.where(count > 0, total, 0)
    mean = total / np.maximum(count, 1)
    high = np.floor(_between(fields[f"{way} max"], mean, total))
    high = np.where(count > 1, np.maximum(high, np.ceil(mean)), total)
    rest = np.floor((total - high) / np.maximum(count - 1, 1))
    # Neither so long that the others cannot reach it, nor so short that they cannot make up.
    drawn = np.maximum(np.rint(fields[f"{way} min"]), total - (count - 1) * high)
    low = np.where(count > 2, np.minimum(drawn, rest), rest)
    low = np.where(count > 1, low, total)
    std = _between(fields[f"{way} std"], *std_bounds(count, low, high, mean))
    return _Summary(count, total, low, high, mean, std)


def columns_of(fields: Mapping[str, Array]) -> NDArray[np.float32]:
    """The 78 published columns of flows given by their base quantities.

    Args:
        fields: float64 [n] for each of :data:`FIELDS`; values out of bounds are moved
            to the nearest possible one.

    Returns:
        float32 [78, n], rows as in :data:`envs.datasets.cicflowmeter.SCHEMA`.
    """
    size = len(fields["duration"])
    out = np.zeros((len(SCHEMA), size), np.float32)
    fwd_count = np.maximum(np.rint(fields["fwd packets"]), 1)
    bwd_count = np.maximum(np.rint(fields["bwd packets"]), 0)
    # CICFlowMeter has no flow of one packet: one gap at least makes a duration.
    fwd_count = np.where(bwd_count == 0, np.maximum(fwd_count, 2), fwd_count)
    duration = np.maximum(np.rint(fields["duration"]), 1)
    fwd, bwd = _lengths(fields, "fwd", fwd_count), _lengths(fields, "bwd", bwd_count)
    columns = {
        "Destination Port": np.clip(np.rint(fields["port"]), 0, 65_535),
        "Flow Duration": duration,
        **_length_columns(fields, fwd, bwd),
        **_rate_columns(duration, fwd, bwd),
        **_gap_columns(fields, duration, fwd_count, bwd_count),
        **_header_columns(fields, fwd, bwd),
    }
    for name, values in columns.items():
        out[_COLUMN[name]] = values
    flags = np.rint(fields["flags"]).astype(np.int64)
    for bit, names in enumerate(FLAG_COLUMNS):
        for name in names:
            out[_COLUMN[name]] = (flags >> bit) & 1
    return out


def _length_columns(fields: Mapping[str, Array], fwd: _Summary, bwd: _Summary) -> dict[str, Array]:
    columns: dict[str, Array] = {}
    for way, full, side in (("Fwd", "Fwd", fwd), ("Bwd", "Backward", bwd)):
        columns |= {
            f"Total {full} Packets": side.count,
            f"Total Length of {way} Packets": side.total,
            f"{way} Packet Length Max": side.high,
            f"{way} Packet Length Min": side.low,
            f"{way} Packet Length Mean": side.mean,
            f"{way} Packet Length Std": side.std,
            f"Avg {way} Segment Size": side.mean,
            f"Subflow {way} Packets": side.count,
            f"Subflow {way} Bytes": side.total,
        }
    first = np.rint(_between(fields["first"], fwd.low, fwd.high))
    count, total = fwd.count + bwd.count, fwd.total + bwd.total
    # CICFlowMeter counts the first packet twice here, and its mean once too seldom below.
    mean = (total + first) / (count + 1)
    squares = fwd.squares + bwd.squares + first**2
    variance = np.maximum(squares - (count + 1) * mean**2, 0) / count
    low = np.where(bwd.count > 0, np.minimum(fwd.low, bwd.low), fwd.low)
    return columns | {
        "Min Packet Length": low,
        "Max Packet Length": np.maximum(fwd.high, bwd.high),
        "Packet Length Mean": mean,
        "Packet Length Std": np.sqrt(variance),
        "Packet Length Variance": variance,
        "Average Packet Size": (total + first) / count,
        "Down/Up Ratio": np.floor(bwd.count / fwd.count),
    }


def _rate_columns(duration: Array, fwd: _Summary, bwd: _Summary) -> dict[str, Array]:
    per_second = 1e6 / duration
    return {
        "Flow Bytes/s": (fwd.total + bwd.total) * per_second,
        "Flow Packets/s": (fwd.count + bwd.count) * per_second,
        "Fwd Packets/s": fwd.count * per_second,
        "Bwd Packets/s": bwd.count * per_second,
    }


def _gap_columns(
    fields: Mapping[str, Array], duration: Array, fwd_count: Array, bwd_count: Array
) -> dict[str, Array]:
    flow = _gaps(fields, "gap", fwd_count + bwd_count - 1, duration)
    fwd_total = np.rint(np.clip(fields["fwd gap total"], 0, 1) * duration)
    bwd_total = np.rint(np.clip(fields["bwd gap total"], 0, 1) * duration)
    fwd = _gaps(fields, "fwd gap", fwd_count - 1, fwd_total)
    # With no packet in return, the forward gaps are the flow's gaps.
    alone = bwd_count == 0
    fwd = _Summary(
        *(np.where(alone, getattr(flow, k), getattr(fwd, k)) for k in _Summary.__annotations__)
    )
    bwd = _gaps(fields, "bwd gap", bwd_count - 1, bwd_total)
    columns = {"Fwd IAT Total": fwd.total, "Bwd IAT Total": bwd.total}
    for name, gaps in (("Flow", flow), ("Fwd", fwd), ("Bwd", bwd)):
        columns |= {
            f"{name} IAT Mean": gaps.mean,
            f"{name} IAT Std": gaps.std,
            f"{name} IAT Max": gaps.high,
            f"{name} IAT Min": gaps.low,
        }
    return columns | _rest_columns(fields, duration, flow.high)


def _rest_columns(fields: Mapping[str, Array], duration: Array, longest: Array) -> dict[str, Array]:
    """Idle and active periods, in microseconds; a flow without a long gap has neither."""
    idle = (longest > ACTIVITY_TIMEOUT) & (fields["idle"] > 0.5)
    idle_min = np.rint(
        _between(fields["idle min"], np.full_like(longest, ACTIVITY_TIMEOUT), longest)
    )
    active_max = np.minimum(np.rint(fields["active max"]), duration - longest)
    active_min = np.rint(np.clip(fields["active min"], 0, 1) * active_max)
    # One idle period has one active period before it: neither has a spread.
    active_min = np.where(idle_min < longest, active_min, active_max)
    columns: dict[str, Array] = {}
    for name, low, high in (("Idle", idle_min, longest), ("Active", active_min, active_max)):
        key = name.lower()
        spread = np.clip(fields[f"{key} std"], 0, 1) * (high - low) / np.sqrt(2)
        for column, values in (
            ("Mean", _between(fields[f"{key} mean"], low, high)),
            ("Std", spread),
            ("Max", high),
            ("Min", low),
        ):
            columns[f"{name} {column}"] = np.where(idle, values, 0)
    return columns


def _header_columns(fields: Mapping[str, Array], fwd: _Summary, bwd: _Summary) -> dict[str, Array]:
    segment = 4 * np.rint(fields["smallest segment"] / 4)
    # Headers come in words of four bytes.
    extra = 4 * np.rint(np.maximum(fields["fwd header extra"], 0) * fwd.count / 4)
    header = segment * fwd.count + extra
    later = np.where(fwd.high > 0, fwd.count - 1, 0)
    return {
        "Fwd Header Length": header,
        "Fwd Header Length.1": header,
        "Bwd Header Length": 4 * np.rint(np.maximum(fields["bwd header"], 0) * bwd.count / 4),
        "Init_Win_bytes_forward": np.clip(np.rint(fields["fwd window"]), -1, 65_535),
        "Init_Win_bytes_backward": np.clip(np.rint(fields["bwd window"]), -1, 65_535),
        "act_data_pkt_fwd": np.rint(np.clip(fields["active packets"], 0, 1) * later),
        "min_seg_size_forward": segment,
    }
