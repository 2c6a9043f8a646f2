"""Parts flows in two by chance, every class in proportion.

The parts are those of scikit-learn's ``train_test_split(stratify=...)`` to the bit, and stay so:
they rest on numpy's ``RandomState`` alone, whose numbers never change from version to version.
Splits need no second to import scikit-learn, and no Python list of all flows.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def stratified_parts(actual: NDArray[np.int8], share: float, *, seed: int) -> tuple[Rows, Rows]:
    """Parts flows in two.

    Args:
        actual: int8 [n], class indices.
        share: of the second part, between 0 and 1.
        seed: of the draw.

    Returns:
        Row numbers of the first and of the second part, int64, each shuffled.

    Raises:
        ValueError: a class has one flow, or a part would have fewer flows than there are classes.
    """
    _, classes, counts = np.unique(actual, return_inverse=True, return_counts=True)
    second = math.ceil(share * len(actual))
    first = len(actual) - second
    if np.any(counts < 2) or min(first, second) < max(1, len(counts)):
        raise ValueError("a class has too few flows")
    rng = np.random.RandomState(seed)
    sizes = _shared_out(counts, first, rng)
    others = _shared_out(counts - sizes, second, rng)
    by_class = np.split(np.argsort(classes, kind="stable"), counts.cumsum()[:-1])
    parts: tuple[list[Rows], list[Rows]] = [], []
    for rows, size, other in zip(by_class, sizes, others, strict=True):
        shuffled = rows[rng.permutation(len(rows))]
        parts[0].append(shuffled[:size])
        parts[1].append(shuffled[size : size + other])
    return rng.permutation(np.concatenate(parts[0])), rng.permutation(np.concatenate(parts[1]))


def _shared_out(counts: Rows, size: int, rng: np.random.RandomState) -> Rows:
    """Parts of ``counts`` in proportion that add up to ``size``, by largest remainder."""
    shares = counts / counts.sum() * size
    whole = np.floor(shares)
    missing = int(size - whole.sum())
    remainders = shares - whole
    for remainder in np.unique(remainders)[::-1]:
        if missing <= 0:
            break
        alike = np.flatnonzero(remainders == remainder)
        chosen = rng.choice(alike, min(len(alike), missing), replace=False)
        whole[chosen] += 1
        missing -= len(chosen)
    sizes: Rows = whole.astype(np.int64)
    return sizes
