"""A trained policy as a file: network and the knowledge it acts with, without Ray or pickle.

A folder of ``policy.safetensors`` (weights, N and C, and with advice A_LLM and R_LLM per
context; or a table of probabilities) and ``policy.json`` (kind, network, scenario
fingerprint).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from envs import BetaPrior, Contexts, Counters, InputError, Suggestion
from envs.files import replacing, sha256
from rayapp.rl.acting import action_probabilities
from rayapp.rl.networks import NetworkSpec, build

_WEIGHT = "network."


class Policy(Protocol):
    """Anything trained: every context has one distribution over actions."""

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the scenario that it was trained on."""
        ...

    def probabilities(self, contexts: Contexts) -> NDArray[np.float64]:
        """Action probabilities, float64 [contexts, actions].

        Args:
            contexts: the scenario's.
        """
        ...

    def actions(self, contexts: Contexts) -> NDArray[np.int64]:
        """The most probable action in each context, int64 [contexts]."""
        ...

    def save(self, folder: Path) -> None:
        """Writes the policy, replacing what stood there once everything is written."""
        ...


@dataclass(frozen=True)
class TablePolicy:
    """A policy without a network: the probabilities themselves.

    Attributes:
        table: float [contexts, actions], rows sum to 1.
        fingerprint: of the scenario it was learnt on.
    """

    table: NDArray[np.floating[Any]]
    fingerprint: str

    def probabilities(self, contexts: Contexts) -> NDArray[np.float64]:
        """See :class:`Policy`; raises :class:`ValueError` for another number of contexts."""
        if len(contexts) != len(self.table):
            raise ValueError("policy and contexts are of different scenarios")
        return self.table.astype(np.float64)

    def actions(self, contexts: Contexts) -> NDArray[np.int64]:
        """See :class:`Policy`."""
        best: NDArray[np.int64] = self.probabilities(contexts).argmax(axis=1)
        return best

    def save(self, folder: Path) -> None:
        """See :class:`Policy`."""
        table = torch.from_numpy(np.ascontiguousarray(self.table, np.float32))
        _write(folder, {"probabilities": table}, {"kind": "table", "fingerprint": self.fingerprint})

    @classmethod
    def _assemble(cls, about: dict[str, Any], tensors: dict[str, Tensor]) -> TablePolicy:
        table = tensors["probabilities"].numpy()
        if table.ndim != 2 or not np.allclose(table.sum(axis=1), 1.0, atol=1e-4):
            raise ValueError("not a table of probabilities")
        return cls(table, str(about["fingerprint"]))


@dataclass(frozen=True)
class SavedPolicy:
    """A policy network with frozen knowledge.

    Attributes:
        spec: of the network.
        weights: the policy network's parameters by name.
        counters: N and C at the end of training.
        suggestion: A_LLM and R_LLM at the end of training; ``None`` for plain PPO.
        fingerprint: of the scenario it was trained on.
    """

    spec: NetworkSpec
    weights: dict[str, Tensor]
    counters: Counters
    suggestion: Suggestion | None
    fingerprint: str

    def probabilities(self, contexts: Contexts) -> NDArray[np.float64]:
        """See :class:`Policy`."""
        return action_probabilities(self.network(), contexts, self.counters, self.suggestion)

    def actions(self, contexts: Contexts) -> NDArray[np.int64]:
        """See :class:`Policy`."""
        best: NDArray[np.int64] = self.probabilities(contexts).argmax(axis=1)
        return best

    def network(self) -> nn.Module:
        """The policy network: observations float32 [n, columns] to logits [n, actions]."""
        network = build(self.spec, outputs=self.spec.actions)
        network.load_state_dict(self.weights)
        return network

    def save(self, folder: Path) -> None:
        """Writes the policy, replacing what stood there once everything is written."""
        tensors = {_WEIGHT + name: value.contiguous() for name, value in self.weights.items()}
        tensors["counters.seen"] = torch.from_numpy(self.counters.seen.copy())
        tensors["counters.correct"] = torch.from_numpy(self.counters.correct.copy())
        if self.suggestion is not None:
            tensors["suggestion.action"] = torch.from_numpy(self.suggestion.action.copy())
            tensors["suggestion.reward"] = torch.from_numpy(self.suggestion.reward.copy())
        prior = self.counters.prior
        about: dict[str, Any] = {
            "kind": "network",
            "network": self.spec.to_json(),
            "prior": {"alpha": prior.alpha, "beta": prior.beta},
            "fingerprint": self.fingerprint,
        }
        _write(folder, tensors, about)

    @classmethod
    def _assemble(cls, about: dict[str, Any], tensors: dict[str, Tensor]) -> SavedPolicy:
        spec = NetworkSpec.from_json(about["network"])
        seen = tensors["counters.seen"].numpy()
        if len(seen) != spec.signatures:
            raise ValueError("counters and network are of different databases")
        suggestion = None
        if spec.augmented:
            suggestion = Suggestion(
                tensors["suggestion.action"].numpy(), tensors["suggestion.reward"].numpy()
            )
            contexts = len(suggestion.action)
            # Without a second opinion there is one context per signature.
            fits = contexts >= 1 if spec.opinion else contexts == len(seen)
            if not fits or len(suggestion.reward) != contexts:
                raise ValueError("advice and network are of different databases")
            if suggestion.action.min() < 0 or suggestion.action.max() >= spec.actions:
                raise ValueError("advice names no action")
        weights = {
            name.removeprefix(_WEIGHT): value
            for name, value in tensors.items()
            if name.startswith(_WEIGHT)
        }
        # On no device at all: sizes are compared before anything of that size is made.
        with torch.device("meta"):
            build(spec, outputs=spec.actions).load_state_dict(weights, assign=True)
        prior = BetaPrior(**about["prior"])
        counters = Counters(seen, tensors["counters.correct"].numpy(), prior)
        return cls(spec, weights, counters, suggestion, str(about["fingerprint"]))


_KINDS: dict[str, type[SavedPolicy] | type[TablePolicy]] = {
    "network": SavedPolicy,
    "table": TablePolicy,
}


def load_policy(folder: Path, fingerprint: str) -> Policy:
    """Reads what a policy's ``save`` wrote.

    Raises:
        InputError: missing or unreadable files, or a policy of another scenario.
    """
    about, tensors = _read(folder)
    if about.get("sha256") != sha256(folder / "policy.safetensors"):
        raise InputError(
            "has changed since it was written",
            where=str(folder / "policy.safetensors"),
            mend="Remove the run's policy folder and give its kirl train command again",
        )
    try:
        policy: Policy = _KINDS[about.get("kind", "network")]._assemble(about, tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"its parts do not fit together ({type(error).__name__})",
            where=str(folder),
            mend="Train the run again",
        ) from error
    if policy.fingerprint != fingerprint:
        raise InputError(
            f"the policy was trained on scenario {policy.fingerprint[:12]}",
            where=str(folder),
            expected=f"a policy of scenario {fingerprint[:12]}",
            mend="Use the run's own scenario",
        )
    return policy


def _write(folder: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    with replacing(folder) as temporary:
        temporary.mkdir()
        save_file(tensors, temporary / "policy.safetensors")
        about = about | {"sha256": sha256(temporary / "policy.safetensors")}
        (temporary / "policy.json").write_text(json.dumps(about, indent=2) + "\n")


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        about = json.loads((folder / "policy.json").read_text(encoding="utf-8"))
        return about, load_file(folder / "policy.safetensors")
    except FileNotFoundError as error:
        raise InputError(
            "holds no trained policy",
            where=str(folder),
            mend="Let kirl train finish this run first",
        ) from error
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(
            f"not a readable policy ({type(error).__name__})",
            where=str(folder),
            mend="Train the run again",
        ) from error
