"""What one iteration saw, for progress reports."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from llm_actor.circuit import CircuitState

OPEN: dict[CircuitState, float] = {"closed": 0.0, "half-open": 0.5, "open": 1.0}
"""An endpoint's circuit as a number, as curves show it."""


@dataclass(frozen=True)
class IterationSummary:
    """What one iteration saw.

    Attributes:
        flows: flows so far, this iteration included.
        average_reward: over this iteration's flows.
        class_reward: per class that occurred, by name.
        graph_version: of the graph after the iteration.
        prompts_asked: prompts answered after it.
        advice_age: versions of the graph that the oldest advice lags behind.
        results: the learner's metrics (loss terms, entropy, KL, lambda).
        fallbacks: of ``prompts_asked``, those that the graph reader answered for an endpoint.
        circuit: whether an endpoint is asked (``closed``), left alone (``open``) or just tried
            again (``half-open``); ``None`` for other advisors.
    """

    flows: int
    average_reward: float
    class_reward: dict[str, float]
    graph_version: int
    prompts_asked: int
    advice_age: int
    results: dict[str, float]
    fallbacks: int = 0
    circuit: CircuitState | None = None


def numbers(results: dict[str, Any]) -> dict[str, float]:
    """The learner's metrics that are finite numbers."""
    found = {}
    for name, value in results.items():
        peek = getattr(value, "peek", None)
        number = peek() if callable(peek) else value
        try:
            plain = float(number)
        except (TypeError, ValueError):
            continue
        # RLlib leaves some of its statistics empty (NaN), which JSON cannot hold.
        if math.isfinite(plain):
            found[name] = plain
    return found
