"""Means of a few trials with bootstrap intervals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over trials.

    Attributes:
        mean: of the values.
        low, high: percentile bootstrap interval of the mean at 95 %; ``None`` where there is one
            value. With a handful of trials such an interval is rather too short.
        values: one per trial, or per group of trials.
    """

    mean: float
    low: float | None
    high: float | None
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """The estimate from trials' values; the same values give the same interval.

        Raises:
            ValueError: there are none.
        """
        if not values:
            raise ValueError("an estimate needs at least one value")
        if len(values) == 1:
            return cls(float(values[0]), None, None, (float(values[0]),))
        sample = np.asarray(values, np.float64)
        picks = np.random.default_rng(0).integers(0, len(sample), (RESAMPLES, len(sample)))
        tail = (1 - LEVEL) / 2
        low, high = np.quantile(sample[picks].mean(axis=1), [tail, 1 - tail])
        return cls(float(sample.mean()), float(low), float(high), tuple(map(float, values)))

    @classmethod
    def grouped(cls, values: Sequence[float], groups: Sequence[str]) -> Estimate:
        """The estimate of trials that come in groups, such as several seeds per split of flows.

        Trials of one group share their flows, so groups are resampled, each by its mean; trials of
        a single group are resampled one by one.

        Args:
            values: one per trial.
            groups: the group of each.

        Raises:
            ValueError: there are none.
        """
        members: dict[str, list[float]] = defaultdict(list)
        for value, group in zip(values, groups, strict=True):
            members[group].append(value)
        return cls.of(values if len(members) < 2 else [fmean(some) for some in members.values()])
