"""Policy and value networks as an RLlib RLModule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor

from rayapp.rl.networks import NetworkSpec, build


class MitigationModule(TorchRLModule, ValueFunctionAPI):
    """Separate policy and value networks, each with its own encoder.

    ``model_config["network"]`` is a :class:`NetworkSpec` as JSON.
    """

    def setup(self) -> None:
        """Builds the networks."""
        spec = NetworkSpec.from_json(self.model_config["network"])
        self.policy = build(spec, outputs=spec.actions)
        self.value = build(spec, outputs=1)

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

    def prepared(self, observations: Tensor) -> Callable[[], tuple[Tensor, Tensor]]:
        """The networks on given observations, for several passes while parameters change.

        Returns:
            A function that gives logits [n, actions] and values [n].
        """
        policy, value = ([*network] for network in (self.policy, self.value))
        known = policy[0].prepare(observations)

        def forward() -> tuple[Tensor, Tensor]:
            logits, values = policy[0].join(known), value[0].join(known)
            for layer in policy[1:]:
                logits = layer(logits)
            for layer in value[1:]:
                values = layer(values)
            return logits, values.squeeze(-1)

        return forward
