"""How many flows and seconds a training takes to get near what acting on the class earns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rayapp.experiments.runs import ProgressLine

SHARE = 0.99


@dataclass(frozen=True)
class Convergence:
    """When a training first got to 99 % of the bound; ``None`` if it never did.

    Attributes:
        flows: trained on until then.
        seconds: of training until then.
    """

    flows: int | None
    seconds: float | None


def reached(lines: Sequence[ProgressLine], bound: float, *, by_class: bool = False) -> Convergence:
    """When an iteration's reward, exploration included, first was 99 % of a bound.

    Args:
        lines: the training's iterations.
        bound: reward of acting on the predicted class, on the training flows; above 0.
        by_class: compare the mean over classes instead of the average per flow.
    """
    for line in lines:
        reward = line.average_reward
        if by_class:
            reward = sum(line.class_reward.values()) / len(line.class_reward)
        if reward >= SHARE * bound:
            return Convergence(line.episodes, line.seconds)
    return Convergence(None, None)
