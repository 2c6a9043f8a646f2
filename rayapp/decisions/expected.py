"""What every mitigation is expected to earn in a context: shares of true classes, and rewards."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs import BetaPrior, Catalogue
from kg_actor.graph import Numbers


def class_shares(
    evidence: Numbers, predicted: NDArray[np.int8], prior: BetaPrior
) -> NDArray[np.float64]:
    """How probable every true class is in each context.

    A context's flows so far, and the prior of eq. 1 beside them: alpha flows of the class that
    is detected, beta flows of the other classes. Those beta flows are spread as often as each
    other class occurs in all contexts together, and evenly where none occurs. So the class that
    is detected has probability B.

    Args:
        evidence: [contexts, classes], flows met in a context by true class.
        predicted: int8 [contexts], the class that is detected there.
        prior: of the confidence.

    Returns:
        float64 [contexts, classes], rows sum to 1.
    """
    rows = np.arange(len(predicted))
    others = np.tile(evidence.sum(axis=0).astype(np.float64), (len(predicted), 1))
    others[rows, predicted] = 0.0
    nothing = others.sum(axis=1) == 0
    others[nothing] = 1.0
    others[rows, predicted] = 0.0
    # A catalogue of one class has no others.
    total = others.sum(axis=1, keepdims=True)
    shares = evidence + prior.beta * np.divide(others, total, out=others, where=total > 0)
    shares[rows, predicted] += prior.alpha
    normalised: NDArray[np.float64] = shares / shares.sum(axis=1, keepdims=True)
    return normalised


def expected_rewards(shares: NDArray[np.float64], catalogue: Catalogue) -> NDArray[np.float64]:
    """Expected reward of every action per flow, float64 [contexts, actions].

    Args:
        shares: float64 [contexts, classes], rows sum to 1.
        catalogue: what each action earns on a flow of each class.
    """
    expected: NDArray[np.float64] = shares @ catalogue.rewards.astype(np.float64)
    return expected
