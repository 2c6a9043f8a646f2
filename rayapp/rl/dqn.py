"""DQN and DQN-KG, as an RLlib algorithm: off-policy learning on interaction tables."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from ray.rllib.algorithms.dqn import DQN, DQNConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor

from envs import InteractionTable
from rayapp.rl import rllib_private
from rayapp.rl.algorithm import KnowledgeInfused
from rayapp.rl.config import KnowledgeConfig
from rayapp.rl.dqn_learner import ReferenceDQNLearner
from rayapp.rl.q_module import QModule
from rayapp.rl.replay import TableReplay

REPLAY_STATE = "replay"


class KnowledgeDQNConfig(KnowledgeConfig, DQNConfig):
    """DQN's configuration plus what knowledge infusion needs.

    Exploration is softmax(Q / temperature), the policy of the KL term and of the saved policy
    too. RLlib's epsilon and its replay buffer of episodes are not used.
    """

    module_class: ClassVar[type[TorchRLModule]] = QModule

    def __init__(self, algo_class: type[DQN] | None = None) -> None:
        super().__init__(algo_class=algo_class or KnowledgeDQN)
        self.temperature: float = 0.25
        self.replay_tables: int = 64
        self.num_epochs = 8
        self.minibatch_size = None
        self.lr = 3e-3
        self.grad_clip = None
        self.epsilon = 0.0
        self.double_q = False
        self.dueling = False
        # RLlib asks for a type even where it is to make none.
        self.replay_buffer_config = {
            "type": "EpisodeReplayBuffer",
            "no_local_replay_buffer": True,
        }

    def training(
        self,
        *,
        temperature: float | None = None,
        replay_tables: int | None = None,
        **kwargs: Any,  # noqa: ANN401 (RLlib's)
    ) -> Self:
        """RLlib's settings, and this algorithm's own; what is ``None`` stays as it is.

        Args:
            temperature: of the policy softmax(Q / temperature), in reward units.
            replay_tables: iterations whose interactions are remembered, the current one
                included; with 1, learning is on the latest interactions alone.
            kwargs: what RLlib's DQN takes.
        """
        super().training(**kwargs)
        if temperature is not None:
            self.temperature = temperature
        if replay_tables is not None:
            self.replay_tables = replay_tables
        return self

    def validate(self) -> None:
        """RLlib's checks, and those of what one-step episodes and this Q-network leave out."""
        super().validate()
        if self.temperature <= 0 or self.replay_tables < 1:
            rllib_private.refuse(self, "temperature must be above 0 and replay_tables at least 1.")
        if self.double_q or self.n_step != 1:
            rllib_private.refuse(
                self, "Flows are episodes of one step; there is nothing to bootstrap."
            )
        if self.epsilon or self.noisy:
            rllib_private.refuse(self, "Exploration is softmax(Q / temperature).")
        if self.dueling or self.num_atoms != 1:
            rllib_private.refuse(self, "The Q-network has one expected reward per action.")

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """The Q-network for the scenario."""
        spec = super().get_default_rl_module_spec()
        spec.model_config["temperature"] = self.temperature
        return spec

    def get_default_learner_class(self) -> type[ReferenceDQNLearner]:
        """The learner that knows weights and reference policies."""
        return ReferenceDQNLearner


class KnowledgeDQN(KnowledgeInfused, DQN):
    """RLlib's DQN whose iterations run on the interaction tables of many iterations."""

    config: KnowledgeDQNConfig

    @classmethod
    def get_default_config(cls) -> KnowledgeDQNConfig:
        """The configuration class to start from."""
        return KnowledgeDQNConfig()

    def setup(self, config: Any) -> None:  # noqa: ANN401 (RLlib's signature)
        """What all have, and an empty memory."""
        super().setup(config)
        self.replay = TableReplay(self.config.replay_tables)

    def _learnt_from(self, table: InteractionTable) -> InteractionTable:
        self.replay.add(table)
        return self.replay.total()

    def _policy_network(self, weights: dict[str, NDArray[np.float32]]) -> dict[str, Tensor]:
        """The Q-network with its head divided by the temperature: logits of the policy."""
        named = {f"policy.{name.removeprefix('q.')}": value for name, value in weights.items()}
        network = super()._policy_network(named)
        # The last two parameters are those of the linear head.
        for name in list(network)[-2:]:
            network[name] = network[name] / self.config.temperature
        return network

    def get_state(
        self,
        components: str | Collection[str] | None = None,
        *,
        not_components: str | Collection[str] | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> dict[str, Any]:
        """What all have, and the memory."""
        state = super().get_state(components, not_components=not_components, **kwargs)
        state[REPLAY_STATE] = self.replay.get_state()
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores it."""
        super().set_state(state)
        if REPLAY_STATE in state:
            self.replay.set_state(state[REPLAY_STATE])
