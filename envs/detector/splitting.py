"""The best split of a node's flows by Gini impurity, found by counting and without sorting.

The criterion is scikit-learn's: of all thresholds between two neighbouring values of a feature
the one that maximises ``sum(l_c^2) / sum(l_c) + sum(r_c^2) / sum(r_c)``, for class counts l left
and r right of it. At the edges of bins it follows from the counts per bin. For a threshold
within a bin there is a bound: the expression is convex in l, so between two edges it is largest
at a corner of the box that l can be in, where each class of the bin is wholly left or wholly
right. Only bins whose bound beats the best edge are sorted, and most have one class, whose
corners are the edges themselves.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.detector.binned import Binned

_MOST_CORNERS = 10
"""Classes in a bin up to which its corners are looked at; with more it is sorted at once."""


@dataclass(frozen=True)
class Split:
    """A test ``feature <= threshold``, and what it is worth (see the module)."""

    feature: int
    threshold: float
    worth: float


@dataclass(frozen=True)
class _Doubt:
    """Bins of a feature that may hide a better split than their edges are.

    Attributes:
        feature: whose bins.
        bins: their numbers.
        bounds: none of their splits is worth more.
        before: int64 [bins, classes], counts left of each.
        total: int64 [classes], counts of the node.
    """

    feature: int
    bins: NDArray[np.int64]
    bounds: NDArray[np.float64]
    before: NDArray[np.int64]
    total: NDArray[np.int64]


class Splitter:
    """Finds splits of nodes.

    Args:
        features: float32 [n, features], finite.
        binned: the same in bins.
    """

    def __init__(self, features: NDArray[np.float32], binned: Binned) -> None:
        self._features, self._binned = features, binned

    def best(
        self, rows: NDArray[np.int32], candidates: Iterable[int]
    ) -> tuple[Split | None, list[int]]:
        """The best split of some flows.

        Args:
            rows: of the flows, of at least two classes.
            candidates: features to look at; of equally good ones the first counts.

        Returns:
            The split, ``None`` if all these features are constant, and the features that are
            not: what is constant stays so below.
        """
        best: tuple[float, int, int] | None = None
        doubts, varying = list[_Doubt](), list[int]()
        for feature in candidates:
            counts, bins = self._counts(feature, rows)
            if len(bins) == 1 and self._binned.single[feature]:
                continue
            varying.append(feature)
            left = counts.cumsum(axis=0)
            total = left[-1]
            if len(bins) > 1:
                worth = _worth(left[:-1], total)
                place = int(worth.argmax())
                if best is None or worth[place] > best[0]:
                    best = float(worth[place]), feature, int(bins[place])
            if not self._binned.single[feature]:
                doubts.append(_doubt(feature, bins, counts, left - counts, total))
        within = self._within(rows, doubts, best[0] if best else -np.inf)
        if within is not None:
            return within, varying
        return (self._at_edge(rows, *best) if best else None), varying

    def _counts(
        self, feature: int, rows: NDArray[np.int32]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Classes per bin, int64 [bins, classes], and the numbers of those bins; no empty ones."""
        binned = self._binned
        codes = binned.codes[feature].take(rows)
        size = binned.bins[feature] * binned.classes
        counts = np.bincount(codes, minlength=size).reshape(-1, binned.classes)
        bins = np.flatnonzero(counts.any(axis=1))
        return counts[bins], bins

    def _at_edge(self, rows: NDArray[np.int32], worth: float, feature: int, last: int) -> Split:
        left = self._binned.codes[feature].take(rows) < (last + 1) * self._binned.classes
        values = self._features[rows, feature]
        low, high = float(values[left].max()), float(values[~left].min())
        return Split(feature, low / 2 + high / 2, worth)

    def _within(self, rows: NDArray[np.int32], doubts: list[_Doubt], worth: float) -> Split | None:
        """The best split inside a bin, if it is worth more than any edge."""
        found: Split | None = None
        for doubt in sorted(doubts, key=lambda one: -one.bounds.max(initial=-np.inf)):
            hopeful = doubt.bounds > worth
            if not hopeful.any():
                break
            split = self._sorted(rows, doubt, hopeful, worth)
            if split is not None:
                found, worth = split, split.worth
        return found

    def _sorted(
        self, rows: NDArray[np.int32], doubt: _Doubt, hopeful: NDArray[np.bool_], worth: float
    ) -> Split | None:
        """Looks at every threshold inside of the hopeful bins."""
        classes = self._binned.classes
        codes = self._binned.codes[doubt.feature].take(rows)
        place = np.full(self._binned.bins[doubt.feature], -1)
        place[doubt.bins[hopeful]] = np.flatnonzero(hopeful)
        inside = np.flatnonzero(np.repeat(place >= 0, classes).take(codes))
        values, codes = self._features[rows[inside], doubt.feature], codes[inside]
        order = np.argsort(values, kind="stable")
        values, codes = values[order], codes[order]
        of_bin = place[codes // classes]
        met = np.zeros((classes, len(codes) + 1), np.int32)
        met[codes % classes, np.arange(1, len(codes) + 1)] = 1
        met = met.cumsum(axis=1, dtype=np.int32)
        # Bins follow each other in the order of values, and each begins with what is before it.
        ends = np.flatnonzero((values[1:] > values[:-1]) & (of_bin[1:] == of_bin[:-1]))
        if not len(ends):
            return None
        begins = np.searchsorted(of_bin, of_bin[ends])
        left = (met[:, ends + 1] - met[:, begins]).T + doubt.before[of_bin[ends]]
        worths = _worth(left, doubt.total)
        top = int(worths.argmax())
        if worths[top] <= worth:
            return None
        low, high = float(values[ends[top]]), float(values[ends[top] + 1])
        return Split(doubt.feature, low / 2 + high / 2, float(worths[top]))


def _worth(left: NDArray[np.int64], total: NDArray[np.int64]) -> NDArray[np.float64]:
    """What thresholds are worth, float64 [thresholds], given class counts left of each."""
    right = total - left
    worth: NDArray[np.float64] = (left**2).sum(axis=1) / left.sum(axis=1)
    worth += (right**2).sum(axis=1) / right.sum(axis=1)
    return worth


def _doubt(
    feature: int,
    bins: NDArray[np.int64],
    counts: NDArray[np.int64],
    before: NDArray[np.int64],
    total: NDArray[np.int64],
) -> _Doubt:
    present = np.count_nonzero(counts, axis=1)
    mixed = np.flatnonzero(present > 1)
    bounds = np.full(len(mixed), np.inf)
    for classes in np.unique(present[mixed]):
        if classes <= _MOST_CORNERS:
            alike = np.flatnonzero(present[mixed] == classes)
            some = mixed[alike]
            bounds[alike] = _bound(counts[some], before[some], total, int(classes))
    return _Doubt(feature, bins[mixed], bounds, before[mixed], total)


def _bound(
    counts: NDArray[np.int64], before: NDArray[np.int64], total: NDArray[np.int64], classes: int
) -> NDArray[np.float64]:
    """The largest worth at the corners of bins of so many classes each, float64 [bins]."""
    own = np.argsort(-counts, axis=1, kind="stable")[:, :classes]
    size, left = (np.take_along_axis(x, own, axis=1).astype(np.float64) for x in (counts, before))
    after = total - before
    right = np.take_along_axis(after, own, axis=1).astype(np.float64)
    # A corner per column: 1 for every class that lies wholly left of it.
    corners = (np.arange(2**classes) >> np.arange(classes)[:, None] & 1).astype(np.float64)
    gone = size @ corners
    lefts = (before**2).sum(axis=1)[:, None] + (2 * left * size + size**2) @ corners
    rights = (after**2).sum(axis=1)[:, None] + (size**2 - 2 * right * size) @ corners
    n_left = before.sum(axis=1)[:, None] + gone
    n_right = after.sum(axis=1)[:, None] - gone
    # Without flows on a side there is nothing to be squared either.
    worth = lefts / np.maximum(n_left, 1) + rights / np.maximum(n_right, 1)
    bound: NDArray[np.float64] = worth.max(axis=1)
    return bound
