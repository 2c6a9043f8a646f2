"""The paper's findings, each held against the trials: what it reports, and what came out here.

A finding is a comparison of two figures, trial by trial. It agrees with the paper where the
difference goes the same way, is not too small to matter, and its interval leaves out 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import pandas as pd

from rayapp.lab.reproduction import paper
from rayapp.lab.reproduction.comparison import (
    Comparison,
    Direction,
    Measure,
    against_lowest,
    compare,
)
from rayapp.lab.reproduction.plan import Experiment, Preset
from rayapp.lab.reproduction.results import Results, SystemResult, TrialResult

REWARD, RIGHT, WRONG = 0.01, 0.001, 0.005
"""Differences up to these count as none: rewards, and shares of correct actions where detection
was right and where it was wrong, which fewer flows decide."""

LEVEL = 0.95
"""Share of the rise to the lower of two final rewards, at which speed is measured."""

FEW = 6
"""Iterations below which a training's curve is not read."""


@dataclass(frozen=True)
class Claim:
    """A finding of the paper's.

    Attributes:
        text: the finding.
        where: the paper tells it.
        paper: the two figures as the paper has them, or in words where it only draws them.
        system: that the finding is about.
        measure: gives the two figures.
        expected: directions in which the difference agrees with the finding.
        others: systems that it is compared with.
        experiment: whose trials are compared.
        level: a difference up to this counts as none.
        unit: format specification of the figures.
    """

    text: str
    where: str
    paper: str
    system: str
    measure: Measure
    expected: tuple[Direction, ...]
    others: tuple[str, ...] = ("ppo",)
    experiment: Experiment = "main"
    level: float = REWARD
    unit: str = ".3f"

    def check(self, systems: Mapping[str, SystemResult]) -> dict[str, object]:
        """The finding's row: figures, their difference, and whether they agree with the paper."""
        row: dict[str, object] = {
            "finding": f"{self.text} ({self.where})",
            "paper": self.paper,
            "ours": None,
            "difference": None,
            "low": None,
            "high": None,
            "agrees": "cannot be told",
        }
        others = [systems[name] for name in self.others if name in systems]
        if self.system not in systems or len(others) < len(self.others):
            return row | {"ours": "not trained"}
        one = compare(systems[self.system], others, self.measure, self.level)
        return row if one is None else row | self._figures(one)

    def _figures(self, one: Comparison) -> dict[str, object]:
        agrees = "yes" if one.direction in self.expected else "no"
        return {
            "ours": f"{one.own:{self.unit}} / {one.other:{self.unit}}",
            "difference": one.difference.mean,
            "low": one.difference.low,
            "high": one.difference.high,
            "agrees": "cannot be told" if one.direction == "unclear" else agrees,
        }


def findings(results: Results, preset: Preset) -> pd.DataFrame:
    """All findings under one preset of settings.

    Returns:
        Columns ``finding``, ``paper``, ``ours``, ``difference``, ``low`` and ``high`` (of its 95 %
        interval, missing for a single trial) and ``agrees``: ``yes``, ``no`` or ``cannot be told``.
    """
    return pd.DataFrame(claim.check(results.of(preset, claim.experiment)) for claim in CLAIMS)


def _closing(trial: TrialResult) -> float | None:
    """Average reward over the last tenth of the training."""
    rewards = [line.average_reward for line in trial.lines]
    return fmean(rewards[-max(1, len(rewards) // 10) :]) if len(rewards) >= FEW else None


def _opening(trial: TrialResult) -> float | None:
    """Average reward over the first tenth of the training."""
    rewards = [line.average_reward for line in trial.lines]
    return fmean(rewards[: max(1, len(rewards) // 10)]) if len(rewards) >= FEW else None


def flows_to_level(trial: TrialResult, rivals: Sequence[TrialResult]) -> tuple[float, float] | None:
    """Flows until each of two trainings comes near the lower of their final rewards."""
    (rival,) = rivals
    ends = _closing(trial), _closing(rival)
    if ends[0] is None or ends[1] is None:
        return None
    floor = min(trial.lines[0].average_reward, rival.lines[0].average_reward)
    level = floor + LEVEL * (min(ends[0], ends[1]) - floor)
    # The mean of the last iterations is no higher than the highest of them, so there is one.
    own, other = (
        next(line.flows for line in one.lines if line.average_reward >= level)
        for one in (trial, rival)
    )
    return own, other


def _average(trial: TrialResult) -> float | None:
    return trial.card.score.average_reward


def _of_class(name: str) -> Callable[[TrialResult], float | None]:
    return lambda trial: trial.card.score.per_class.get(name)


def _right(trial: TrialResult) -> float | None:
    return trial.card.correct_action.detected_correctly


def _wrong(trial: TrialResult) -> float | None:
    return trial.card.correct_action.misdetected


_INFUSED = {"ppo-kg": "PPO-KG", "ppo-kg-pt": "PPO-KG-PT", "llm-kg": "LLM-KG"}
_NORMAL = paper.CLASSES[2]


def _in_table_4(system: str, other: str, row: str) -> str:
    return f"{paper.TABLE_4[system][row]:.2f} / {paper.TABLE_4[other][row]:.2f}"


_END = against_lowest(_closing)

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "λ = 1 gets to 95 % of its rise after fewer flows than PPO",
        "Fig. 3",
        "faster",
        "lambda 1.0",
        flows_to_level,
        ("lower",),
        experiment="figure 3",
        level=1,
        unit=",.0f",
    ),
    Claim(
        "λ = 1 ends its training lower than PPO",
        "Fig. 3",
        "slightly lower",
        "lambda 1.0",
        _END,
        ("lower",),
        experiment="figure 3",
    ),
    Claim(
        "λ = 0.1 ends its training no lower than PPO",
        "Fig. 3",
        "level",
        "lambda 0.1",
        _END,
        ("level", "higher"),
        experiment="figure 3",
    ),
    Claim(
        "With annealed λ, PPO-KG earns less than PPO in the first tenth of training",
        "Fig. 4",
        "lower",
        "ppo-kg",
        against_lowest(_opening),
        ("lower",),
    ),
    Claim(
        "With annealed λ, PPO-KG ends its training higher than PPO",
        "Fig. 4",
        "higher",
        "ppo-kg",
        _END,
        ("higher",),
    ),
    Claim(
        "PPO-KG earns more per test flow than PPO",
        "Table IV",
        _in_table_4("ppo-kg", "ppo", "average"),
        "ppo-kg",
        against_lowest(_average),
        ("higher",),
    ),
    Claim(
        f"Cloning the advice first: PPO-KG-PT earns more on {_NORMAL} than PPO-KG",
        "Table IV",
        _in_table_4("ppo-kg-pt", "ppo-kg", _NORMAL),
        "ppo-kg-pt",
        against_lowest(_of_class(_NORMAL)),
        ("higher",),
        ("ppo-kg",),
    ),
    Claim(
        "Cloning the advice first: PPO-KG-PT earns more per test flow than PPO-KG",
        "Table IV",
        _in_table_4("ppo-kg-pt", "ppo-kg", "average"),
        "ppo-kg-pt",
        against_lowest(_average),
        ("higher",),
        ("ppo-kg",),
    ),
    *(
        Claim(
            f"Where detection is {how}, {title} takes the best action {often} often than PPO",
            "Fig. 5",
            f"{often} often",
            name,
            against_lowest(figure),
            ("higher",) if often == "more" else ("lower",),
            level=level,
            unit=".1%",
        )
        for how, often, figure, level in (
            ("right", "more", _right, RIGHT),
            ("wrong", "less", _wrong, WRONG),
        )
        for name, title in _INFUSED.items()
    ),
    *(
        Claim(
            f"Where detection is {how}, DL takes the best action least often of all systems",
            "Fig. 5",
            "least often",
            "dl",
            against_lowest(figure),
            ("lower",),
            ("ppo", *_INFUSED),
            level=level,
            unit=".1%",
        )
        for how, figure, level in (("right", _right, RIGHT), ("wrong", _wrong, WRONG))
    ),
)
"""In the order in which the paper tells them."""
