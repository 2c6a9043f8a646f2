"""The learner's rows: one per distinct transition of an iteration, weighted by its count."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns

from envs import Contexts, InteractionTable, observe
from rayapp.rl.memory import Knowledge
from rayapp.rl.reference_term import CONTEXT, REFERENCE_LOGP, WEIGHTS


def counted_rows(
    table: InteractionTable,
    knowledge: Knowledge,
    contexts: Contexts,
    rewards: NDArray[np.int8],
    class_weights: NDArray[np.float64] | None = None,
) -> dict[str, NDArray[Any]]:
    """The learner's columns for a table: one row per distinct transition, weighted by count.

    Args:
        table: an iteration's interactions.
        knowledge: what they were sampled with.
        contexts: what the table's contexts stand for.
        rewards: int8 [classes, actions], eq. 3.
        class_weights: float64 [classes], what a flow of each true class counts; by default 1.

    Returns:
        Columns ``obs`` float32 [rows, 5 or 7], ``context`` int64 in ascending order, ``actions``
        int64, ``rewards`` float32, ``weights`` float32 with mean 1 and, with advice,
        ``reference_logp`` float32 [rows, actions].
    """
    count = table.count.astype(np.float64)
    if class_weights is not None:
        count *= class_weights[table.actual]
    rows: dict[str, NDArray[Any]] = {
        Columns.OBS: observe(table.context, contexts, knowledge.counters, knowledge.suggestion),
        CONTEXT: table.context.astype(np.int64),
        Columns.ACTIONS: table.action.astype(np.int64),
        Columns.REWARDS: rewards[table.actual, table.action].astype(np.float32),
        WEIGHTS: (count / count.mean()).astype(np.float32),
    }
    if knowledge.reference_logp is not None:
        rows[REFERENCE_LOGP] = knowledge.reference_logp[table.context]
    return rows


def cloning_rows(knowledge: Knowledge, contexts: Contexts) -> dict[str, NDArray[Any]]:
    """Columns to clone the reference policy from: one row per context seen, weighted by N.

    Args:
        knowledge: with a reference policy.
        contexts: what the contexts stand for.

    Returns:
        Columns ``obs``, ``weights`` and ``reference_logp`` as :func:`counted_rows` has them.

    Raises:
        ValueError: there is no reference policy, or no context was seen.
    """
    met = knowledge.counters.seen[contexts.signature]
    seen = np.flatnonzero(met)
    if knowledge.reference_logp is None or not len(seen):
        raise ValueError("there is nothing to clone")
    count = met[seen]
    return {
        Columns.OBS: observe(seen, contexts, knowledge.counters, knowledge.suggestion),
        WEIGHTS: (count / count.mean()).astype(np.float32),
        REFERENCE_LOGP: knowledge.reference_logp[seen],
    }
