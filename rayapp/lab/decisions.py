"""One decision, from a flow's features to a mitigation, and what it costs.

Three ways, as the paper compares them (section V): the policy alone, the policy with cached
advice, and the policy with the language model asked for every flow.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from envs import Catalogue, Contexts, Suggestion
from envs.detector import Detector
from kg_actor import Records
from llm_actor import Advisor, compose
from llm_actor.advisor import ask
from rayapp.rl.acting import action_probabilities
from rayapp.rl.saved_policy import SavedPolicy


@dataclass(frozen=True)
class Latency:
    """Seconds per decision.

    Attributes:
        median, p99: over single flows, one after another.
        flows: that were decided.
    """

    median: float
    p99: float
    flows: int


class Decider:
    """Decides on flows with frozen knowledge.

    Args:
        detector: matches features to signatures.
        policy: a trained network.
        contexts: that flows are met in, one per signature.
        catalogue: classes and actions.
    """

    def __init__(
        self,
        detector: Detector[NDArray[np.float32]],
        policy: SavedPolicy,
        contexts: Contexts,
        catalogue: Catalogue,
    ) -> None:
        self._detector, self._policy = detector, policy
        self._contexts, self._catalogue = contexts, catalogue
        self._network = policy.network()

    def decide(self, features: NDArray[np.float32]) -> NDArray[np.int64]:
        """The most probable action of each flow, int64 [n].

        Args:
            features: float32 [n, 78].
        """
        return self._act(self._detector.match(features), self._policy.suggestion)

    def decide_asking(
        self, features: NDArray[np.float32], advisor: Advisor, records: Records
    ) -> NDArray[np.int64]:
        """The same, with the advisor asked about each flow's signature anew.

        Args:
            features: float32 [n, 78].
            advisor: answers for each flow.
            records: of all signatures, as the graph holds them.

        Raises:
            ValueError: the policy was trained without advice.
        """
        if self._policy.suggestion is None:
            raise ValueError("a policy trained without advice has no use for an advisor")
        signature = self._detector.match(features)
        asked = replace(
            records,
            predicted=records.predicted[signature],
            context_actual=records.context_actual[signature],
            confidence=records.confidence[signature],
        )
        answers, _ = ask(advisor, compose(asked, self._catalogue))
        known = self._policy.suggestion
        suggestion = Suggestion(known.action.copy(), known.reward.copy())
        suggestion.action[signature] = answers.argmax(axis=1)
        reward = records.action_reward[asked.predicted, suggestion.action[signature]]
        suggestion.reward[signature] = np.nan_to_num(reward)
        return self._act(signature, suggestion)

    def _act(self, context: NDArray[np.int32], suggestion: Suggestion | None) -> NDArray[np.int64]:
        chosen: NDArray[np.int64] = action_probabilities(
            self._network, self._contexts, self._policy.counters, suggestion, context
        ).argmax(axis=1)
        return chosen


def latency(decide: Callable[[NDArray[np.float32]], object], flows: NDArray[np.float32]) -> Latency:
    """Decides on flows one by one, after a few to warm up.

    Args:
        decide: takes float32 [1, 78].
        flows: float32 [n, 78].
    """
    for row in flows[:5]:
        decide(row[None])
    seconds = []
    for row in flows:
        begun = time.perf_counter()
        decide(row[None])
        seconds.append(time.perf_counter() - begun)
    return Latency(float(np.median(seconds)), float(np.quantile(seconds, 0.99)), len(flows))
