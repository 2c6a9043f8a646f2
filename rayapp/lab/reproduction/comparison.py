"""Whether one system is above another, as far as a few trials can tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from rayapp.lab.reproduction.results import SystemResult, TrialResult
from rayapp.lab.statistics import Estimate

Direction = Literal["higher", "lower", "level", "unclear"]

REWARD = 0.01
"""Rewards nearer than this count as level: the paper gives two digits."""


@dataclass(frozen=True)
class Comparison:
    """One figure of two systems, over trials of the same seed and scenario.

    Attributes:
        one, other: their means.
        less: one less the other.
        level: a difference up to this counts as none.
    """

    one: float
    other: float
    less: Estimate
    level: float

    @property
    def direction(self) -> Direction:
        """Where the first stands; ``unclear`` where the interval of the difference holds 0."""
        if abs(self.less.mean) <= self.level:
            return "level"
        if self.less.low > 0:
            return "higher"
        return "lower" if self.less.high < 0 else "unclear"

    def is_(self, wanted: Direction) -> bool | None:
        """Whether that is the direction; ``None`` if it cannot be told."""
        return None if self.direction == "unclear" else self.direction == wanted


def compare(
    one: SystemResult,
    other: SystemResult,
    value: Callable[[TrialResult], float | None],
    level: float = REWARD,
) -> Comparison | None:
    """Compares a figure trial by trial; ``None`` if no pair of trials has it."""
    pairs = [(value(a), value(b), a.scenario) for a, b in pairs_of(one, other)]
    given = [(a, b, where) for a, b, where in pairs if a is not None and b is not None]
    if not given:
        return None
    mine, theirs, scenarios = zip(*given, strict=True)
    return Comparison(
        fmean(mine),
        fmean(theirs),
        Estimate.grouped([a - b for a, b, _ in given], scenarios),
        level,
    )


def pairs_of(one: SystemResult, other: SystemResult) -> Sequence[tuple[TrialResult, TrialResult]]:
    """Trials of the same seed and scenario."""
    theirs = {(trial.seed, trial.scenario): trial for trial in other.trials}
    return [
        (trial, theirs[trial.seed, trial.scenario])
        for trial in one.trials
        if (trial.seed, trial.scenario) in theirs
    ]


def closing_reward(trial: TrialResult) -> float | None:
    """Average reward over the last tenth of the training; ``None`` without iterations."""
    rewards = [line.average_reward for line in trial.lines]
    last = rewards[-max(1, len(rewards) // 10) :]
    return sum(last) / len(last) if last else None
