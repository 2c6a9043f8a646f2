"""Policy and value networks with an old policy beside them, as an RLlib RLModule."""

from __future__ import annotations

from typing import Any

from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.utils import make_target_network
from ray.rllib.core.rl_module.apis import (
    TARGET_NETWORK_ACTION_DIST_INPUTS,
    InferenceOnlyAPI,
    TargetNetworkAPI,
)
from torch import nn

from rayapp.rl.module import MitigationModule


class TargetModule(MitigationModule, TargetNetworkAPI, InferenceOnlyAPI):
    """:class:`MitigationModule` plus the target policy that APPO's ratios are measured from.

    RLlib's learner makes it and moves it on. Runners act with the policy network alone.
    """

    def make_target_networks(self) -> None:
        """Copies the policy network."""
        self.old_policy = make_target_network(self.policy)

    def get_target_network_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """Policy network and its older copy."""
        return [(self.policy, self.old_policy)]

    def forward_target(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The old policy's logits, float32 [n, actions]."""
        return {TARGET_NETWORK_ACTION_DIST_INPUTS: self.old_policy(batch[Columns.OBS])}

    def get_non_inference_attributes(self) -> list[str]:
        """What runners are not sent."""
        return ["value", "old_policy"]
