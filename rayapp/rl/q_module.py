"""A Q-network as an RLlib RLModule, and the policy that it stands for."""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms.dqn.dqn_learner import QF_PREDS
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import QNetAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor

from rayapp.rl.networks import NetworkSpec, build


class QModule(TorchRLModule, QNetAPI):
    """Expected rewards Q(observation, action); the policy is softmax(Q / temperature).

    ``model_config["network"]`` is a :class:`NetworkSpec` as JSON,
    ``model_config["temperature"]`` is in reward units. There is no target network: a flow
    is an episode of one step, so no target contains an estimate of what comes next.
    """

    def setup(self) -> None:
        """Builds the network."""
        spec = NetworkSpec.from_json(self.model_config["network"])
        self.q = build(spec, outputs=spec.actions)
        self.temperature = float(self.model_config["temperature"])

    def compute_q_values(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Q-values, float32 [n, actions], under RLlib's name for them."""
        return {QF_PREDS: self.q(batch[Columns.OBS])}

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401
        # Softmax exploration: the actions tried most are those between which it matters.
        values = self.compute_q_values(batch)
        return {**values, Columns.ACTION_DIST_INPUTS: values[QF_PREDS] / self.temperature}
