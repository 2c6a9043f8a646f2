"""Vowpal Wabbit flow by flow: it is asked about each flow, decides, and learns from it at once.

What its manual shows. :mod:`rayapp.lab.bench.peers.vowpal` is faster, as its policy is frozen for
thousands of flows, it is asked once per signature, and it learns from examples parsed before.
Model, exploration and random numbers are the same.
"""

from __future__ import annotations

from envs import Scenario
from envs.catalogue import MISS_REWARD, TOP_REWARD
from envs.stream import FlowStream
from rayapp.lab.bench.peers.contender import Peer, Stretch, Work, flows_of
from rayapp.lab.bench.peers.vowpal import STRETCH, contexts_of, exploration, lesson, workspace_of
from rayapp.rl.stepping import Slice, action_noise

SETTINGS = ({"cb_type": "mtr"}, {"cb_type": "dr"})


class FlowByFlow(Peer):
    """A workspace of Vowpal Wabbit; plain Python numbers, since arrays of one are slower."""

    def __init__(self, work: Work) -> None:
        self._flows = flows_of(Scenario.load(work.scenario))
        self._stream, self._at = FlowStream(len(self._flows), 0), 0
        self._contexts = contexts_of(self._flows)
        self._rewards = self._flows.catalogue.rewards.tolist()
        actions = len(self._flows.catalogue.actions)
        self._workspace = workspace_of(actions, str(work.setting["cb_type"]))

    def train(self) -> Stretch:
        """Some thousand flows, one after the other."""
        flow = self._stream.take(self._at, STRETCH)
        noise = action_noise(0, Slice(self._at, STRETCH))
        met = zip(
            self._flows.context[flow].tolist(),
            self._flows.actual[flow].tolist(),
            noise.tolist(),
            strict=True,
        )
        total = sum(self._decide(*one, self._at + place) for place, one in enumerate(met))
        self._at += STRETCH
        return Stretch(STRETCH, total / STRETCH)

    def _decide(self, signature: int, actual: int, noise: float, flows: int) -> int:
        """One flow from its signature to what was learnt of it; the reward."""
        context, rewards = self._contexts[signature], self._rewards[actual]
        chances = self._workspace.predict(context)
        best, share = chances.index(max(chances)), exploration(flows)
        # The share's part of [0, 1) is cut evenly into actions.
        action = int(noise / share * len(chances)) if noise < share else best
        chance = share / len(chances) + (1 - share) * (action == best)
        reward: int = rewards[action]
        cost = (TOP_REWARD - reward) / (TOP_REWARD - MISS_REWARD)
        self._workspace.learn(lesson(context, action, cost, chance))
        return reward

    def stop(self) -> None:
        """Frees the workspace."""
        self._workspace.finish()
