"""Stretches of the flow stream, and the random numbers that pick actions there; no Ray."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_STREAM_OF_ACTIONS = 1
"""Sets the actions' random numbers apart from those that shuffle the flows."""


@dataclass(frozen=True)
class Slice:
    """A stretch of the flow stream: ``count`` flows from place ``start`` on."""

    start: int
    count: int


def slices(start: int, count: int, parts: int) -> list[Slice]:
    """A stretch of the stream, cut into ``parts`` contiguous slices of nearly equal length."""
    edges = [start + count * part // parts for part in range(parts + 1)]
    return [Slice(a, b - a) for a, b in itertools.pairwise(edges) if b > a]


def action_noise(seed: int, piece: Slice) -> NDArray[np.float64]:
    """One uniform random number in [0, 1) per place of the stream, float64 [count].

    A counter-based generator gives each place its own number, whoever asks for it.
    """
    # Philox makes four numbers per counter step.
    block, offset = divmod(piece.start, 4)
    generator = np.random.Philox(key=[seed, _STREAM_OF_ACTIONS])
    generator.advance(block)
    return np.random.Generator(generator).random(offset + piece.count)[offset:]


def pick_actions(
    probabilities: NDArray[np.float64], rows: NDArray[np.integer[Any]], noise: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Samples one action per flow by inverting its row's cumulative distribution.

    Args:
        probabilities: float64 [contexts, actions], rows sum to 1.
        rows: [n], the context of each flow.
        noise: float64 [n] in [0, 1).

    Returns:
        int64 [n], actions.
    """
    contexts, actions = probabilities.shape
    cumulative = np.cumsum(probabilities, axis=1)
    cumulative /= cumulative[:, -1:]
    # All rows laid end to end, each shifted by its number, are one ascending sequence.
    ladder = (cumulative + np.arange(contexts)[:, None]).ravel()
    # Rounding may lift row + noise to the next row's first rung.
    ends = np.nextafter(np.arange(contexts) + 1.0, 0.0)
    wanted = np.minimum(rows + noise, ends[rows])
    # Most policies mean one action per context; its rungs alone tell most flows' action.
    likeliest = probabilities.argmax(axis=1)
    upper = np.arange(contexts) * actions + likeliest
    below = np.where(likeliest > 0, ladder[upper - 1], -np.inf)
    picked: NDArray[np.int64] = likeliest[rows]
    others = np.flatnonzero((wanted < below[rows]) | (wanted >= ladder[upper][rows]))
    searched = np.searchsorted(ladder, wanted[others], side="right")
    picked[others] = searched - rows[others].astype(np.int64) * actions
    return picked
