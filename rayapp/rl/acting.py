"""The one forward pass: what a policy network does in every context, on frozen knowledge.

Environment runners, saved policies, late feedback and decisions all go through it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from envs import Contexts, Counters, Suggestion, observe


def action_probabilities(
    logits: Callable[[Tensor], Tensor],
    contexts: Contexts,
    counters: Counters,
    suggestion: Suggestion | None,
    context: NDArray[np.integer[Any]] | None = None,
) -> NDArray[np.float64]:
    """Action probabilities of a policy in some contexts, or in all of them.

    While knowledge is frozen an observation depends on its context alone, so one row per context
    says what the network would say of every flow.

    Args:
        logits: the policy network: observations float32 [n, columns] to logits [n, actions].
        contexts: what the contexts stand for.
        counters: N and C.
        suggestion: A_LLM and R_LLM; ``None`` for a policy without advice.
        context: [n], the contexts asked about; by default all of them in order.

    Returns:
        float64 [n, actions], rows sum to 1.
    """
    asked = np.arange(len(contexts)) if context is None else context
    observed = torch.from_numpy(observe(asked, contexts, counters, suggestion))
    with torch.no_grad():
        probabilities: NDArray[np.float64] = torch.softmax(
            logits(observed).double(), dim=-1
        ).numpy()
    return probabilities
