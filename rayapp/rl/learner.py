"""PPO with lambda * KL to a reference policy (paper, eq. 6), on counted rows.

Subclasses RLlib's PPO learner and adds two optional columns to its batches:

* ``WEIGHTS``: how much each row counts. A row that stands for k equal flows has k times
  the weight, and the loss is the one over the single flows.
* ``REFERENCE_LOGP``: log-probabilities of the reference policy, [rows, actions]. Without
  it there is no KL term.

Batches without them are learnt from exactly as RLlib's own PPO would. A batch without
actions is a set of by_context to clone the reference policy in. Counted rows that are learnt
from all at once take a shorter way to the same loss (:mod:`rayapp.rl.whole_batch`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from ray.rllib.algorithms.ppo.ppo import (
    LEARNER_RESULTS_KL_KEY,
    LEARNER_RESULTS_VF_EXPLAINED_VAR_KEY,
    LEARNER_RESULTS_VF_LOSS_UNCLIPPED_KEY,
)
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.learner import ENTROPY_KEY, POLICY_LOSS_KEY, VF_LOSS_KEY
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.evaluation.postprocessing import Postprocessing
from torch import Tensor

from rayapp.rl.grouping import Grouping
from rayapp.rl.reference_term import LAMBDA_KEY, REFERENCE_KL_KEY, WEIGHTS, ReferenceTerm
from rayapp.rl.whole_batch import WholeBatch, is_counted


def explained_variance(targets: Tensor, values: Tensor, weights: Tensor) -> Tensor:
    """1 - Var[targets - values] / Var[targets] with weighted variances, at least -1."""
    residual = _variance(targets - values, weights)
    total = _variance(targets, weights)
    return torch.clamp(1 - residual / torch.clamp(total, min=1e-12), min=-1.0)


def _variance(data: Tensor, weights: Tensor) -> Tensor:
    share = weights / weights.sum()
    mean = (share * data).sum()
    return (share * (data - mean) ** 2).sum()


@dataclass(frozen=True)
class PPOTerms:
    """The parts of PPO's loss, each a scalar mean over single flows.

    Attributes:
        policy: the clipped surrogate loss.
        value: squared error of the values, clipped.
        squared: [rows], the squared error itself.
        logp: [contexts, actions], the policy's log-probabilities.
    """

    policy: Tensor
    value: Tensor
    squared: Tensor
    logp: Tensor

    @classmethod
    def of(
        cls,
        logits: Tensor,
        values: Tensor,
        rows: dict[str, Any],
        weights: Tensor,
        grouping: Grouping,
        config: Any,  # noqa: ANN401
    ) -> PPOTerms:
        """The parts for these rows; ``clip_param`` and ``vf_clip_param`` are the config's.

        Args:
            logits: float [contexts, actions].
            values: float [rows].
            rows: columns of the batch.
            weights: float [rows] with mean 1.
            grouping: of the rows.
            config: RLlib's.
        """
        logp = logits - logits.logsumexp(dim=-1, keepdim=True)
        taken = grouping.taken(logp, rows[Columns.ACTIONS].long())
        ratio = torch.exp(taken - rows[Columns.ACTION_LOGP])
        advantages = rows[Postprocessing.ADVANTAGES]
        clipped = torch.clamp(ratio, 1 - config.clip_param, 1 + config.clip_param)
        surrogate = torch.min(advantages * ratio, advantages * clipped)
        squared = (values - rows[Postprocessing.VALUE_TARGETS]) ** 2
        return cls(
            -(weights * surrogate).mean(),
            (weights * torch.clamp(squared, 0, config.vf_clip_param)).mean(),
            squared,
            logp,
        )

    def entropy(self, weights: Tensor) -> Tensor:
        """The policy's mean entropy in nats, given the weights of the contexts."""
        summed = (self.logp * torch.softmax(self.logp, dim=-1)).sum(-1)
        return (weights * -summed).mean()


class ReferencePPOLearner(WholeBatch, ReferenceTerm, PPOTorchLearner):
    """RLlib's PPO learner with row weights and a KL term to a reference policy."""

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:  # noqa: ANN401
        """RLlib's Adam, with all parameters and operations in one call."""
        super().configure_optimizers_for_module(module_id, config)
        for _, optimizer in self.get_optimizers_for_module(module_id):
            for group in optimizer.param_groups:
                # The same arithmetic in fewer calls, which weigh most in networks this small.
                group["fused"], group["foreach"] = True, False

    def update(
        self,
        batch: Any = None,  # noqa: ANN401 (RLlib's signature)
        training_data: TrainingData | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Completes counted batches by what only the current networks know, then updates.

        A batch of counted rows comes with observations, actions, rewards and weights. Old
        action distributions, log-probabilities, values and advantages are added here, on the
        weights that sampled the rows.
        """
        data = training_data or TrainingData(batch=batch)
        data.solve_refs()
        if data.batch is not None:
            if self.takes_whole(data.batch, kwargs):
                return self.update_whole(data.batch, **kwargs)
            for module_id, rows in data.batch.policy_batches.items():
                if is_counted(rows) and Postprocessing.ADVANTAGES not in rows:
                    self.complete(self.module[module_id].unwrapped(), rows)
        return super().update(training_data=data, **kwargs)

    def complete(self, module: Any, rows: Any) -> None:  # noqa: ANN401
        """Adds to counted rows what the networks that sampled them say.

        Args:
            module: with those networks.
            rows: columns of one module.
        """
        device = next(module.parameters()).device
        met = {Columns.OBS: torch.as_tensor(rows[Columns.OBS], device=device)}
        with torch.no_grad():
            logits = module.forward_train(met)[Columns.ACTION_DIST_INPUTS]
            self.add_targets(rows, logits, module.compute_values(met))

    def add_targets(
        self,
        rows: Any,  # noqa: ANN401
        logits: Tensor,
        values: Tensor,
        grouping: Grouping | None = None,
    ) -> None:
        """The same, given what those networks say.

        Args:
            rows: columns of one module.
            logits: float [contexts, actions]; not differentiated here.
            values: float [contexts], likewise.
            grouping: the rows' own; by default each row is its own, and their action
                distributions are added, too.
        """

        def tensor(column: str) -> Tensor:
            return torch.as_tensor(rows[column], device=logits.device)

        with torch.no_grad():
            known = grouping or Grouping.each(len(logits), logits.device)
            logp = torch.log_softmax(logits, dim=-1)
            rewards, weights = tensor(Columns.REWARDS), tensor(WEIGHTS)
            # Episodes are one step long: the return is the reward.
            advantages = rewards - known.spread(values)
            share = weights / weights.sum()
            centred = advantages - (share * advantages).sum()
            deviation = torch.sqrt(_variance(advantages, weights))
            # Standardised over single flows, as RLlib's PPO does over its rows.
            rows[Postprocessing.ADVANTAGES] = centred / torch.clamp(deviation, min=1e-4)
            rows[Postprocessing.VALUE_TARGETS] = rewards
            if grouping is None:
                rows[Columns.ACTION_DIST_INPUTS] = logits
            # Rows whose feedback was late come with the policy that decided them.
            if Columns.ACTION_LOGP not in rows:
                rows[Columns.ACTION_LOGP] = known.taken(logp, tensor(Columns.ACTIONS).long())

    def compute_loss_for_module(
        self,
        *,
        module_id: str,
        config: Any,  # noqa: ANN401
        batch: dict[str, Any],
        fwd_out: dict[str, Tensor],
    ) -> Tensor:
        """PPO's clipped loss plus lambda * KL (eq. 6), averaged over single flows."""
        logits = fwd_out[Columns.ACTION_DIST_INPUTS]
        if Columns.ACTIONS not in batch:
            return self.cloning_loss(module_id, batch, logits)
        module = self.module[module_id].unwrapped()
        values = module.compute_values(batch, embeddings=fwd_out.get(Columns.EMBEDDINGS))
        return self.counted_loss(module_id, config, batch, logits, values)

    def counted_loss(
        self,
        module_id: str,
        config: Any,  # noqa: ANN401
        batch: dict[str, Any],
        logits: Tensor,
        values: Tensor,
        *,
        grouping: Grouping | None = None,
        by_context: dict[str, Tensor] | None = None,
        logged: bool = True,
    ) -> Tensor:
        """The loss, given what the networks say.

        Args:
            module_id: of the module.
            config: the module's.
            batch: columns of its rows.
            logits: float [contexts, actions].
            values: float [contexts].
            grouping: of the rows; by default each row is its own. RLlib's KL penalty between
                successive policies needs that.
            by_context: what the batch says of contexts rather than rows, as
                :meth:`Grouping.by_context` gives it.
            logged: whether metrics are.
        """
        weights = _row_weights(batch)
        met = by_context or {**batch, WEIGHTS: weights}
        known = grouping or Grouping.each(len(logits), logits.device)
        values = known.spread(values)
        terms = PPOTerms.of(logits, values, batch, weights, known, config)
        loss = terms.policy + config.vf_loss_coeff * terms.value
        entropy_coeff = self.entropy_coeff_schedulers_per_module[module_id].get_current_value()
        if entropy_coeff:
            loss = loss - entropy_coeff * terms.entropy(met[WEIGHTS])
        trust_kl = torch.zeros((), device=logits.device)
        if config.use_kl_loss:
            distribution = self.module[module_id].unwrapped().get_train_action_dist_cls()
            previous = distribution.from_logits(batch[Columns.ACTION_DIST_INPUTS])
            trust_kl = (weights * previous.kl(distribution.from_logits(logits))).mean()
            loss = loss + self.curr_kl_coeffs_per_module[module_id] * trust_kl
        infusion, to_reference, weight = self.reference_term(logits, met, met[WEIGHTS])
        loss = loss + infusion
        if logged:
            with torch.no_grad():
                targets = batch[Postprocessing.VALUE_TARGETS]
                found = {
                    POLICY_LOSS_KEY: terms.policy,
                    VF_LOSS_KEY: terms.value,
                    LEARNER_RESULTS_VF_LOSS_UNCLIPPED_KEY: (weights * terms.squared).mean(),
                    LEARNER_RESULTS_VF_EXPLAINED_VAR_KEY: explained_variance(
                        targets, values, weights
                    ),
                    ENTROPY_KEY: terms.entropy(met[WEIGHTS]),
                    LEARNER_RESULTS_KL_KEY: trust_kl,
                    REFERENCE_KL_KEY: to_reference,
                    LAMBDA_KEY: weight,
                }
            self.metrics.log_dict(found, key=module_id, window=1)
        total: Tensor = loss
        return total


def _row_weights(batch: dict[str, Any]) -> Tensor:
    """Weights with mean 1: counted rows' own, or those that leave out masked timesteps."""
    if WEIGHTS in batch:
        counted: Tensor = batch[WEIGHTS]
        return counted
    if Columns.LOSS_MASK in batch:
        mask: Tensor = batch[Columns.LOSS_MASK].float()
        return mask / mask.mean()
    return torch.ones_like(batch[Postprocessing.ADVANTAGES])
