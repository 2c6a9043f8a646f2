"""What flows of each published label are like: copulas, their mixtures, where classes meet.

Every label is a mixture of *behaviours*. A behaviour is a Gaussian copula over
:data:`envs.datasets.synthetic.arithmetic.FIELDS`, the base quantities of a flow: correlated
normal scores, each turned into a value by the field's quantile function. Where a field is bounded
by others it is drawn as a position between its bounds, so any draw is a possible flow. On top,
:data:`MEETINGS` blur a few regions between classes, because behaviours alone would be
separable almost without error.

The behaviours were calibrated on 83,439 genuine flows. Only statistics are kept: quantiles,
correlations, and frequent values with their shares. They were written by ::

    python -m rayapp.lab.calibration SAMPLE.csv.gz --out statistics.json

Source of the data set: Sharafaldin, Habibi Lashkari, Ghorbani, ICISSP 2018.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from envs.datasets.cicids2017 import PUBLISHED_COUNTS
from envs.datasets.synthetic.arithmetic import Array

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

_DATA = "statistics.json"


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
    """A behaviour as ``rayapp.lab.calibration`` wrote it.

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
    text = resources.files("envs.datasets.synthetic").joinpath(_DATA).read_text(encoding="utf-8")
    found = (behaviour_from_json(entry) for entry in json.loads(text)["behaviours"])
    return tuple(
        replace(b, factor=b.factor * np.float32(UNSTEADINESS.get(b.label, SCRIPTED))) for b in found
    )


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
