"""Which actions stay open for a signature: the filter of the paper's section III-C."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kg_actor.graph import Numbers


def open_actions(
    predicted: NDArray[np.int8],
    actual: Numbers | NDArray[np.float32],
    rewards: NDArray[np.float32] | NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Leaves out the actions that the records speak against (paper, section III-C).

    Those are the actions of negative mean reward under the predicted type, unless a type that
    the signature was misclassified as supports them, which means a positive mean reward there.
    An action without a record stays open; where nothing is left, everything is open again.

    Args:
        predicted: int8 [signatures], index of the type each signature predicts.
        actual: [signatures, classes], above 0 where flows of that class matched the signature;
            counts or shares.
        rewards: [classes, actions], mean reward of each action under each predicted type; NaN
            where there is no record.

    Returns:
        bool [signatures, actions], whether the action stays open.
    """
    refuted = rewards < 0
    confused = (actual > 0).astype(np.float32)
    confused[np.arange(len(predicted)), predicted] = 0
    rescued = confused @ (rewards > 0).astype(np.float32) > 0
    kept: NDArray[np.bool_] = ~refuted[predicted] | rescued
    kept[~kept.any(axis=1)] = True
    return kept
