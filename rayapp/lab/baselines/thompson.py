"""Thompson sampling: every flow draws from the posterior and plays what the draw likes best.

Two posteriors, which differ in what they are told:

* :class:`RewardThompson` is the standard one (Agrawal & Goyal 2013, arXiv 1209.3352) and the
  default. It is told the reward of the action it played and nothing else, as all the
  reinforcement learners are.
* :class:`ClassThompson` is told the flow's true class after each decision, and knows the
  reward of every action for every class (eq. 3) from the start. What it learns is the posterior
  of the signatures alone. It knows more than any of the other systems, and never has to
  try an action to learn what it earns.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from envs import BetaPrior, Catalogue
from rayapp.lab.baselines.ridge import RewardModel
from rayapp.lab.baselines.trainee import Decided
from rayapp.rl.stepping import Slice

_STREAM_OF_DRAWS = 2
"""Sets the posterior's random numbers apart from those that shuffle flows or pick actions."""


def _generator(seed: int, piece: Slice) -> np.random.Generator:
    """Random numbers of one stretch of the stream."""
    return np.random.default_rng([seed, _STREAM_OF_DRAWS, piece.start])


class RewardThompson:
    """Draws the reward of every action from its Gaussian posterior.

    The reward is linear in predicted class and context (:mod:`.ridge`), so its posterior is
    N(x^T theta, noise^2 * x^T A^-1 x). Actions have separate weights, so drawing
    their rewards independently is the same as drawing the weights.

    Args:
        rewards: theta and A of every action.
        noise: standard deviation of the reward that the posterior assumes.
        seed: of the draws.
    """

    def __init__(self, rewards: RewardModel, noise: float, seed: int) -> None:
        self._rewards, self._noise, self._seed = rewards, noise, seed

    def act(
        self, context: NDArray[np.int32], piece: Slice, noise: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """See :class:`rayapp.lab.baselines.trainee.Bandit`."""
        mean, variance = self._rewards.posterior()
        deviation = self._noise * np.sqrt(variance)
        drawn = _generator(self._seed, piece).standard_normal((len(context), mean.shape[1]))
        drawn *= deviation[context]
        drawn += mean[context]
        actions: NDArray[np.int64] = drawn.argmax(axis=1)
        return actions

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


class ClassThompson:
    """Draws the shares of true classes behind a context, plays their best action.

    The posterior is Dirichlet. Its prior gives the predicted class the weight alpha of the
    signatures' Beta prior and shares beta among the other classes, so 'the signature is right'
    has exactly the posterior Beta(alpha + C, beta + N - C), whose mean is B (eq. 1).

    Args:
        predicted: int8 [contexts], the predicted class of each context.
        catalogue: knows what every action earns for every class.
        prior: of the signatures' confidence.
        seed: of the draws.
    """

    def __init__(
        self, predicted: NDArray[np.int8], catalogue: Catalogue, prior: BetaPrior, seed: int
    ) -> None:
        signatures, classes = len(predicted), len(catalogue.classes)
        self._rewards = catalogue.rewards.astype(np.float64)
        self._prior = np.full((signatures, classes), prior.beta / max(classes - 1, 1))
        self._prior[np.arange(signatures), predicted] = prior.alpha
        self._met = np.zeros((signatures, classes), np.int64)
        self._seed = seed

    def act(
        self, context: NDArray[np.int32], piece: Slice, noise: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """See :class:`rayapp.lab.baselines.trainee.Bandit`."""
        weight = (self._prior + self._met)[context]
        # Gamma draws are a Dirichlet draw but for its sum, and the best action ignores that.
        shares = _generator(self._seed, piece).standard_gamma(weight)
        actions: NDArray[np.int64] = (shares @ self._rewards).argmax(axis=1)
        return actions

    def learn(self, decided: Decided) -> None:
        """See :class:`rayapp.lab.baselines.trainee.Bandit`."""
        table = decided.table
        np.add.at(self._met, (table.context, table.actual), table.count)

    def greedy(self) -> NDArray[np.int64]:
        """The action of highest expected reward, int64 [contexts]."""
        best: NDArray[np.int64] = ((self._prior + self._met) @ self._rewards).argmax(axis=1)
        return best

    def state(self) -> dict[str, Tensor]:
        """See :class:`rayapp.lab.baselines.trainee.Bandit`."""
        return {"met": torch.from_numpy(self._met)}

    def set_state(self, tensors: dict[str, Tensor]) -> None:
        """See :class:`rayapp.lab.baselines.trainee.Bandit`."""
        self._met = tensors["met"].numpy().copy()
