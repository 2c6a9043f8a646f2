"""Whether one system is above others, as far as a few trials can tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from rayapp.lab.reproduction.results import SystemResult, TrialResult
from rayapp.lab.statistics import Estimate

Direction = Literal["higher", "lower", "level", "unclear"]

Measure = Callable[[TrialResult, Sequence[TrialResult]], tuple[float, float] | None]
"""A figure of a trial, and the same of the trials that it is compared with."""


@dataclass(frozen=True)
class Comparison:
    """One figure of a system and of those it is compared with.

    Attributes:
        own, other: means over trials.
        difference: own less other, trial by trial.
        level: a difference up to this counts as none.
    """

    own: float
    other: float
    difference: Estimate
    level: float

    @property
    def direction(self) -> Direction:
        """Where the system stands; ``unclear`` where the interval of the difference holds 0."""
        one = self.difference
        if abs(one.mean) <= self.level:
            return "level"
        if one.low is None or one.high is None:
            return "higher" if one.mean > 0 else "lower"
        if one.low > 0:
            return "higher"
        return "lower" if one.high < 0 else "unclear"


def compare(
    system: SystemResult, others: Sequence[SystemResult], measure: Measure, level: float
) -> Comparison | None:
    """Compares trials of the same seed and scenario; ``None`` if none of them has the figure."""
    measured = [
        (pair, trial.scenario)
        for trial, rivals in matched(system, others)
        if (pair := measure(trial, rivals)) is not None
    ]
    if not measured:
        return None
    pairs, scenarios = zip(*measured, strict=True)
    own, other = zip(*pairs, strict=True)
    differences = [one - another for one, another in pairs]
    return Comparison(fmean(own), fmean(other), Estimate.grouped(differences, scenarios), level)


def matched(
    system: SystemResult, others: Sequence[SystemResult]
) -> Iterator[tuple[TrialResult, list[TrialResult]]]:
    """Each trial with those of all other systems on the same seed and scenario."""
    for trial in system.trials:
        rivals = [
            rival
            for other in others
            for rival in other.trials
            if (rival.seed, rival.scenario) == (trial.seed, trial.scenario)
        ]
        if len(rivals) == len(others):
            yield trial, rivals


def against_lowest(figure: Callable[[TrialResult], float | None]) -> Measure:
    """Compares a trial's figure with the lowest one of the others."""

    def measure(trial: TrialResult, rivals: Sequence[TrialResult]) -> tuple[float, float] | None:
        own = figure(trial)
        rest = [value for rival in rivals if (value := figure(rival)) is not None]
        return None if own is None or not rest else (own, min(rest))

    return measure
