"""Features sorted once into bins, by which the best split of many flows is found by counting.

A decision tree's dearest work is sorting every feature anew at every node. Here each feature is
sorted once for all nodes, and cut into some thousand bins of about as many flows each; a node
then counts classes per bin, which needs one pass and no sorting. No split is lost by that:
:mod:`envs.detector.splitting` looks into every bin that may hide a better one.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_PIECES = 2_048
"""Bins of about as many flows; a value that fills a bin gets its own, so there may be more."""

_CODES = 2**16


@dataclass(frozen=True)
class Binned:
    """Bins and classes of all flows.

    Attributes:
        codes: uint16 [features, n], bin * classes + class.
        bins: number of bins of each feature.
        single: whether each of a feature's bins holds one distinct value.
        classes: number of classes.
    """

    codes: NDArray[np.uint16]
    bins: tuple[int, ...]
    single: tuple[bool, ...]
    classes: int

    @classmethod
    def of(cls, features: NDArray[np.float32], actual: NDArray[np.integer], classes: int) -> Binned:
        """Bins every feature; takes twice as much memory as half of ``features`` has.

        Args:
            features: float32 [n, features], finite.
            actual: [n], class numbers from 0.
            classes: their number, at most 127.
        """
        codes = np.empty(features.shape[::-1], np.uint16)
        pieces = max(2, min(_PIECES, _CODES // classes // 3 - 1))

        def fill(feature: int) -> tuple[int, bool]:
            column = np.ascontiguousarray(features[:, feature])
            last, single = _bins(column, pieces)
            codes[feature] = np.searchsorted(last, column) * classes + actual
            return len(last), single

        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            found = list(pool.map(fill, range(features.shape[1])))
        return cls(codes, tuple(n for n, _ in found), tuple(s for _, s in found), classes)


def _bins(column: NDArray[np.float32], pieces: int) -> tuple[NDArray[np.float32], bool]:
    """The largest value of each bin, ascending, and whether every bin holds one value."""
    ascending = np.sort(column)
    starts = np.flatnonzero(np.r_[True, ascending[1:] != ascending[:-1]])
    values = ascending[starts]
    if len(values) <= pieces:
        return values, True
    count = np.diff(np.r_[starts, len(column)])
    # A value as frequent as that is parted from its neighbours.
    alone = count * pieces >= len(column)
    piece = starts * pieces // len(column)
    ends = (piece[1:] != piece[:-1]) | alone[1:] | alone[:-1]
    return values[np.r_[ends, True]], False
