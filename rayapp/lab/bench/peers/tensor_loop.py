"""Counted PPO as a plain PyTorch loop: what the hardware allows without any framework.

The same flows, state, network, loss, weights and optimiser as kirl's plain PPO, in one process,
with no Ray, no RLlib, no graph, no checkpoints and no metrics. It is written as fast as kirl's
own parts allow, and it is what kirl's rate is compared with.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from envs import Counters, InteractionTable, Scenario, ThreatMitigationVectorEnv
from envs.state import observe
from rayapp.lab.bench.peers.contender import (
    LEARNING_RATE,
    Peer,
    Stretch,
    Work,
    flows_of,
    network_of,
    use_one_thread,
)
from rayapp.rl.grouping import Grouping
from rayapp.rl.networks import EmbeddingEncoder, build
from rayapp.rl.stepping import Slice, action_noise, pick_actions

SETTINGS = ({"flows_per_iteration": 65_536, "epochs": 8},)

CLIP = 0.3
BALANCE, LIMIT = 0.7, 20.0


class TensorLoop(Peer):
    """The loop; one iteration at a time.

    Attributes:
        policy, value: the networks.
    """

    def __init__(self, work: Work) -> None:
        use_one_thread()
        torch.manual_seed(0)
        self._count, self._epochs = (
            int(work.setting[name]) for name in ("flows_per_iteration", "epochs")
        )
        self._at = 0
        self._flows = flows_of(Scenario.load(work.scenario))
        self._env = ThreatMitigationVectorEnv(self._flows, self._count)
        spec = network_of(self._flows)
        self.policy, self.value = build(spec, spec.actions), build(spec, 1)
        parameters = [*self.policy.parameters(), *self.value.parameters()]
        self._optimiser = torch.optim.Adam(parameters, lr=LEARNING_RATE, fused=True)
        self._met = np.zeros(spec.classes, np.int64)

    def train(self) -> Stretch:
        """Flows of an iteration, and all epochs on them."""
        env, count = self._env, self._count
        # Frozen for the iteration, as its flows met them.
        known = env.situation.counters
        before = Counters(known.seen.copy(), known.correct.copy(), known.prior)
        env.seek(self._at)
        context = env.meet()
        noise = action_noise(0, Slice(self._at, count))
        actions = pick_actions(self._probabilities(before), context, noise)
        decided = env.decide(actions)
        table = InteractionTable.tally(context, actions, decided.actual)
        self._learn(table, before)
        self._at += count
        return Stretch(count, float(decided.reward.mean()))

    def _probabilities(self, counters: Counters) -> NDArray[np.float64]:
        everything = np.arange(len(self._flows.contexts))
        observed = torch.from_numpy(observe(everything, self._flows.contexts, counters))
        with torch.no_grad():
            logits = self.policy(observed).double()
        probabilities: NDArray[np.float64] = torch.softmax(logits, dim=-1).numpy()
        return probabilities

    def _learn(self, table: InteractionTable, counters: Counters) -> None:
        observed = torch.from_numpy(observe(table.context, self._flows.contexts, counters))
        actions = torch.from_numpy(table.action.astype(np.int64))
        rewards = torch.from_numpy(table.rewards(self._flows.catalogue).astype(np.float32))
        weights = self._weights(table)
        networks = [[*network] for network in (self.policy, self.value)]
        grouping = Grouping.of(torch.from_numpy(table.context.astype(np.int64)))
        prepared = networks[0][0].prepare(observed[grouping.first])
        old: Tensor | None = None
        advantages = torch.zeros_like(rewards)
        for _ in range(self._epochs):
            logits, values = (_forward(network, prepared) for network in networks)
            logp = grouping.taken(torch.log_softmax(logits, dim=-1), actions)
            values = grouping.spread(values.squeeze(1))
            if old is None:
                old, advantages = logp.detach(), _standardised(rewards - values.detach(), weights)
            ratio = torch.exp(logp - old)
            clipped = torch.clamp(ratio, 1 - CLIP, 1 + CLIP)
            surrogate = torch.min(advantages * ratio, advantages * clipped)
            error = torch.clamp((values - rewards) ** 2, 0, 100.0)
            loss = (weights * (error - surrogate)).mean()
            self._optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimiser.step()

    def _weights(self, table: InteractionTable) -> Tensor:
        self._met += table.flows_by_class(len(self._met))
        met = np.maximum(self._met, 1)
        weights = table.count * np.minimum((met.max() / met) ** BALANCE, LIMIT)[table.actual]
        return torch.from_numpy((weights / weights.mean()).astype(np.float32))


def _forward(network: list[nn.Module], prepared: object) -> Tensor:
    encoder, *layers = network
    assert isinstance(encoder, EmbeddingEncoder)  # noqa: S101 (for the type checker)
    data = encoder.join(prepared)  # type: ignore[arg-type]
    for layer in layers:
        data = layer(data)
    return data


def _standardised(advantages: Tensor, weights: Tensor) -> Tensor:
    share = weights / weights.sum()
    centred = advantages - (share * advantages).sum()
    deviation = torch.sqrt((share * centred**2).sum())
    return centred / torch.clamp(deviation, min=1e-4)
