"""Settings of a run to RLlib's configuration of the algorithm that learns."""

from __future__ import annotations

from rayapp.config import DQNSettings, PPOSettings, TrainingSettings
from rayapp.rl.config import KnowledgeConfig
from rayapp.rl.dqn import KnowledgeDQNConfig
from rayapp.rl.ppo import KnowledgePPOConfig


def learner_config(settings: TrainingSettings) -> KnowledgeConfig:
    """The algorithm's own part; scenario and knowledge are the same for all."""
    own = settings.learning
    algorithm = _configured(own)
    algorithm.training(
        train_batch_size_per_learner=own.flows_per_iteration,
        num_epochs=own.epochs,
        minibatch_size=own.minibatch_rows,
        lr=own.learning_rate,
        grad_clip=own.gradient_clip,
    )
    return algorithm


def _configured(own: PPOSettings | DQNSettings) -> KnowledgeConfig:
    if isinstance(own, DQNSettings):
        return KnowledgeDQNConfig().training(
            temperature=own.temperature,
            replay_tables=own.replay_tables,
            td_error_loss_fn=own.loss,
        )
    configured: KnowledgePPOConfig = KnowledgePPOConfig().training(
        clip_param=own.clip,
        vf_loss_coeff=own.value_coefficient,
        vf_clip_param=own.value_clip,
        entropy_coeff=own.entropy_coefficient,
    )
    return configured
