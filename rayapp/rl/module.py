"""Policy and value networks on the paper's observation vector, as an RLlib RLModule.

The environment hands out raw numbers (eq. 2 and 4); how to encode them is decided here:

* ``raw``: the vector goes into the network as it is. The paper's baseline.
* ``embedding``: class and advised action one-hot, a learnt vector per signature, counts as
  logarithms, rewards scaled to -1..1.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor, nn

from envs.catalogue import TOP_REWARD

EncoderKind = Literal["embedding", "raw"]

_LOG_COUNT_SCALE = 10.0
"""Divides log(1 + count), so that a count of 20,000 flows enters the network as about 1."""


class RawEncoder(nn.Module):
    """The observation vector as it is, float32 [n, 5 or 7]."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.width = columns

    def forward(self, observations: Tensor) -> Tensor:
        """Returns its input."""
        return observations


class EmbeddingEncoder(nn.Module):
    """Observation vectors [n, 5 or 7] to features [n, width].

    Args:
        signatures: size of the signature database.
        classes: number of traffic classes.
        actions: number of actions.
        dimension: length of a signature's learnt vector.
        augmented: whether the observation has A_LLM and R_LLM (eq. 4).
    """

    def __init__(
        self, signatures: int, classes: int, actions: int, dimension: int, *, augmented: bool
    ) -> None:
        super().__init__()
        self.signature = nn.Embedding(signatures, dimension)
        nn.init.normal_(self.signature.weight, std=0.1)
        self._classes, self._actions, self._augmented = classes, actions, augmented
        self.width = classes + dimension + 3 + (actions + 1 if augmented else 0)

    def forward(self, observations: Tensor) -> Tensor:
        """Encodes a batch of observations."""
        predicted, signature = observations[:, 0].long(), observations[:, 1].long()
        parts = [
            nn.functional.one_hot(predicted, self._classes).float(),
            self.signature(signature),
            torch.log1p(observations[:, 2:4]) / _LOG_COUNT_SCALE,
            observations[:, 4:5],
        ]
        if self._augmented:
            parts.append(nn.functional.one_hot(observations[:, 5].long(), self._actions).float())
            parts.append(observations[:, 6:7] / TOP_REWARD)
        return torch.cat(parts, dim=1)


class MitigationModule(TorchRLModule, ValueFunctionAPI):
    """Separate policy and value networks, each with its own encoder.

    ``model_config`` keys: ``encoder`` (:data:`EncoderKind`), ``embedding_dim``, ``hidden``
    (layer widths), ``signatures``, ``classes``.
    """

    def setup(self) -> None:
        """Builds the networks from ``model_config`` and the spaces."""
        columns, actions = self.observation_space.shape[0], int(self.action_space.n)
        self.policy = self._network(columns, actions, outputs=actions)
        self.value = self._network(columns, actions, outputs=1)

    def _network(self, columns: int, actions: int, *, outputs: int) -> nn.Sequential:
        config = self.model_config
        encoder: RawEncoder | EmbeddingEncoder
        if config["encoder"] == "raw":
            encoder = RawEncoder(columns)
        else:
            encoder = EmbeddingEncoder(
                config["signatures"],
                config["classes"],
                actions,
                config["embedding_dim"],
                augmented=columns > 5,
            )
        layers: list[nn.Module] = [encoder]
        width = encoder.width
        for hidden in config["hidden"]:
            layers += [nn.Linear(width, hidden), nn.Tanh()]
            width = hidden
        head = nn.Linear(width, outputs)
        # A nearly uniform policy and a value near 0 to begin with.
        nn.init.orthogonal_(head.weight, 0.01)
        nn.init.zeros_(head.bias)
        return nn.Sequential(*layers, head)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401
        return {Columns.ACTION_DIST_INPUTS: self.policy(batch[Columns.OBS])}

    def compute_values(
        self,
        batch: dict[str, Any],
        embeddings: Any = None,  # noqa: ANN401 (RLlib's signature)
    ) -> Tensor:
        """State values, float32 [n]."""
        values: Tensor = self.value(batch[Columns.OBS]).squeeze(-1)
        return values
