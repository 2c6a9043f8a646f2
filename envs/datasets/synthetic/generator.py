"""A synthetic CICIDS2017, for machines that hold no data set.

:func:`generate` draws flows that look like the published ones to a decision tree: the same
78 columns in the same units, Table I's class proportions, the arithmetic of CICFlowMeter
between the columns (:mod:`envs.datasets.synthetic.arithmetic`), and a difficulty near the paper's
Table V (:mod:`envs.datasets.synthetic.behaviours`). It is a stand-in for running the programs, not
evidence about traffic, and its provenance says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import Catalogue
from envs.datasets.cicflowmeter import SCHEMA
from envs.datasets.cicids2017 import PUBLISHED_COUNTS
from envs.datasets.synthetic.arithmetic import columns_of
from envs.datasets.synthetic.behaviours import mixture_of
from envs.errors import InputError
from envs.flows import Flows, Progress, Provenance

KIND = "synthetic"

LEAST_PER_CLASS = 5
"""Every class gets at least this many flows, so that any stratified split has some of each."""

_CHUNK = 32_768  # rows per seeded piece: fixed, so that the flows depend on rows and seed only


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


def class_counts(rows: int, catalogue: Catalogue) -> dict[str, int]:
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


def label_counts(rows: int, catalogue: Catalogue) -> dict[str, int]:
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


@dataclass(frozen=True)
class Piece:
    """Up to ``_CHUNK`` flows of one behaviour, drawn from a stream of their own.

    Attributes:
        label: the published label.
        rank: of the behaviour in the label's mixture.
        start: place of the first flow among all flows, before they are put in order.
        size: how many flows.
        seed: of the stream.
    """

    label: str
    rank: int
    start: int
    size: int
    seed: tuple[int, ...]

    def draw(self) -> NDArray[np.float32]:
        """The flows' features, float32 [size, 78]."""
        behaviour = mixture_of(self.label)[self.rank]
        return columns_of(behaviour.draw(self.size, np.random.default_rng(self.seed))).T


def generate(
    rows: int, *, seed: int, catalogue: Catalogue, progress: Progress | None = None
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
    pieces = list(cut(rows, seed=seed, catalogue=catalogue))
    order = order_of(rows, seed=seed)
    features = np.empty((rows, len(SCHEMA)), np.float32)
    actual = np.empty(rows, np.int8)
    index = {name: i for i, c in enumerate(catalogue.classes) for name in c.labels}

    def draw(piece: Piece) -> int:
        places = order[piece.start : piece.start + piece.size]
        features[places] = piece.draw()
        actual[places] = index[piece.label]
        return piece.size

    done = 0
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for drawn in pool.map(draw, pieces):
            done += drawn
            if progress is not None:
                progress(done, rows)
    origin = provenance(rows, seed=seed, catalogue=catalogue)
    return Flows(features, actual, origin, catalogue, SCHEMA)


def provenance(rows: int, *, seed: int, catalogue: Catalogue) -> Provenance:
    """Where ``rows`` synthetic flows come from."""
    origin = {"rows": rows, "seed": seed}
    labels = label_counts(rows, catalogue)
    return Provenance(KIND, origin, rows_read=rows, labels=labels, synthetic=True)


def order_of(rows: int, *, seed: int) -> NDArray[np.int64]:
    """The row that each flow gets, int64 [rows]: all that is random about the flows' order."""
    return np.random.default_rng((seed, 0)).permutation(rows)


def cut(rows: int, *, seed: int, catalogue: Catalogue) -> Iterator[Piece]:
    """The pieces that synthetic flows are drawn in; each can be drawn by itself, anywhere.

    Raises:
        InputError: as :func:`generate`.
    """
    if seed < 0:
        raise InputError(f"the seed is {seed}", expected="a whole number from 0 up")
    start = number = 0
    for label, count in label_counts(rows, catalogue).items():
        mixture = mixture_of(label)
        # Apportioned, not drawn: the difficulty is not to wander with the seed.
        sizes = apportion(count, {str(i): b.share for i, b in enumerate(mixture)})
        for rank, size in enumerate(sizes.values()):
            for first in range(0, size, _CHUNK):
                number += 1
                drawn = min(_CHUNK, size - first)
                yield Piece(label, rank, start, drawn, (seed, number))
                start += drawn
