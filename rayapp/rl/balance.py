"""How much a flow counts by its true class, for the learner and for advice on contexts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def balance(
    flows: NDArray[np.int64] | NDArray[np.float64], power: float, limit: float = np.inf
) -> NDArray[np.float64]:
    """Weights that lift rare classes: (most frequent / own frequency) ** power, up to a limit.

    Without a limit, a class of a few flows among millions would outweigh all that it is mistaken
    for.

    Args:
        flows: [classes], flows met so far by true class.
        power: 0 weighs all flows alike, 1 all classes alike.
        limit: largest weight, at least 1.

    Returns:
        float64 [classes]; a class not met yet weighs like one met once.
    """
    met = np.maximum(flows, 1).astype(np.float64)
    weights: NDArray[np.float64] = np.minimum((met.max() / met) ** power, limit)
    return weights
