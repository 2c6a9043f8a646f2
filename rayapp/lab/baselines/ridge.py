"""What each context's actions earn: a ridge regression per action, solved exactly.

The features x of a flow are two ones: one for its predicted class, one for its context. So
an action earns what it earns for the class, plus what is particular about the context;
a context that was met but a few times inherits from its class. (The state's y and ID(sig)
are names, not quantities, so they enter as one-hot vectors. N, C and B only tell how often
the context was met and right, and that is in the sums below.)

With d = classes + contexts columns, an action's matrix A = ridge * I + sum of x x^T has
d^2 entries, some three millions for a paper-scale detector. But a context has one predicted
class, so A falls apart into one block per class, and a block is an arrow: a corner for the
class, a diagonal for its contexts, and the edge that joins them. Its Schur complement gives
mean and variance of every context in closed form, in time linear in the contexts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from envs import Catalogue, InteractionTable


class RewardModel:
    """Ridge regression of the reward on predicted class and context, for each action.

    The sums are integers, so it makes no difference, not even of rounding, whether flows
    are added one by one, many at once, or in another order.

    Args:
        predicted: int8 [contexts], the predicted class of each context.
        catalogue: rewards of the actions met, and the number of classes.
        ridge: of the regression; prior precision of every weight in flows.
    """

    def __init__(self, predicted: NDArray[np.int8], catalogue: Catalogue, ridge: float) -> None:
        shape = (len(predicted), len(catalogue.actions))
        self.count = np.zeros(shape, np.int64)
        self.total = np.zeros(shape, np.int64)
        self._predicted, self._catalogue, self._ridge = predicted, catalogue, ridge
        self._cells = (predicted[:, None] * np.int64(shape[1]) + np.arange(shape[1])).ravel()

    def add(self, table: InteractionTable) -> None:
        """Counts flows and what their actions earned."""
        rewards = table.rewards(self._catalogue).astype(np.int64) * table.count
        np.add.at(self.count, (table.context, table.action), table.count)
        np.add.at(self.total, (table.context, table.action), rewards)

    def posterior(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """x^T A^-1 b and x^T A^-1 x of every context and action.

        Returns:
            The reward expected, and its variance in units of the noise's (1 / ridge at most
            for class and context each); both float64 [contexts, actions].
        """
        weight = self._ridge + self.count
        # What the signatures' own columns leave for their class to explain.
        left = self._ridge / weight
        corner = self._ridge + self._by_class(self.count * left)
        of_class = (self._by_class(self.total * left) / corner)[self._predicted]
        mean = of_class + (self.total - self.count * of_class) / weight
        variance = left**2 / corner[self._predicted] + 1 / weight
        return mean, variance

    def mean(self) -> NDArray[np.float64]:
        """The reward expected, float64 [contexts, actions]."""
        return self.posterior()[0]

    def _by_class(self, values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Sums over the signatures of each predicted class, float64 [classes, actions]."""
        shape = (len(self._catalogue.classes), self.count.shape[1])
        size = shape[0] * shape[1]
        summed = np.bincount(self._cells, weights=values.ravel(), minlength=size)
        return summed.astype(np.float64, copy=False).reshape(shape)

    def state(self) -> dict[str, Tensor]:
        """The sums."""
        return {"count": torch.from_numpy(self.count), "total": torch.from_numpy(self.total)}

    def set_state(self, tensors: dict[str, Tensor]) -> None:
        """Goes back to a :meth:`state`."""
        self.count = tensors["count"].numpy().copy()
        self.total = tensors["total"].numpy().copy()
