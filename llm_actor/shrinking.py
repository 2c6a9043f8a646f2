"""What is known of a context's flows: its own counts, drawn towards those of its kind.

With a second opinion there are many contexts, most of them rare. Contexts in which both detectors
say the same (the tree's class, the second opinion's class and its confidence) are of one kind
(:attr:`envs.Contexts.kind`), and a kind's counts tell more of a rare context than its own few.
This is the posterior mean of a Dirichlet prior that the kind's shares are the mean of.

Training meets its flows over and over, and a graph counts all that it meets. So strengths count
*distinct* flows: after a hundred passes they weigh a hundred times as much.

Strengths were chosen on training flows of the CICIDS2017 sample (seeds 0 to 2, boosted): parts of
0.3 of them were held out (``envs.holdout.hold_out(scenario, 0.3, seed)``, seeds 0 to 3), and the
best actions by :func:`shrunk` of the remaining flows' ``training_counts()`` were scored on them:

======== ======= ========== ===== ======= ========== =====
strength average class mean right average class mean right
======== ======= ========== ===== ======= ========== =====
0.3      4.9702  4.8517     62.1  4.9709  4.9044     67.7
1        4.9707  4.8608     62.9  4.9712  4.9245     65.6
3        4.9708  4.8733     59.4  4.9707  4.9251     64.5
10       4.9707  4.8774     58.1  4.9706  4.9244     64.3
30       4.9703  4.8734     57.4  4.9704  4.9235     64.0
100      4.9703  4.8745     57.6  4.9703  4.9235     63.8
======== ======= ========== ===== ======= ========== =====

On the left all flows count alike, on the right rare classes count more, as they do for learners
(class balance 0.25). 'Right' is how many percent of the actions are the top-ranked ones where the
tree is wrong. From 1 to 10 nothing tells them apart on the right, and 10 is best on the left.
Strengths of a kind from 0.1 to 2 differ by less than 0.0003 on average.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs import Contexts

STRENGTH = 10.0
"""Flows' worth that a kind's shares weigh against a context's own flows."""

KIND_STRENGTH = 0.5
"""Flows' worth that the second opinion's own word weighs against a kind's flows."""


def shrunk(
    counts: NDArray[np.int64] | NDArray[np.float64],
    contexts: Contexts,
    strength: float = STRENGTH,
) -> NDArray[np.float64]:
    """Flows by context and true class, with those that the kind adds, float64 [contexts, classes].

    Args:
        counts: [contexts, classes], flows by true class.
        contexts: with a second opinion.
        strength: flows' worth of the kind's shares.

    Raises:
        ValueError: there is no second opinion.
    """
    if contexts.opinion is None or contexts.confidence is None:
        raise ValueError("there is no second opinion")
    kinds = np.zeros((int(contexts.kind.max()) + 1, counts.shape[1]))
    first = np.unique(contexts.kind, return_index=True)[1]
    passes = max(1.0, counts.sum() / contexts.distinct) if contexts.distinct else 1.0
    # Nothing met yet: the second opinion is believed as far as it is sure, the tree else.
    rows = np.arange(len(kinds))
    sure = passes * KIND_STRENGTH * contexts.confidence[first].astype(np.float64)
    kinds[rows, contexts.opinion[first]] += sure
    kinds[rows, contexts.traffic[first]] += passes * KIND_STRENGTH - sure
    np.add.at(kinds, contexts.kind, counts)
    kinds /= kinds.sum(axis=1, keepdims=True)
    return counts + passes * strength * kinds[contexts.kind]
