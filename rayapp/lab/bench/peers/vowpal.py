"""Vowpal Wabbit's online contextual bandit, driven from Python as fast as we know how.

``--cb_explore`` with one linear model per action over predicted class and signature, one-hot,
and with what favours it here: no torch, no checkpoints and no metrics; an example that has come
before (signature, action, cost, probability) is not parsed again; and exploration fades. With a
constant share of random actions the average reward would stay below the bound for ever.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import Scenario, ThreatMitigationVectorEnv
from envs.state import Decided
from rayapp.lab.bench.peers.contender import Peer, Stretch, Work, flows_of
from rayapp.rl.stepping import Slice, action_noise, pick_actions

SETTINGS = (
    {"frozen_flows": 1_024, "cb_type": "mtr"},
    {"frozen_flows": 4_096, "cb_type": "mtr"},
    {"frozen_flows": 16_384, "cb_type": "mtr"},
    {"frozen_flows": 4_096, "cb_type": "dr"},
)
"""``dr`` is Vowpal Wabbit's default; with ``ips`` and ``dm`` it is no faster in time near the
bound, and after hundreds of thousands of flows still far from it."""

STRETCH = 4_096
"""Flows between two looks at the clock."""

_BITS = 22

EXPLORED = 1_024
"""Random actions in each doubling of the flows: their share is this by the flows so far,
rounded to a power of two (epsilon_n-greedy: Auer et al. 2002)."""


def exploration(flows: int) -> float:
    """Share of actions drawn evenly from all after so many flows; half at first."""
    doublings = max(flows // (2 * EXPLORED), 1).bit_length()
    return 0.5**doublings


class InBlocks(Peer):
    """A workspace of Vowpal Wabbit that is asked once per block and signature."""

    def __init__(self, work: Work) -> None:
        from vowpalwabbit import Workspace

        self._flows = flows_of(Scenario.load(work.scenario))
        self._actions = len(self._flows.catalogue.actions)
        self._frozen, self._at = int(work.setting["frozen_flows"]), 0
        self._env = ThreatMitigationVectorEnv(self._flows, self._frozen)
        self._contexts = [
            # A name that is a number would be its own hash, and neighbours would share weights.
            f"|class c{kind} |signature s{number}"
            for number, kind in enumerate(self._flows.contexts.traffic.tolist())
        ]
        # It names the action that looks best; who asks explores around it.
        self._workspace: Any = Workspace(
            f"--cb_explore {self._actions} --epsilon 0 --cb_type {work.setting['cb_type']} "
            f"--bit_precision {_BITS} --quiet"
        )
        self._asked = [self._workspace.example(context) for context in self._contexts]
        self._best: NDArray[np.int64] = np.zeros(len(self._contexts), np.int64)
        self._share = 0.0
        self._examples: dict[tuple[int, int, float, float], object] = {}

    def train(self) -> Stretch:
        """Some thousand flows."""
        parts = [self._step() for _ in range(max(1, STRETCH // self._frozen))]
        return Stretch(self._frozen * len(parts), float(np.mean(parts)))

    def _step(self) -> float:
        """Decides flows by what is known now, then learns them one by one; their reward."""
        if (share := exploration(self._at)) != self._share:
            # Other probabilities make other examples.
            self._share, self._examples = share, {}
        self._env.seek(self._at)
        signature = self._env.meet()
        noise = action_noise(0, Slice(self._at, self._frozen))
        actions, chance = self._act(signature, noise)
        decided = self._env.decide(actions)
        self._learn(decided, actions, chance)
        self._at += self._frozen
        return float(decided.reward.mean())

    def _act(
        self, signature: NDArray[np.int32], noise: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        for number in np.unique(signature).tolist():
            self._best[number] = np.argmax(self._workspace.predict(self._asked[number]))
        table = np.full((len(self._best), self._actions), self._share / self._actions)
        table[np.arange(len(table)), self._best] += 1 - self._share
        actions = pick_actions(table, signature, noise)
        return actions, table[signature, actions]

    def _learn(
        self, decided: Decided, actions: NDArray[np.int64], chance: NDArray[np.float64]
    ) -> None:
        catalogue = self._flows.catalogue
        lowest, highest = catalogue.lowest_reward, catalogue.highest_reward
        cost = (highest - decided.reward) / (highest - lowest)
        rows = zip(
            decided.context.tolist(),
            actions.tolist(),
            cost.tolist(),
            chance.tolist(),
            strict=True,
        )
        examples, contexts, workspace = self._examples, self._contexts, self._workspace
        for row in rows:
            example = examples.get(row)
            if example is None:
                number, action, paid, likely = row
                # Vowpal Wabbit numbers actions from 1.
                text = f"{action + 1}:{paid}:{likely} {contexts[number]}"
                example = examples[row] = workspace.example(text)
            workspace.learn(example)

    def stop(self) -> None:
        """Frees the workspace."""
        self._asked, self._examples = [], {}
        self._workspace.finish()
