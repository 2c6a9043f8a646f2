"""The group of settings ``learning``: what an algorithm learns by, one model per algorithm.

Models are light: RLlib is imported when a model is asked for RLlib's configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from rayapp.rl.config import KnowledgeConfig

Flows = Annotated[int, Field(ge=1, le=2**40, strict=True)]
"""A number of flows."""

LearningRate = Annotated[float, Field(gt=0, le=1)]

_Epochs = Annotated[int, Field(ge=1, le=10_000, strict=True)]
_Weight = Annotated[float, Field(ge=0, le=1_000)]


class Settings(BaseModel):
    """A group of settings. Unknown names are refused, and values are fixed once they are read.

    The string below a field says what it does; ``kirl settings`` shows it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


class Learning(Settings):
    """What an algorithm learns by; the base of every algorithm's own model."""


class RLlibLearning(Learning):
    """What every algorithm on RLlib has."""

    flows_per_iteration: Flows = 65_536
    """Take this many flows in an iteration; then graph, advice and policy are updated."""

    def rllib(self) -> KnowledgeConfig:
        """RLlib's configuration, before scenario and knowledge are set."""
        from rayapp.rl.ppo import KnowledgePPOConfig

        return self._sized(KnowledgePPOConfig())

    def _sized(self, algorithm: KnowledgeConfig) -> KnowledgeConfig:
        algorithm.training(train_batch_size_per_learner=self.flows_per_iteration)
        return algorithm


class GradientLearning(RLlibLearning):
    """What PPO and DQN have in common."""

    epochs: _Epochs = 8
    """Pass this many times over the rows of an iteration."""

    minibatch_rows: Annotated[int, Field(ge=1, le=2**31, strict=True)] | None = None
    """Take this many distinct transitions in a gradient step; ``None`` takes all of them."""

    learning_rate: LearningRate = 3e-3
    """Set the step size of the optimiser Adam."""

    gradient_clip: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """Scale gradients down to this global norm; ``None`` leaves them as they are."""

    class_balance: Annotated[float, Field(ge=0, le=1)] = 0.7
    """Weigh rare classes up: a flow counts (flows of the most frequent true class / flows of its
    own true class) to this power. With 0 all flows count alike, with 1 all classes do. Where the
    scenario has a second opinion, the default is 0.25."""

    class_weight_limit: Annotated[float, Field(ge=1, le=1e12)] = 20.0
    """Let no flow count more than this many flows of the most frequent class."""

    def _sized(self, algorithm: KnowledgeConfig) -> KnowledgeConfig:
        super()._sized(algorithm).training(
            num_epochs=self.epochs,
            minibatch_size=self.minibatch_rows,
            lr=self.learning_rate,
            grad_clip=self.gradient_clip,
        )
        return algorithm.knowledge(
            class_balance=self.class_balance, class_weight_limit=self.class_weight_limit
        )


class PPOLearning(GradientLearning):
    """Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347)."""

    clip: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Clip the ratio of new to old probabilities at 1 +- this (PPO's epsilon)."""

    value_coefficient: _Weight = 1.0
    """Weigh the value network's loss by this."""

    entropy_coefficient: _Weight = 0.0
    """Weigh the bonus for entropy, which keeps a policy exploring, by this."""

    def rllib(self) -> KnowledgeConfig:
        """RLlib's configuration, before scenario and knowledge are set."""
        from rayapp.rl.ppo import KnowledgePPOConfig

        return self._sized(
            KnowledgePPOConfig().training(
                clip_param=self.clip,
                vf_loss_coeff=self.value_coefficient,
                entropy_coeff=self.entropy_coefficient,
            )
        )


class DQNLearning(GradientLearning):
    """Deep Q-learning (Mnih et al. 2015, doi 10.1038/nature14236) on flows of one step each."""

    class_balance: Annotated[float, Field(ge=0, le=1)] = 0.4
    """Weigh rare classes up: a flow counts (flows of the most frequent true class / flows of its
    own true class) to this power. With 0 all flows count alike, with 1 all classes do. Where the
    scenario has a second opinion, the default is 0.25."""

    replay_tables: Annotated[int, Field(ge=1, le=10_000, strict=True)] = 64
    """Learn from the interactions of this many iterations, the latest included."""

    temperature: Annotated[float, Field(gt=0, le=100)] = 0.25
    """Act by softmax(Q / temperature), in reward units. The KL term holds this policy, too."""

    def rllib(self) -> KnowledgeConfig:
        """RLlib's configuration, before scenario and knowledge are set."""
        from rayapp.rl.dqn import KnowledgeDQNConfig

        return self._sized(
            KnowledgeDQNConfig().training(
                temperature=self.temperature, replay_tables=self.replay_tables
            )
        )
