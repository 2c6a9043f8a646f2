"""The paper's DL (section IV-D): the policy network, trained like a classifier.

State vector (eq. 2) in, the best action of the flow's true class out. What the network sees
of a flow depends on its context alone, so the training flows are counted by (context,
true class), and a gradient step goes over the expectation of a batch, without the noise of
drawing one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from envs import BetaPrior, Counters, FlowSet, InteractionTable
from envs.score import score
from envs.state import observe
from rayapp.rl.networks import NetworkSpec, build
from rayapp.rl.saved_policy import Policy, SavedPolicy
from rayapp.rl.summary import IterationSummary

_STATE = "state.safetensors"


class SupervisedTrainee:
    """Trains the policy network on (state, best action) pairs; one iteration is one epoch.

    Args:
        flows: the training flows.
        spec: of the network; not augmented, since there is no advice.
        fingerprint: of the scenario.
        epoch_flows: flows that count as one epoch.
        total: flows to train on, over all epochs.
        batch_flows: flows per gradient step.
        learning_rate: of Adam.
        prior: of the signatures' confidence.
        seed: of the network's initialisation.
    """

    def __init__(
        self,
        flows: FlowSet,
        spec: NetworkSpec,
        fingerprint: str,
        *,
        epoch_flows: int,
        total: int,
        batch_flows: int,
        learning_rate: float,
        prior: BetaPrior,
        seed: int,
    ) -> None:
        self.flows = self.training_iteration = 0
        self.summary: IterationSummary | None = None
        self._flows, self._spec, self._fingerprint = flows, spec, fingerprint
        self._epoch_flows, self._total, self._batch_flows = epoch_flows, total, batch_flows
        self._counters = Counters.zeros(len(flows.contexts.predicted), prior)
        self._counters.add(flows.signature, flows.contexts.traffic[flows.context] == flows.actual)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._network = build(spec, outputs=spec.actions)
        self._optimiser = torch.optim.Adam(self._network.parameters(), lr=learning_rate)
        self._examples = _counted(flows, self._counters)

    def train(self) -> None:
        """One epoch, or what is left of the training."""
        flows = min(self._epoch_flows, self._total - self.flows)
        observed, wanted, weight = self._examples
        loss = torch.zeros(())
        for _ in range(-(-flows // self._batch_flows)):
            self._optimiser.zero_grad()
            logits = self._network(observed)
            loss = (weight * nn.functional.cross_entropy(logits, wanted, reduction="none")).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimiser.step()
        self.flows += flows
        self.training_iteration += 1
        self.summary = self._summarise(float(loss.detach()))

    def _summarise(self, loss: float) -> IterationSummary:
        flows = self._flows
        actions = self.saved_policy().actions(flows.contexts)[flows.context]
        earned = score(
            InteractionTable.tally(flows.context, actions, flows.actual), flows.catalogue
        )
        return IterationSummary(
            flows=self.flows,
            average_reward=earned.average_reward,
            class_reward=earned.per_class,
            graph_version=0,
            prompts_asked=0,
            advice_age=0,
            results={"total_loss": loss},
        )

    def saved_policy(self) -> Policy:
        """The network as it is now, with the training flows' N and C."""
        weights = {name: value.clone() for name, value in self._network.state_dict().items()}
        return SavedPolicy(self._spec, weights, self._counters, None, self._fingerprint)

    def save_to_path(self, path: str) -> None:
        """Writes weights, Adam's moments and the place in the training, without pickle."""
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        tensors: dict[str, Tensor] = {
            "flows": torch.tensor(self.flows),
            "iteration": torch.tensor(self.training_iteration),
        }
        for name, value in self._network.state_dict().items():
            tensors[f"network.{name}"] = value
        for number, moments in self._optimiser.state_dict()["state"].items():
            for name, value in moments.items():
                tensors[f"adam.{number}.{name}"] = value
        save_file({name: value.contiguous() for name, value in tensors.items()}, folder / _STATE)

    def restore_from_path(self, path: str) -> None:
        """Goes back to what :meth:`save_to_path` wrote."""
        tensors = load_file(Path(path) / _STATE)
        self.flows = int(tensors.pop("flows"))
        self.training_iteration = int(tensors.pop("iteration"))
        moments: dict[int, dict[str, Tensor]] = {}
        for name in list(tensors):
            if name.startswith("adam."):
                _, number, key = name.split(".", 2)
                moments.setdefault(int(number), {})[key] = tensors.pop(name)
        self._network.load_state_dict(
            {name.removeprefix("network."): value for name, value in tensors.items()}
        )
        state: dict[str, Any] = self._optimiser.state_dict() | {"state": moments}
        self._optimiser.load_state_dict(state)

    def stop(self) -> None:
        """Holds nothing that needs freeing."""


def _counted(flows: FlowSet, counters: Counters) -> tuple[Tensor, Tensor, Tensor]:
    """One row per kind of flow: state [rows, 5], best action [rows], share of flows [rows]."""
    classes = len(flows.catalogue.classes)
    kinds, count = np.unique(
        flows.context.astype(np.int64) * classes + flows.actual, return_counts=True
    )
    context, actual = np.divmod(kinds, classes)
    return (
        torch.from_numpy(observe(context, flows.contexts, counters)),
        torch.from_numpy(flows.catalogue.best_actions[actual].astype(np.int64)),
        torch.from_numpy((count / count.sum()).astype(np.float32)),
    )
