"""A synthetic CICIDS2017, for machines that hold no data set.

:func:`generate` draws flows that look like the published ones to a decision tree: the same
78 columns in the same units, Table I's class proportions, the arithmetic of CICFlowMeter
between the columns, and a difficulty near the paper's Table V. It is a stand-in for running
the programs, not evidence about traffic; its provenance says ``synthetic``.

How a flow is made. Every published label is a mixture of *behaviours*. A behaviour is a
Gaussian copula over :data:`FIELDS`, the base quantities of a flow (port, duration, packet
counts, lengths, gaps, flags, windows, ...): correlated normal scores, each turned into a
value by the field's quantile function. Where a field is bounded by others it is drawn as a
position between its bounds, so any draw is a possible flow. All 78 columns are then computed
from the fields. On top, :data:`MIMICS` blur a few regions between classes, because behaviours
alone would be separable almost without error.

The behaviours were calibrated on 83,439 genuine flows. Only statistics are kept: quantiles,
correlations, and frequent values with their shares. They were written by ::

    python -m envs.calibration cicids2017-sample.csv.gz --out envs/data/synthetic.json

Source of the data set: Sharafaldin, Habibi Lashkari, Ghorbani, ICISSP 2018.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from envs.catalogue import PAPER, Catalogue
from envs.errors import InputError
from envs.flows import FEATURES, Flows, Progress, Provenance

Array = NDArray[np.float64]

PUBLISHED_COUNTS: Mapping[str, int] = {
    "BENIGN": 2_271_320,
    "DDoS": 128_025,
    "DoS Hulk": 230_124,
    "DoS GoldenEye": 10_293,
    "DoS slowloris": 5_796,
    "DoS Slowhttptest": 5_499,
    "FTP-Patator": 7_935,
    "Infiltration": 36,
    "Bot": 1_956,
    "Heartbleed": 11,
    "PortScan": 158_804,
    "SSH-Patator": 5_897,
    "Web Attack - Brute Force": 1_507,
    "Web Attack - XSS": 652,
    "Web Attack - Sql Injection": 21,
}
"""Flows per published label; merged to the paper's classes they are its Table I."""

LEAST_PER_CLASS = 5
"""Every class gets at least this many flows, so that any stratified split has some of each."""

LOGARITHMIC = frozenset(
    {
        "duration",
        "fwd packets",
        "bwd packets",
        "fwd max",
        "fwd min",
        "bwd max",
        "bwd min",
        "gap min",
        "fwd gap min",
        "bwd gap min",
        "active max",
    }
)
"""Fields that span decades: between two known quantiles they are interpolated in log(1 + x)."""

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

_DATA = "data/synthetic.json"
_CHUNK = 32_768  # rows per seeded piece: fixed, so that the flows depend on rows and seed only
_COLUMN = {name: i for i, name in enumerate(FEATURES)}


# --- how many flows of what -----------------------------------------------------------------


def apportion(total: int, weights: Mapping[str, float], *, least: int = 0) -> dict[str, int]:
    """Split ``total`` in proportion to ``weights`` by largest remainder.

    Args:
        total: the number to split; at least ``least * len(weights)``.
        weights: positive weight of each key.
        least: what every key gets at the very least; the others share what is left.

    Returns:
        Whole numbers that sum to ``total``, in the order of ``weights``. Equal remainders
        are settled in that order.
    """
    poor: set[str] = set()
    while True:
        left = total - least * len(poor)
        rich = {key: weight for key, weight in weights.items() if key not in poor}
        scale = left / sum(rich.values()) if rich else 0.0
        newly = {key for key, weight in rich.items() if weight * scale < least}
        if not newly:
            break
        poor |= newly
    shares = {key: weight * scale for key, weight in rich.items()}
    counts = {key: int(shares.get(key, least)) for key in weights}
    # Rounded, so that remainders which are equal but for rounding errors count as equal.
    by_remainder = sorted(shares, key=lambda key: round(counts[key] - shares[key], 6))
    for key in by_remainder[: total - sum(counts.values())]:
        counts[key] += 1
    return counts


def class_counts(rows: int, catalogue: Catalogue = PAPER) -> dict[str, int]:
    """Flows per class among ``rows``: Table I's proportions, at least a handful of each.

    Raises:
        InputError: too few rows for :data:`LEAST_PER_CLASS` flows of every class, or a
            catalogue whose labels are not the published ones.
    """
    fewest = LEAST_PER_CLASS * len(catalogue.classes)
    if rows < fewest:
        raise InputError(
            f"{rows} synthetic flows cannot hold {LEAST_PER_CLASS} of each of "
            f"{len(catalogue.classes)} classes",
            expected=f"at least {fewest} rows",
        )
    weights: dict[str, float] = {}
    for traffic in catalogue.classes:
        unknown = [label for label in traffic.labels if label not in PUBLISHED_COUNTS]
        if unknown or not traffic.labels:
            raise InputError(
                f"class {traffic.name!r} holds labels with no statistics: {unknown}",
                expected="labels out of " + ", ".join(PUBLISHED_COUNTS),
            )
        weights[traffic.name] = sum(PUBLISHED_COUNTS[label] for label in traffic.labels)
    return apportion(rows, weights, least=LEAST_PER_CLASS)


def label_counts(rows: int, catalogue: Catalogue = PAPER) -> dict[str, int]:
    """Flows per published label among ``rows``; within a class in the published proportions.

    Raises:
        InputError: as :func:`class_counts`.
    """
    per_class = class_counts(rows, catalogue)
    counts: dict[str, int] = {}
    for traffic in catalogue.classes:
        weights = {label: float(PUBLISHED_COUNTS[label]) for label in traffic.labels}
        counts |= apportion(per_class[traffic.name], weights)
    return counts


# --- behaviours -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Behaviour:
    """One way in which flows of a label behave: a Gaussian copula over :data:`FIELDS`.

    Attributes:
        label: the published label whose genuine flows it was calibrated on.
        share: its share of that label's flows.
        constants: fields that never vary.
        scores: per varying field, the normal scores at which its quantile is known.
        values: per varying field, those quantiles (in log(1 + x) where LOGARITHMIC).
        factor: lower Cholesky factor of the scores' correlation, float32.
    """

    label: str
    share: float
    constants: Mapping[str, float]
    scores: Mapping[str, Array]
    values: Mapping[str, Array]
    factor: NDArray[np.float32]

    def draw(self, rows: int, rng: np.random.Generator) -> dict[str, Array]:
        """``rows`` flows as float64 arrays [rows], one for each of :data:`FIELDS`."""
        fields = {name: np.full(rows, value) for name, value in self.constants.items()}
        normal = rng.standard_normal((rows, self.factor.shape[1]), dtype=np.float32)
        # Not a matrix product: its last digits depend on how many threads BLAS takes.
        correlated = np.einsum("ij,jn->in", self.factor, np.ascontiguousarray(normal.T))
        for row, (name, scores) in zip(correlated, self.scores.items(), strict=True):
            drawn = np.interp(row, scores, self.values[name])
            fields[name] = np.expm1(drawn) if name in LOGARITHMIC else drawn
        return fields

    def quantile(self, name: str, levels: Array) -> Array:
        """Quantiles of one field at the given ``levels`` between 0 and 1, float64."""
        if name in self.constants:
            return np.full(len(levels), self.constants[name])
        drawn = np.interp(ndtri(levels), self.scores[name], self.values[name])
        return np.expm1(drawn) if name in LOGARITHMIC else drawn


def behaviour_from_json(data: Mapping[str, Any]) -> Behaviour:
    """A behaviour as ``envs.calibration`` wrote it.

    Quantiles are stored as per-10,000 probabilities and plain values, correlations as
    per-mille, lower triangle row by row.
    """
    varying: Mapping[str, list[list[float]]] = data["quantiles"]
    scores = {k: ndtri(np.clip(np.array(q[0]) / 1e4, 1e-5, 1 - 1e-5)) for k, q in varying.items()}
    values = {
        name: np.log1p(quantiles[1]) if name in LOGARITHMIC else np.array(quantiles[1], float)
        for name, quantiles in varying.items()
    }
    size = len(varying)
    lower = np.zeros((size, size))
    lower[np.tril_indices(size, -1)] = np.array(data["correlations"]) / 1000
    factor = np.linalg.cholesky(lower + lower.T + np.eye(size)).astype(np.float32)
    return Behaviour(data["label"], data["share"], data["constants"], scores, values, factor)


@cache
def behaviours() -> tuple[Behaviour, ...]:
    """The behaviours that come with the package, as calibrated but for UNSTEADINESS."""
    text = resources.files("envs").joinpath(_DATA).read_text(encoding="utf-8")
    found = (behaviour_from_json(entry) for entry in json.loads(text)["behaviours"])
    return tuple(
        replace(b, factor=b.factor * np.float32(UNSTEADINESS.get(b.label, SCRIPTED))) for b in found
    )


# --- what blurs the classes -------------------------------------------------------------------


@dataclass(frozen=True)
class Sibling:
    """A label without statistics of its own behaves like ``label``, towards ``port``."""

    label: str
    port: int | None = None


SIBLINGS: Mapping[str, Sibling] = {
    # 20 genuine flows: injected through the same web form as the scripts.
    "Web Attack - Sql Injection": Sibling("Web Attack - XSS"),
    # 3 genuine flows, all towards 444: a compromised machine reports to its master, as bots do.
    "Infiltration": Sibling("Bot", port=444),
    # No genuine flow: long connections that keep a server's port 444 busy.
    "Heartbleed": Sibling("DoS GoldenEye", port=444),
}
"""Labels with too few genuine flows to calibrate on, and whose statistics they borrow."""


@dataclass(frozen=True)
class Meeting:
    """Flows of several labels that behave alike, so that no detector can tell them apart.

    Attributes:
        story: what happens there.
        label: the label one of whose behaviours they all show ...
        rank: ... and which: 0 is its most frequent one.
        flows: how many flows of each label, in a data set of the published size.
        rigid: all flows take the behaviour's medians and differ in duration alone, by
            RIGID_STEPS values. Equal flows of different labels then share a leaf, which
            is impure in training already. Otherwise they are spread as the behaviour is,
            and a grown tree learns each by heart: pure leaves that fail on new flows.
    """

    story: str
    label: str
    rank: int
    flows: Mapping[str, int]
    rigid: bool


RIGID_STEPS = 4
"""Distinct durations of a rigid meeting: few, so that each gathers flows in small data too."""

UNSTEADINESS: Mapping[str, float] = {
    "BENIGN": 1.0,
    "Bot": 0.6,
    "Web Attack - Brute Force": 0.3,
    "Web Attack - XSS": 0.3,
}
"""How far flows stray from their behaviour's medians: a factor on its normal scores.

People stray in full. Attacks are scripts that repeat themselves, but the genuine flows were
de-duplicated on their features, which hides the repetitions; :data:`SCRIPTED` undoes some of
that. The two rare classes repeat themselves more, as otherwise 160 flows to learn from (Web
in 300,000 rows) are too few for F1 above 0.9.
"""

SCRIPTED = 0.8
"""UNSTEADINESS of every other label."""

MEETINGS: tuple[Meeting, ...] = (
    Meeting(
        "a bot's beacon, and a poller of the same proxy port",
        *("Bot", 0),
        {"Bot": 260, "BENIGN": 140},
        rigid=True,
    ),
    Meeting(
        "short web requests, a few of them a bot's",
        *("BENIGN", 30),
        {"Bot": 140, "BENIGN": 270},
        rigid=True,
    ),
    Meeting(
        "web connections without a request: password guessing, and a bot that finds no master",
        *("Web Attack - Brute Force", 0),
        {"Web Attack - Brute Force": 80, "Bot": 60},
        rigid=True,
    ),
    Meeting(
        "web connections left idle: browsers, and a few of the guesser's",
        *("BENIGN", 32),
        {"Web Attack - Brute Force": 60, "BENIGN": 400},
        rigid=True,
    ),
    Meeting(
        "bare connections to port 22: guessing cut short, and scans",
        *("SSH-Patator", 2),
        {"SSH-Patator": 60, "PortScan": 40},
        rigid=True,
    ),
    Meeting(
        "bare connections to port 21: guessing cut short, and scans",
        *("FTP-Patator", 0),
        {"FTP-Patator": 80, "PortScan": 55},
        rigid=True,
    ),
    Meeting("a bot that browses", *("BENIGN", 40), {"Bot": 60}, rigid=False),
    Meeting("a client of the proxy port", *("Bot", 1), {"BENIGN": 40}, rigid=False),
)
"""Where classes meet. Together with UNSTEADINESS the only knobs of the difficulty.

Without meetings the mistakes of a decision tree are scattered. Those of real traffic have
their places, and that is what a learner of mitigations can exploit: where two labels with
different rankings meet in one leaf, the best action is often one that both rank, rather than
the first of the more frequent label.
"""


@cache
def mixture_of(label: str) -> tuple[Behaviour, ...]:
    """The behaviours of a published label, shares summing to 1: its own, then its meetings."""
    sibling = SIBLINGS.get(label, Sibling(label))
    own = [b for b in behaviours() if b.label == sibling.label]
    if sibling.port is not None:
        own = [_fixed(b, "port", float(sibling.port)) for b in own]
    met = []
    for meeting in MEETINGS:
        if label in meeting.flows:
            ranked = sorted((b for b in behaviours() if b.label == meeting.label), key=_rarity)
            like = _rigid(ranked[meeting.rank]) if meeting.rigid else ranked[meeting.rank]
            met.append(replace(like, share=meeting.flows[label] / PUBLISHED_COUNTS[label]))
    rest = (1 - sum(b.share for b in met)) / sum(b.share for b in own)
    return (*(replace(b, share=b.share * rest) for b in own), *met)


def _rarity(behaviour: Behaviour) -> float:
    return -behaviour.share


def _without(behaviour: Behaviour, names: set[str], constants: Mapping[str, float]) -> Behaviour:
    """The same with some fields made constant."""
    keep = [i for i, name in enumerate(behaviour.scores) if name not in names]
    # Rows of the factor, not of the matrix: dropping a row leaves the others' correlations,
    # and the columns stay as independent draws.
    return replace(
        behaviour,
        constants={**behaviour.constants, **constants},
        scores={k: v for k, v in behaviour.scores.items() if k not in names},
        values={k: v for k, v in behaviour.values.items() if k not in names},
        factor=behaviour.factor[keep],
    )


def _fixed(behaviour: Behaviour, name: str, value: float) -> Behaviour:
    return _without(behaviour, {name}, {name: value})


def _rigid(behaviour: Behaviour) -> Behaviour:
    """Every field at its median, but for RIGID_STEPS durations of equal frequency."""
    medians = {k: behaviour.quantile(k, np.array([0.5]))[0] for k in behaviour.scores}
    frozen = _without(behaviour, set(behaviour.scores) - {"duration"}, medians)
    levels = (np.arange(RIGID_STEPS) + 0.5) / RIGID_STEPS
    steps = np.rint(behaviour.quantile("duration", levels))
    edges = ndtri(np.clip(np.arange(RIGID_STEPS + 1) / RIGID_STEPS, 1e-5, 1 - 1e-5))
    return replace(
        frozen,
        scores={"duration": np.repeat(edges, 2)[1:-1]},
        values={"duration": np.repeat(np.log1p(steps), 2)},
    )


# --- from base quantities to the published columns --------------------------------------------


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
        float32 [78, n], rows as in :data:`envs.flows.FEATURES`.
    """
    size = len(fields["duration"])
    out = np.zeros((len(FEATURES), size), np.float32)
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


# --- drawing ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Piece:
    """Up to ``_CHUNK`` flows of one behaviour, drawn from a stream of their own."""

    behaviour: Behaviour
    actual: int
    rows: NDArray[np.intp]
    seed: tuple[int, ...]


def generate(
    rows: int, *, seed: int, catalogue: Catalogue = PAPER, progress: Progress | None = None
) -> Flows:
    """Draw ``rows`` synthetic flows in random order.

    Args:
        rows: how many, 2,827,876 for the published size; at least
            :data:`LEAST_PER_CLASS` for each class.
        seed: any non-negative integer. Equal rows, seed and catalogue give equal bits, on
            any number of processors; another processor type or numpy may round otherwise.
        catalogue: merges the published labels to classes.
        progress: told (flows done, rows) after every piece, from the calling thread.

    Returns:
        Flows with provenance ``synthetic``; ``labels`` counts the published labels.

    Raises:
        InputError: too few rows, a negative seed, or a catalogue whose labels are not the
            published ones.
    """
    if seed < 0:
        raise InputError(f"the seed is {seed}", expected="a whole number from 0 up")
    counts = label_counts(rows, catalogue)
    features = np.empty((rows, len(FEATURES)), np.float32)
    actual = np.empty(rows, np.int8)

    def draw(piece: _Piece) -> int:
        rng = np.random.default_rng(piece.seed)
        fields = piece.behaviour.draw(len(piece.rows), rng)
        features[piece.rows] = columns_of(fields).T
        actual[piece.rows] = piece.actual
        return len(piece.rows)

    done = 0
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for drawn in pool.map(draw, _pieces(rows, seed, counts, catalogue)):
            done += drawn
            if progress is not None:
                progress(done, rows)
    origin = {"rows": rows, "seed": seed}
    provenance = Provenance("synthetic", origin, rows_read=rows, labels=counts)
    return Flows(features, actual, provenance)


def _pieces(
    rows: int, seed: int, counts: Mapping[str, int], catalogue: Catalogue
) -> Iterator[_Piece]:
    """Which rows show which behaviour: all that is random about the flows' order."""
    order = np.random.default_rng((seed, 0)).permutation(rows)
    index = {name: i for i, c in enumerate(catalogue.classes) for name in c.labels}
    start = number = 0
    for label, count in counts.items():
        mixture = mixture_of(label)
        # Apportioned, not drawn: the difficulty is not to wander with the seed.
        sizes = apportion(count, {str(i): b.share for i, b in enumerate(mixture)})
        for behaviour, size in zip(mixture, sizes.values(), strict=True):
            for first in range(0, size, _CHUNK):
                stop = start + min(_CHUNK, size - first)
                number += 1
                yield _Piece(behaviour, index[label], order[start:stop], (seed, number))
                start = stop
