"""lambda * KL to the reference policy (eqs. 5 and 6), for the learners of all algorithms."""

from __future__ import annotations

from typing import Any, Literal

import torch
from ray.rllib.core import COMPONENT_OPTIMIZER
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME
from torch import Tensor

from rayapp.rl.schedules import Schedule

WEIGHTS = "weights"
"""Column of row weights, float32 [rows], with mean 1 over the whole batch."""

CONTEXT = "context"
"""Column of the rows' contexts, int64 [rows], in ascending order."""

REFERENCE_LOGP = "reference_logp"
"""Column of the reference policy's log-probabilities, float32 [rows, actions]."""

REFERENCE_KL_KEY = "reference_kl"
LAMBDA_KEY = "lambda"

_LAMBDA_STATE = "kirl_lambda"

Direction = Literal["policy_to_reference", "reference_to_policy"]


def reference_kl(logits: Tensor, reference_logp: Tensor, direction: Direction) -> Tensor:
    """KL divergence between policy and reference, per row.

    ``policy_to_reference`` is eq. 5. Its gradient carries the factor pi(a), so it vanishes
    once the policy has saturated. ``reference_to_policy`` is the cross-entropy to a teacher
    up to a constant, and keeps its gradient (kickstarting: Schmitt et al. 2018,
    arXiv 1803.03835).

    Args:
        logits: float [rows, actions], the policy's.
        reference_logp: float [rows, actions], normalised.
        direction: which of the two.

    Returns:
        float [rows], in nats.
    """
    logp = torch.log_softmax(logits, dim=-1)
    if direction == "policy_to_reference":
        return (logp.exp() * (logp - reference_logp)).sum(-1)
    return (reference_logp.exp() * (reference_logp - logp)).sum(-1)


class ReferenceTerm:
    """lambda * KL for an RLlib learner (eq. 6); mix it in before the learner's own class.

    Reads ``kl_direction``, ``kl_schedule`` and ``total_env_steps`` of the algorithm's
    configuration (:class:`rayapp.rl.config.KnowledgeConfig`).
    """

    config: Any
    metrics: Any
    current_lambda: float = 0.0
    _adapted: float | None = None
    _last_kl: Tensor | None = None

    def before_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Sets lambda for the update from the schedule."""
        super().before_gradient_based_update(timesteps=timesteps)  # type: ignore[misc]
        schedule: Schedule = self.config.kl_schedule
        step = int(timesteps.get(NUM_ENV_STEPS_SAMPLED_LIFETIME, 0))
        self.current_lambda = schedule.at(step, self.config.total_env_steps)
        if self._adapted is not None:
            self.current_lambda = self._adapted
        self._last_kl = None

    def after_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Moves an adaptive lambda after the KL that the update ended with."""
        super().after_gradient_based_update(timesteps=timesteps)  # type: ignore[misc]
        schedule: Schedule = self.config.kl_schedule
        if schedule.kind == "adaptive" and self._last_kl is not None:
            self._adapted = schedule.adapted(self.current_lambda, float(self._last_kl))

    def reference_term(
        self, logits: Tensor, batch: dict[str, Any], weights: Tensor
    ) -> tuple[Tensor, Tensor, float]:
        """The term itself, the KL before lambda, and lambda; zeros without a reference.

        Args:
            logits: float [rows, actions], the policy's.
            batch: may hold :data:`REFERENCE_LOGP`.
            weights: float [rows] with mean 1.
        """
        if REFERENCE_LOGP not in batch:
            zero = torch.zeros((), device=logits.device)
            return zero, zero, 0.0
        per_row = reference_kl(logits, batch[REFERENCE_LOGP], self.config.kl_direction)
        kl = (weights * per_row).mean()
        self._last_kl = kl.detach()
        return self.current_lambda * kl, kl, self.current_lambda

    def cloning_loss(self, module_id: str, batch: dict[str, Any], logits: Tensor) -> Tensor:
        """Cross-entropy to the reference, up to a constant: behaviour cloning (section IV-C)."""
        kl = reference_kl(logits, batch[REFERENCE_LOGP], "reference_to_policy")
        loss: Tensor = (batch[WEIGHTS] * kl).mean()
        self.metrics.log_dict({REFERENCE_KL_KEY: loss}, key=module_id, window=1)
        return loss

    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401
        """The learner's state, with where an adaptive lambda stands."""
        state: dict[str, Any] = super().get_state(*args, **kwargs)  # type: ignore[misc]
        if self._adapted is not None:
            state[_LAMBDA_STATE] = self._adapted
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores it."""
        super().set_state(state)  # type: ignore[misc]
        # RLlib also sets parts of a state, weights alone say; a whole one has the optimiser.
        if _LAMBDA_STATE in state or COMPONENT_OPTIMIZER in state:
            self._adapted = state.get(_LAMBDA_STATE)
