"""The signature database, and how far a signature can be trusted.

A signature is what fires on a flow: a leaf of the decision tree (:mod:`envs.detector.leaves`). Its
confidence is the mean of a Beta posterior over its record of right and wrong matches (eq. 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class BetaPrior:
    """The Beta(alpha, beta) prior of a signature's confidence; 1, 1 is uniform (the paper's)."""

    alpha: float = 1.0
    beta: float = 1.0

    def confidence(self, seen: ArrayLike, correct: ArrayLike) -> NDArray[np.float64]:
        """B = (alpha + C) / (alpha + beta + N), eq. 1.

        Args:
            seen: N, flows that matched the signature.
            correct: C, those of them whose predicted class was right.
        """
        confidence: NDArray[np.float64] = (self.alpha + np.asarray(correct, np.float64)) / (
            self.alpha + self.beta + np.asarray(seen, np.float64)
        )
        return confidence


@dataclass(frozen=True)
class SignatureTable:
    """The signature database. A signature's id is its row.

    Attributes:
        predicted: int8 [signatures], index of the predicted class.
        rule: [signatures], the readable condition that a flow must meet.
        support: int64 [signatures], training flows that matched.
    """

    predicted: NDArray[np.int8]
    rule: tuple[str, ...]
    support: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.predicted)
