"""DQN with lambda * KL to a reference policy (paper, eq. 6), on counted rows.

RLlib's own loss does the work. It weighs rows by a column of the same name, for prioritised
replay; here the weights are the counts.

Every flow is an episode of one step. So the target is the reward, nothing is bootstrapped,
and target network, double Q and n-step returns, which are ways to bootstrap well, would
change nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.algorithms.dqn.dqn_learner import QF_PREDS, QF_TARGET_NEXT_PREDS
from ray.rllib.algorithms.dqn.torch.dqn_torch_learner import DQNTorchLearner
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import QNetAPI
from ray.rllib.utils.metrics import TD_ERROR_KEY
from torch import Tensor

from rayapp.rl.reference_term import LAMBDA_KEY, REFERENCE_KL_KEY, WEIGHTS, ReferenceTerm

_N_STEP = "n_step"


class ReferenceDQNLearner(ReferenceTerm, DQNTorchLearner):
    """RLlib's DQN learner on one-step episodes, with a KL term to a reference policy.

    The policy of the KL term is the one that acts, softmax(Q / temperature).
    """

    @classmethod
    def rl_module_required_apis(cls) -> list[type]:
        """No target network: nothing is bootstrapped."""
        return [QNetAPI]

    def compute_loss_for_module(
        self,
        *,
        module_id: str,
        config: Any,  # noqa: ANN401 (RLlib's signature)
        batch: dict[str, Any],
        fwd_out: dict[str, Tensor],
    ) -> Tensor:
        """RLlib's TD loss plus lambda * KL (eq. 6), averaged over single flows."""
        logits = fwd_out[Columns.ACTION_DIST_INPUTS]
        if Columns.ACTIONS not in batch:
            return self.cloning_loss(module_id, batch, logits)
        ended = torch.ones_like(batch[Columns.REWARDS])
        td_loss: Tensor = super().compute_loss_for_module(
            module_id=module_id,
            config=config,
            batch={**batch, Columns.TERMINATEDS: ended, _N_STEP: ended},
            # Nothing follows a flow.
            fwd_out={**fwd_out, QF_TARGET_NEXT_PREDS: torch.zeros_like(fwd_out[QF_PREDS])},
        )
        infusion, to_reference, weight = self.reference_term(logits, batch, batch[WEIGHTS])
        self.metrics.log_dict(
            {REFERENCE_KL_KEY: to_reference, LAMBDA_KEY: weight}, key=module_id, window=1
        )
        return td_loss + infusion

    def update(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (RLlib's signature)
        """RLlib's update, without the TD error of every row, which no priorities need here."""
        results = super().update(*args, **kwargs)
        for of_module in results.values():
            of_module.pop(TD_ERROR_KEY, None)
        return results
