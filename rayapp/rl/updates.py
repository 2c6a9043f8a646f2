"""Gradient steps on an iteration's counted rows, by RLlib's learner group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_RL_MODULE, DEFAULT_MODULE_ID
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import (
    LEARNER_RESULTS,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    NUM_ENV_STEPS_TRAINED_LIFETIME,
)

from rayapp.rl.reference_term import WEIGHTS

if TYPE_CHECKING:
    from rayapp.rl.config import KnowledgeConfig

Rows = dict[str, NDArray[Any]]
"""Columns of counted rows, as :mod:`rayapp.rl.counted` makes them."""


class Updater:
    """Lets an algorithm's learner pass over rows, and tells its weights.

    Args:
        config: the algorithm's.
        group: RLlib's group of learners.
        metrics: the algorithm's, which the learner's are added to.
    """

    def __init__(self, config: KnowledgeConfig, group: Any, metrics: Any) -> None:  # noqa: ANN401
        self._config, self._group, self._metrics = config, group, metrics

    def steps(
        self, rows: Rows, *, at: int, flows: int, epochs: int, minibatch: int | None = None
    ) -> dict[str, Any]:
        """Updates the networks.

        Args:
            rows: columns with one row per distinct transition.
            at: flows of the stream that were learnt from before.
            flows: that the rows count.
            epochs: passes over the rows.
            minibatch: rows per gradient step; ``None`` takes all of them.

        Returns:
            The learner's metrics.
        """
        size = len(rows[WEIGHTS])
        minibatch = min(minibatch or size, size)
        if minibatch < size:
            rows = self._shuffled(rows, at)
        results = self._group.update(
            batch=MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(rows)}, env_steps=flows),
            timesteps={
                NUM_ENV_STEPS_SAMPLED_LIFETIME: at,
                NUM_ENV_STEPS_TRAINED_LIFETIME: at + flows,
            },
            num_epochs=epochs,
            minibatch_size=minibatch,
        )
        self._metrics.aggregate(results, key=LEARNER_RESULTS)
        learnt: dict[str, Any] = results[0][DEFAULT_MODULE_ID]
        return learnt

    def _shuffled(self, rows: Rows, at: int) -> Rows:
        """Rows in an order that a resumed run would draw again; RLlib's own shuffle would not."""
        generator = np.random.default_rng([self._config.seed or 0, at])
        order = generator.permutation(len(rows[WEIGHTS]))
        return {name: column[order] for name, column in rows.items()}

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """Parameters of the module as it is now, by name."""
        state: dict[str, NDArray[np.float32]] = self._group.get_state(
            components=f"{COMPONENT_LEARNER}/{COMPONENT_RL_MODULE}", inference_only=True
        )[COMPONENT_LEARNER][COMPONENT_RL_MODULE][DEFAULT_MODULE_ID]
        return state
