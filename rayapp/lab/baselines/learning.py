"""What the baselines learn by: their models of the group of settings ``learning``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rayapp.learning import Flows, Learning, LearningRate


class SupervisedLearning(Learning):
    """Supervised learning (section IV-D): the policy network as a classifier of best actions."""

    batch_flows: Flows = 4_096
    """Let a gradient step stand for this many flows; it goes over the expectation of a batch."""

    learning_rate: LearningRate = 3e-3
    """Set the step size of the optimiser Adam."""


class BanditLearning(Learning):
    """What contextual bandits have in common."""

    flows_per_iteration: Flows = 65_536
    """Report progress after this many flows."""

    flows_per_update: Flows = 4_096
    """Decide this many flows before their rewards are learnt."""

    ridge: Annotated[float, Field(gt=0, le=1e9)] = 1.0
    """Let the prior of the regressions count for this many flows."""


class LinUCBLearning(BanditLearning):
    """LinUCB with disjoint linear models (Li et al. 2010, arXiv 1003.0146)."""

    alpha: Annotated[float, Field(ge=0, le=1_000)] = 5.0
    """Add this many standard deviations, in reward units, to an action's expected reward."""


class ThompsonLearning(BanditLearning):
    """Thompson sampling (Agrawal & Goyal 2013, arXiv 1209.3352)."""

    noise: Annotated[float, Field(gt=0, le=1_000)] = 5.0
    """Assume that rewards have this standard deviation."""

    posterior: Literal["reward", "class"] = "reward"
    """Learn what each action earns (``reward``), or know the reward of every action for every class
    (eq. 3) and learn the signatures' classes (``class``)."""
