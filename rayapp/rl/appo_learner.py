"""APPO with lambda * KL to a reference policy (paper, eq. 6), on counted rows.

RLlib's own loss does the work: V-trace corrects for the weights that sampled, the clipped
surrogate measures its ratios from the target network (IMPACT: Luo et al. 2020,
arXiv 1912.00167). Every flow is an episode of one step, so V-trace's sum over time has one
term: value target V + min(1, rho) * (reward - V), advantage min(1, rho) * (reward - V), with
rho = target policy / behaviour policy. RLlib sums all terms of the loss times their mask and
divides by the mask's sum. The mask may as well hold the counts, and the means are then those
over single flows.
"""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.algorithms.appo.torch.appo_torch_learner import APPOTorchLearner
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.learner import Learner
from ray.rllib.core.learner.training_data import TrainingData
from torch import Tensor

from rayapp.rl import rllib_private
from rayapp.rl.reference_term import LAMBDA_KEY, REFERENCE_KL_KEY, WEIGHTS, ReferenceTerm

_TARGET_STATE = "kirl_target_updated_at"


class ReferenceAPPOLearner(ReferenceTerm, APPOTorchLearner):
    """RLlib's APPO learner on one-step episodes, with a KL term to a reference policy.

    Batches have the log-probabilities of their actions under the policy that sampled them.
    """

    def update(
        self,
        batch: Any = None,  # noqa: ANN401 (RLlib's signature)
        training_data: TrainingData | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Updates here and now, and returns when it is done.

        RLlib's IMPALA family hands batches to a thread and returns the results of some earlier
        update, whenever they are ready; no seed decides what has been learnt by when. That
        thread's work is ``Learner.update``, which is called instead. What is asynchronous about
        APPO, weights that lag behind the learner, is the algorithm's doing, by the iteration.
        """
        data = training_data or TrainingData(batch=batch)
        return Learner.update(self, training_data=data, **kwargs)

    def compute_loss_for_module(
        self,
        *,
        module_id: str,
        config: Any,  # noqa: ANN401
        batch: dict[str, Any],
        fwd_out: dict[str, Tensor],
    ) -> Tensor:
        """RLlib's APPO loss plus lambda * KL (eq. 6), averaged over single flows."""
        logits = fwd_out[Columns.ACTION_DIST_INPUTS]
        if Columns.ACTIONS not in batch:
            return self.cloning_loss(module_id, batch, logits)
        weights = batch[WEIGHTS]
        ended = torch.ones_like(weights)
        loss: Tensor = super().compute_loss_for_module(
            module_id=module_id,
            config=config,
            batch={**batch, Columns.LOSS_MASK: weights, Columns.TERMINATEDS: ended},
            fwd_out=fwd_out,
        )
        infusion, to_reference, weight = self.reference_term(logits, batch, weights)
        self.metrics.log_dict(
            {REFERENCE_KL_KEY: to_reference, LAMBDA_KEY: weight}, key=module_id, window=1
        )
        return loss + infusion

    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401
        """The learner's state, with when the target network was last updated."""
        state: dict[str, Any] = super().get_state(*args, **kwargs)
        state[_TARGET_STATE] = dict(rllib_private.target_updates(self))
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores it."""
        super().set_state(state)
        rllib_private.target_updates(self).update(state.get(_TARGET_STATE, {}))
