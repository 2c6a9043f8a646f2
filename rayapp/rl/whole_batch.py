"""Learning from a whole counted batch at once, without what RLlib does for every minibatch.

An iteration's counted rows are a few thousand, and by default every gradient step takes all of
them. RLlib would cut, copy and convert the batch anew for each step, log a dozen metrics of
which the last count, and test every gradient twice. Here the rows become tensors once, what
needs no learnt parameter is encoded once, the networks see every observation once
(:mod:`rayapp.rl.grouping`), and the last step's metrics are logged. Loss and gradient are the
same up to the order in which numbers are added.
"""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.core import ALL_MODULES, DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.utils.metrics import (
    MODULE_TRAIN_BATCH_SIZE_MEAN,
    NUM_MODULE_STEPS_TRAINED,
    NUM_MODULE_STEPS_TRAINED_LIFETIME,
    WEIGHTS_SEQ_NO,
)
from torch import Tensor

from rayapp.rl import rllib_private
from rayapp.rl.grouping import Grouping
from rayapp.rl.module import MitigationModule
from rayapp.rl.reference_term import CONTEXT, WEIGHTS


def is_counted(rows: Any) -> bool:  # noqa: ANN401
    """Whether a batch of one module holds counted transitions."""
    return WEIGHTS in rows and Columns.ACTIONS in rows


class WholeBatch:
    """The short way for an RLlib learner on :class:`MitigationModule`; mix it in first.

    The learner has ``add_targets`` and ``counted_loss`` (:class:`ReferencePPOLearner`).
    """

    config: Any
    metrics: Any
    module: Any

    def takes_whole(self, batch: Any, options: dict[str, Any]) -> bool:  # noqa: ANN401
        """Whether this update is one that :meth:`update_whole` knows; RLlib knows all others.

        Args:
            batch: RLlib's, of all modules.
            options: of the update.
        """
        config = self.config
        rows = batch.policy_batches.get(DEFAULT_MODULE_ID)
        known = {"timesteps", "num_epochs", "minibatch_size", "shuffle_batch_per_epoch"}
        return (
            rows is not None
            and len(batch.policy_batches) == len(self.module) == 1
            and is_counted(rows)
            and options.keys() <= known
            and (options.get("minibatch_size") or len(rows)) >= len(rows)
            and isinstance(self.module[DEFAULT_MODULE_ID], MitigationModule)
            and config.policies_to_train is None
            and not config.use_kl_loss
            and not config.torch_compile_learner
            and not rllib_private.has_custom_optimisation(config)
        )

    def update_whole(
        self,
        batch: Any,  # noqa: ANN401
        *,
        timesteps: dict[str, Any] | None = None,
        num_epochs: int = 1,
        **options: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """RLlib's ``update`` of all epochs over one batch; returns the metrics."""
        learner: Any = self
        learner.before_gradient_based_update(timesteps=timesteps or {})
        number = rllib_private.next_weights_number(learner)
        device = next(self.module[DEFAULT_MODULE_ID].parameters()).device
        rows = {
            name: torch.as_tensor(column, device=device)
            for name, column in batch.policy_batches[DEFAULT_MODULE_ID].items()
        }
        module = self.module[DEFAULT_MODULE_ID]
        grouping = Grouping.of(rows[CONTEXT])
        config = self.config.get_config_for_module(DEFAULT_MODULE_ID)
        networks = module.prepared(rows[Columns.OBS][grouping.first])
        by_context = grouping.by_context(rows)
        logits, values = networks()
        # Nothing has changed yet: these are the networks that sampled the rows.
        learner.add_targets(rows, logits, values, grouping)
        for epoch in range(num_epochs):
            if epoch:
                logits, values = networks()
            loss = learner.counted_loss(
                DEFAULT_MODULE_ID,
                config,
                rows,
                logits,
                values,
                grouping=grouping,
                by_context=by_context,
                logged=epoch == num_epochs - 1,
            )
            self._descend(loss)
        if not torch.isfinite(loss):
            raise ValueError("the loss is not finite any more; use a smaller learning rate")
        self._log_steps(number, len(rows[WEIGHTS]), num_epochs, int(batch.env_steps()))
        self.metrics.log_value((DEFAULT_MODULE_ID, learner.TOTAL_LOSS_KEY), loss, window=1)
        learner.after_gradient_based_update(timesteps=timesteps or {})
        return self.metrics.reduce()

    def _descend(self, loss: Tensor) -> None:
        """One gradient step."""
        learner: Any = self
        gradients = learner.compute_gradients({DEFAULT_MODULE_ID: loss})
        if self.config.grad_clip is not None or self.config.log_gradients:
            gradients = learner.postprocess_gradients(gradients)
        # One sum tells of any gradient that is infinite or no number; RLlib mends those.
        if not torch.isfinite(sum(gradient.sum() for gradient in gradients.values())):
            learner.apply_gradients(gradients)
            return
        for parameter, gradient in gradients.items():
            # RLlib's torch learners name a parameter by itself.
            parameter.grad = gradient
        for _, optimizer in learner.get_optimizers_for_module(DEFAULT_MODULE_ID):
            optimizer.step()

    def _log_steps(self, number: int, rows: int, epochs: int, env_steps: int) -> None:
        """What RLlib logs after each step, for all of them."""
        if env_steps:
            rllib_private.count_trained(self, env_steps * epochs, rows * epochs)
        log, steps = self.metrics.log_value, rows * epochs
        log((DEFAULT_MODULE_ID, WEIGHTS_SEQ_NO), number, window=1)
        log((DEFAULT_MODULE_ID, MODULE_TRAIN_BATCH_SIZE_MEAN), rows, reduce="mean")
        log((DEFAULT_MODULE_ID, NUM_MODULE_STEPS_TRAINED), steps, reduce="sum")
        log(
            (DEFAULT_MODULE_ID, NUM_MODULE_STEPS_TRAINED_LIFETIME),
            steps,
            reduce="lifetime_sum",
            with_throughput=True,
        )
        for name, how in (
            (NUM_MODULE_STEPS_TRAINED, "sum"),
            (NUM_MODULE_STEPS_TRAINED_LIFETIME, "lifetime_sum"),
        ):
            log((ALL_MODULES, name), steps, reduce=how, with_throughput=True)
