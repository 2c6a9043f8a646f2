"""How many flows and seconds a training takes to get near what acting on the class earns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from rayapp.runs.folder import ProgressLine

SHARE = 0.99

WINDOW = 65_536
"""Flows whose mean counts: among fewer, rare classes are missing or a matter of luck."""


@dataclass(frozen=True)
class Convergence:
    """When a training first got to 99 % of the bound; ``None`` if it never did.

    Attributes:
        flows: trained on until then.
        seconds: of training until then.
    """

    flows: int | None
    seconds: float | None


def reached(
    lines: Sequence[ProgressLine],
    bound: float,
    *,
    by_class: bool = False,
    after: int = 0,
    window: int = WINDOW,
) -> Convergence:
    """When the reward of the latest iterations, exploration included, first was 99 % of a bound.

    The latest iterations are as many as hold ``window`` flows together. A class earns the mean
    of those among them that met it; all classes that the training ever met must be there.

    Args:
        lines: the training's iterations.
        bound: reward of acting on the predicted class, on the training flows; above 0.
        by_class: compare the mean over classes instead of the average per flow.
        after: flows at the beginning on which another policy acted than the one that learns.
        window: flows that an average is taken over, at the least.
    """
    classes = {name for line in lines for name in line.class_reward}
    sizes = np.diff([0, *(line.flows for line in lines)])
    oldest, held = sum(line.flows <= after for line in lines), 0
    for newest in range(oldest, len(lines)):
        held += int(sizes[newest])
        while held - sizes[oldest] >= window:
            held -= int(sizes[oldest])
            oldest += 1
        if held < window:
            continue
        latest = lines[oldest : newest + 1]
        reward: float | None = None
        if not by_class:
            rewards = [line.average_reward for line in latest]
            reward = float(np.average(rewards, weights=sizes[oldest : newest + 1]))
        elif {name for line in latest for name in line.class_reward} == classes:
            reward = _class_mean(latest)
        if reward is not None and reward >= SHARE * bound:
            return Convergence(lines[newest].flows, lines[newest].seconds)
    return Convergence(None, None)


def _class_mean(lines: Sequence[ProgressLine]) -> float:
    met: dict[str, list[float]] = defaultdict(list)
    for line in lines:
        for name, reward in line.class_reward.items():
            met[name].append(reward)
    return fmean(fmean(rewards) for rewards in met.values())
