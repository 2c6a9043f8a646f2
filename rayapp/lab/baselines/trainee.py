"""Lets a contextual bandit step the flow stream, as RLlib's environment runners do.

A bandit decides some thousand flows with what it knows, then learns what they earned. Which
flows it meets and which random numbers pick its actions follow from the seed and the flows'
places in the stream alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from envs import BetaPrior, Counters, FlowSet, InteractionTable, ThreatMitigationVectorEnv
from envs.score import score
from rayapp.rl.saved_policy import TablePolicy
from rayapp.rl.stepping import Slice, action_noise
from rayapp.rl.summary import IterationSummary

_STATE = "state.safetensors"
_LEARNER = "learner."


@dataclass(frozen=True)
class Decided:
    """Flows that a bandit decided, in the order of the stream.

    Attributes:
        context: int32 [n].
        action: int64 [n].
        actual: int8 [n], true class.
        reward: float64 [n].
    """

    context: NDArray[np.int32]
    action: NDArray[np.int64]
    actual: NDArray[np.int8]
    reward: NDArray[np.float64]

    @cached_property
    def table(self) -> InteractionTable:
        """The same, counted."""
        return InteractionTable.tally(self.context, self.action, self.actual)


class Bandit(Protocol):
    """A way to decide flows and to learn from what that earned."""

    def act(
        self, context: NDArray[np.int32], piece: Slice, noise: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Decides flows.

        Args:
            context: int32 [n], what the flows matched.
            piece: their place in the stream, to seed further random numbers with.
            noise: float64 [n] in [0, 1), one random number per flow.

        Returns:
            int64 [n], actions.
        """
        ...

    def learn(self, decided: Decided) -> None:
        """Takes in what the flows that :meth:`act` decided last have earned."""
        ...

    def greedy(self) -> NDArray[np.int64]:
        """The action that looks best now, without exploration, int64 [contexts]."""
        ...

    def state(self) -> dict[str, Tensor]:
        """All it has learnt."""
        ...

    def set_state(self, tensors: dict[str, Tensor]) -> None:
        """Goes back to a :meth:`state`."""
        ...


class BanditTrainee:
    """Trains a :class:`Bandit`; see :class:`rayapp.runs.trainee.Trainee`.

    Args:
        bandit: learns.
        flows: the training flows.
        fingerprint: of the scenario.
        total: flows to train on.
        flows_per_iteration: flows between two summaries.
        flows_per_update: flows decided before the bandit learns what they earned.
        prior: of the signatures' confidence.
        seed: of flow order and actions.
    """

    def __init__(
        self,
        bandit: Bandit,
        flows: FlowSet,
        fingerprint: str,
        *,
        total: int,
        flows_per_iteration: int,
        flows_per_update: int,
        prior: BetaPrior,
        seed: int,
    ) -> None:
        self.flows = self.training_iteration = 0
        self.summary: IterationSummary | None = None
        self.counters = Counters.zeros(len(flows.contexts.predicted), prior)
        self._bandit, self._flows, self._fingerprint = bandit, flows, fingerprint
        self._total, self._iteration, self._update = total, flows_per_iteration, flows_per_update
        self._seed = seed
        self._environments: dict[int, ThreatMitigationVectorEnv] = {}

    def train(self) -> None:
        """One iteration, or what is left of the training."""
        end = min(self.flows + self._iteration, self._total)
        tables = []
        while self.flows < end:
            piece = Slice(self.flows, min(self._update, end - self.flows))
            tables.append(self._step(piece))
            self.flows += piece.count
        self.training_iteration += 1
        self.summary = self._summarise(InteractionTable.total(tables))

    def _step(self, piece: Slice) -> InteractionTable:
        env = self._environment(piece)
        _, infos = env.reset()
        actions = self._bandit.act(infos["context"], piece, action_noise(self._seed, piece))
        _, reward, _, _, infos = env.step(actions)
        self.counters = env.situation.counters
        final = infos["final_info"]
        decided = Decided(final["context"], actions, final["actual"], reward)
        self._bandit.learn(decided)
        return decided.table

    def _environment(self, piece: Slice) -> ThreatMitigationVectorEnv:
        # Two sizes at most take turns: the usual one, and what is left of an iteration.
        env = self._environments.get(piece.count)
        if env is None:
            env = ThreatMitigationVectorEnv(
                self._flows, piece.count, prior=self.counters.prior, seed=self._seed
            )
            self._environments[piece.count] = env
        env.seek(piece.start)
        env.set_counters(self.counters)
        return env

    def _summarise(self, table: InteractionTable) -> IterationSummary:
        earned = score(table, self._flows.catalogue)
        explored = table.count[table.action != self._bandit.greedy()[table.context]].sum()
        return IterationSummary(
            flows=self.flows,
            average_reward=earned.average_reward,
            class_reward=earned.per_class,
            graph_version=0,
            prompts_asked=0,
            advice_age=0,
            # The share of flows that met another action than the one that looks best by now.
            results={"explored": float(explored / table.flows)},
        )

    def saved_policy(self) -> TablePolicy:
        """The greedy action of every context."""
        actions = len(self._flows.catalogue.actions)
        return TablePolicy(np.eye(actions)[self._bandit.greedy()], self._fingerprint)

    def save_to_path(self, path: str) -> None:
        """Writes what was learnt, N and C and the place in the training, without pickle."""
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            "flows": torch.tensor(self.flows),
            "iteration": torch.tensor(self.training_iteration),
            "counters.seen": torch.from_numpy(self.counters.seen),
            "counters.correct": torch.from_numpy(self.counters.correct),
        }
        for name, value in self._bandit.state().items():
            tensors[_LEARNER + name] = value.contiguous()
        save_file(tensors, folder / _STATE)

    def restore_from_path(self, path: str) -> None:
        """Goes back to what :meth:`save_to_path` wrote."""
        tensors = load_file(Path(path) / _STATE)
        self.flows = int(tensors.pop("flows"))
        self.training_iteration = int(tensors.pop("iteration"))
        seen, correct = tensors.pop("counters.seen"), tensors.pop("counters.correct")
        self.counters = Counters(seen.numpy(), correct.numpy(), self.counters.prior)
        self._bandit.set_state(
            {name.removeprefix(_LEARNER): value for name, value in tensors.items()}
        )

    def stop(self) -> None:
        """Holds nothing that needs freeing."""
