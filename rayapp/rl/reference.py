"""The reference policy pi_LLM (eq. 5): how advice becomes one.

What an advisor answers is taken as it is, sharpened or flattened (``soft``), or as one
advised action with a little left for the others (``hard``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Reference:
    """How advice becomes the reference policy.

    Attributes:
        kind: ``soft`` takes the advisor's probabilities, ``hard`` its one action, as the paper
            implies by a model that names one.
        temperature: of ``soft``: below 1 sharpens, above 1 flattens.
        smoothing: of ``hard``: probability spread over all actions, so that no action has none
            and eq. 5 stays finite.
    """

    kind: Literal["soft", "hard"] = "hard"
    temperature: float = 1.0
    smoothing: float = 0.01

    def __post_init__(self) -> None:
        if self.temperature <= 0 or not 0 < self.smoothing < 1:
            raise ValueError("temperature must be above 0, smoothing between 0 and 1")

    def policy(self, log_probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """The reference policy of given advice.

        Args:
            log_probabilities: float32 [signatures, actions], the advisor's, normalised.

        Returns:
            Normalised log-probabilities, float32 [signatures, actions].
        """
        if self.kind == "hard":
            signatures, actions = log_probabilities.shape
            policy = np.full((signatures, actions), self.smoothing / actions)
            advised = log_probabilities.argmax(axis=1)
            policy[np.arange(signatures), advised] += 1 - self.smoothing
            logarithms: NDArray[np.float32] = np.log(policy).astype(np.float32)
            return logarithms
        if self.temperature == 1.0:
            return log_probabilities
        # A fifth of a second to import, which --help does without.
        from scipy.special import log_softmax

        tempered: NDArray[np.float32] = log_softmax(
            log_probabilities.astype(np.float64) / self.temperature, axis=1
        ).astype(np.float32)
        return tempered
