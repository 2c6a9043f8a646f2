"""LinUCB with disjoint linear models (Li et al. 2010, arXiv 1003.0146, algorithm 1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rayapp.lab.baselines.ridge import RewardModel
from rayapp.lab.baselines.trainee import Decided
from rayapp.rl.stepping import Slice, pick_actions


class LinUCB:
    """Plays the action whose reward could be highest: x^T theta + alpha * sqrt(x^T A^-1 x).

    Equal bounds, as of actions not yet played, are drawn from evenly: the flows between two
    updates share one bound per action and would all play the first one otherwise.

    Args:
        rewards: theta and A of every action; :mod:`.ridge` says what x is.
        alpha: width of the bound, in reward units. Rewards span 10, from -5 to 5.
    """

    def __init__(self, rewards: RewardModel, alpha: float) -> None:
        self._rewards, self._alpha = rewards, alpha

    def bounds(self) -> NDArray[np.float64]:
        """Upper confidence bound of every action, float64 [contexts, actions]."""
        mean, variance = self._rewards.posterior()
        bounds: NDArray[np.float64] = mean + self._alpha * np.sqrt(variance)
        return bounds

    def act(
        self, context: NDArray[np.int32], piece: Slice, noise: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """See :class:`rayapp.lab.baselines.trainee.Bandit`."""
        bounds = self.bounds()
        best = bounds == bounds.max(axis=1, keepdims=True)
        return pick_actions(best / best.sum(axis=1, keepdims=True), context, noise)

    def learn(self, decided: Decided) -> None:
        """See :class:`rayapp.lab.baselines.trainee.Bandit`."""
        self._rewards.add(decided.table)

    def greedy(self) -> NDArray[np.int64]:
        """The action of highest expected reward, int64 [contexts]."""
        best: NDArray[np.int64] = self._rewards.mean().argmax(axis=1)
        return best

    def state(self) -> dict[str, Tensor]:
        """See :class:`rayapp.lab.baselines.trainee.Bandit`."""
        return self._rewards.state()

    def set_state(self, tensors: dict[str, Tensor]) -> None:
        """See :class:`rayapp.lab.baselines.trainee.Bandit`."""
        self._rewards.set_state(tensors)
