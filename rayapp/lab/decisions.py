"""What one decision costs, from a flow's features to a mitigation.

Three ways, as the paper compares them (section V): the policy alone, the policy with cached
advice, and the policy with the language model asked for every flow. The first two are
:class:`rayapp.decisions.decider.Decider`, which looks decisions up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs import Suggestion
from kg_actor import Records
from llm_actor import Advisor, compose
from llm_actor.advisor import ask
from llm_actor.prompts import recorded_rewards
from rayapp.decisions.decider import Decider
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


class AskingDecider:
    """Decides with the advisor asked about each flow's context anew.

    Args:
        decider: of the run.
        policy: of the run.
        advisor: answers for each flow.
        records: of all contexts, as the graph holds them.

    Raises:
        ValueError: the policy was trained without advice.
    """

    def __init__(
        self, decider: Decider, policy: SavedPolicy, advisor: Advisor, records: Records
    ) -> None:
        if policy.suggestion is None:
            raise ValueError("a policy trained without advice has no use for an advisor")
        self._decider, self._policy, self._known = decider, policy, policy.suggestion
        self._advisor, self._records = advisor, records
        self._prompts = compose(records, decider.knowledge.catalogue)
        self._network = policy.network()

    def actions(self, features: NDArray[np.float32]) -> NDArray[np.int64]:
        """The most probable action of each flow, int64 [n].

        Args:
            features: float32 [n, features].
        """
        context = self._decider.contexts(features)
        answers, _ = ask(self._advisor, self._prompts.take(context))
        suggestion = Suggestion(self._known.action.copy(), self._known.reward.copy())
        suggestion.action[context] = answers.argmax(axis=1)
        suggestion.reward[context] = recorded_rewards(self._records, suggestion.action)[context]
        chosen: NDArray[np.int64] = action_probabilities(
            self._network,
            self._decider.knowledge.contexts,
            self._policy.counters,
            suggestion,
            context,
        ).argmax(axis=1)
        return chosen


def latency(decide: Callable[[NDArray[np.float32]], object], flows: NDArray[np.float32]) -> Latency:
    """Decides on flows one by one, after a few to warm up.

    Args:
        decide: takes float32 [1, features].
        flows: float32 [n, features].
    """
    for row in flows[:5]:
        decide(row[None])
    seconds = []
    for row in flows:
        begun = time.perf_counter()
        decide(row[None])
        seconds.append(time.perf_counter() - begun)
    return Latency(float(np.median(seconds)), float(np.quantile(seconds, 0.99)), len(flows))
