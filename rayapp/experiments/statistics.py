"""Means of a few trials with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over trials.

    Attributes:
        mean: of the values.
        low, high: percentile bootstrap interval of the mean at 95 %; the mean itself where
            there is one value. With a handful of trials such an interval is rather too short.
        values: one per trial.
    """

    mean: float
    low: float
    high: float
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """The estimate from trials' values; the same values give the same interval.

        Raises:
            ValueError: there are none.
        """
        if not values:
            raise ValueError("an estimate needs at least one value")
        sample = np.asarray(values, np.float64)
        picks = np.random.default_rng(0).integers(0, len(sample), (RESAMPLES, len(sample)))
        tail = (1 - LEVEL) / 2
        low, high = np.quantile(sample[picks].mean(axis=1), [tail, 1 - tail])
        return cls(float(sample.mean()), float(low), float(high), tuple(map(float, values)))
