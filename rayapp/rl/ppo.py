"""PPO, PPO-KG and everything between them, as an RLlib algorithm."""

from __future__ import annotations

from ray.rllib.algorithms.ppo import PPO, PPOConfig

from rayapp.rl.algorithm import KnowledgeInfused
from rayapp.rl.config import KnowledgeConfig
from rayapp.rl.learner import ReferencePPOLearner


class KnowledgePPOConfig(KnowledgeConfig, PPOConfig):
    """PPO's configuration plus what knowledge infusion needs.

    ``KnowledgePPOConfig().scenario(path).build_algo()`` is a complete PPO-KG; with
    ``scenario(path, infuse=False)`` it is plain PPO on the same code. Defaults are those of
    ``kirl train``.
    """

    def __init__(self, algo_class: type[PPO] | None = None) -> None:
        super().__init__(algo_class=algo_class or KnowledgePPO)
        # RLlib's own KL penalty is between successive policies and plays no part in eq. 6.
        self.use_kl_loss = False
        self.minibatch_size = None
        self.num_epochs = 8
        self.lr = 3e-3
        self.vf_clip_param = 100.0
        self.grad_clip = None

    def get_default_learner_class(self) -> type[ReferencePPOLearner]:
        """The learner that knows weights and reference policies."""
        return ReferencePPOLearner


class KnowledgePPO(KnowledgeInfused, PPO):
    """RLlib's PPO whose iterations run on interaction tables."""

    config: KnowledgePPOConfig

    @classmethod
    def get_default_config(cls) -> KnowledgePPOConfig:
        """The configuration class to start from."""
        return KnowledgePPOConfig()
