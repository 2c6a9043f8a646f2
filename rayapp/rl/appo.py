"""APPO and APPO-KG, as an RLlib algorithm: learning from the interactions of older weights."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.algorithms.appo import APPO, APPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.torch import TorchRLModule

from rayapp.rl import rllib_private
from rayapp.rl.appo_learner import ReferenceAPPOLearner
from rayapp.rl.config import KnowledgeConfig
from rayapp.rl.infusion import KnowledgeInfused
from rayapp.rl.networks import NetworkSpec, build
from rayapp.rl.target_module import TargetModule

STALE_STATE = "stale_weights"


class KnowledgeAPPOConfig(KnowledgeConfig, APPOConfig):
    """APPO's configuration plus what knowledge infusion needs.

    How stale the weights are that sample is a setting, ``lag``, rather than an accident of
    timing: the same seed gives the same policy.
    """

    module_class: ClassVar[type[TorchRLModule]] = TargetModule

    def __init__(self, algo_class: type[APPO] | None = None) -> None:
        super().__init__(algo_class=algo_class or KnowledgeAPPO)
        self.lag: int = 1
        # Updates are waited for, so a learner in a process of its own would gain nothing.
        self.num_learners = 0
        self.num_epochs = 8
        self.minibatch_size = None
        self.lr = 3e-3
        self.grad_clip = None
        self.entropy_coeff = 0.0
        self.vf_loss_coeff = 1.0
        # Flows are episodes of one step.
        self.rollout_fragment_length = 1
        # Nothing queues. So RLlib's unit of target_network_update_freq is one iteration.
        self.use_circular_buffer = False
        self.circular_buffer_num_batches = 1
        self.circular_buffer_iterations_per_batch = 1
        self.target_network_update_freq = 1

    def training(self, *, lag: int | None = None, **kwargs: Any) -> Self:  # noqa: ANN401 (RLlib's)
        """RLlib's settings, and this algorithm's own; what is ``None`` stays as it is.

        Args:
            lag: updates that the weights which sample are behind those that learn.
            kwargs: what RLlib's APPO takes.
        """
        super().training(**kwargs)
        if lag is not None:
            self.lag = lag
        return self

    def validate(self) -> None:
        """RLlib's checks, and this algorithm's own."""
        super().validate()
        if self.lag < 0:
            rllib_private.refuse(self, "lag must be at least 0.")
        if self.feedback_delay:
            rllib_private.refuse(
                self, "Late feedback is for the other algorithms; APPO's own is lag."
            )
        if self.use_kl_loss:
            rllib_private.refuse(
                self, "RLlib's own KL penalty adapts its weight and saves it in no checkpoint."
            )

    def get_default_learner_class(self) -> type[ReferenceAPPOLearner]:
        """The learner that knows weights and reference policies."""
        return ReferenceAPPOLearner


class KnowledgeAPPO(KnowledgeInfused, APPO):
    """RLlib's APPO whose iterations run on interaction tables."""

    config: KnowledgeAPPOConfig

    @classmethod
    def get_default_config(cls) -> KnowledgeAPPOConfig:
        """The configuration class to start from."""
        return KnowledgeAPPOConfig()

    def setup(self, config: Any) -> None:  # noqa: ANN401 (RLlib's signature)
        """What all have, and no older weights yet."""
        super().setup(config)
        self._older: deque[dict[str, NDArray[np.float32]]] = deque(maxlen=self.config.lag)

    def _acting_weights(self) -> dict[str, NDArray[np.float32]]:
        return self._older[0] if self._older else self._weights()

    def _learn_from(self, rows: dict[str, NDArray[Any]], flows: int) -> dict[str, Any]:
        rows[Columns.ACTION_LOGP] = self._behaviour_logp(rows)
        # Copies: RLlib's arrays share their memory with the network that is about to learn.
        self._older.append({name: np.array(value) for name, value in self._weights().items()})
        return super()._learn_from(rows, flows)

    def _behaviour_logp(self, rows: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Log-probabilities of the rows' actions under the weights that sampled, float32 [rows]."""
        spec = NetworkSpec.from_json(self.config.network)
        # On no device at all: its own random beginning is not needed.
        with torch.device("meta"):
            network = build(spec, outputs=spec.actions)
        network.load_state_dict(self._policy_network(self._acting_weights()), assign=True)
        with torch.inference_mode():
            logp = torch.log_softmax(network(torch.from_numpy(rows[Columns.OBS])), dim=-1)
        taken: NDArray[np.float32] = logp.numpy()[np.arange(len(logp)), rows[Columns.ACTIONS]]
        return taken

    def get_state(
        self,
        components: str | Collection[str] | None = None,
        *,
        not_components: str | Collection[str] | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> dict[str, Any]:
        """What all have, and the older weights."""
        state = super().get_state(components, not_components=not_components, **kwargs)
        state[STALE_STATE] = list(self._older)
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores them."""
        super().set_state(state)
        if STALE_STATE in state:
            self._older.clear()
            self._older.extend(state[STALE_STATE])
