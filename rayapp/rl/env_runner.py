"""RLlib's environment runner for the bandit: steps the vector environment, returns a table.

A runner keeps no state of its own between calls. Which flows it meets and which random
numbers pick its actions follow from the run's seed and the flows' places in the stream
alone; weights, counters and advice come with each call. So the same run gives the same
interactions with any number of runners, after a restart of one, and after a resume.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import ray
from numpy.typing import NDArray
from ray.rllib.core import COMPONENT_RL_MODULE, DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.env.env_runner import EnvRunner
from torch import Tensor

from envs import FlowSet, InteractionTable, ThreatMitigationVectorEnv
from rayapp.rl import rllib_private
from rayapp.rl.acting import action_probabilities
from rayapp.rl.memory import Knowledge
from rayapp.rl.stepping import Slice, action_noise, pick_actions


@dataclass(frozen=True)
class Assignment:
    """One call's work. References are resolved by the runner, big objects stay where they are.

    Attributes:
        piece: the slice to step.
        flows: refers to the training flows (:class:`FlowSet`).
        knowledge: :class:`Knowledge`, or a reference to it for a runner elsewhere.
        weights: the policy network's state, likewise.
        by_reference: the reference policy acts instead of the network.
    """

    piece: Slice
    flows: ray.ObjectRef[FlowSet]
    knowledge: ray.ObjectRef[Knowledge] | Knowledge
    weights: ray.ObjectRef[dict[str, Any]] | dict[str, Any]
    by_reference: bool = False


@dataclass(frozen=True)
class Fragment:
    """What sampling a slice returns."""

    slice: Slice
    table: InteractionTable


def _resolved(given: Any) -> Any:  # noqa: ANN401
    """What a reference refers to, or the object itself where it came without."""
    return ray.get(given) if isinstance(given, ray.ObjectRef) else given


def reference_probabilities(known: Knowledge) -> NDArray[np.float64]:
    """What the reference policy does, float64 [contexts, actions]; ValueError without one."""
    if known.reference_logp is None:
        raise ValueError("without knowledge infusion there is no reference policy")
    probabilities: NDArray[np.float64] = np.exp(known.reference_logp.astype(np.float64))
    return probabilities


class InteractionRunner(EnvRunner):
    """Steps :class:`ThreatMitigationVectorEnv` and returns interaction tables."""

    def __init__(self, *, config: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(config=config, **kwargs)
        self.module: Any = None
        self.make_module()
        self._flows: FlowSet | None = None
        self._flows_ref: ray.ObjectRef[FlowSet] | None = None
        self.env: ThreatMitigationVectorEnv | None = None

    def __repr__(self) -> str:
        # What Ray's dashboard and logs call the actor; RLlib lets nobody name it.
        return f"runner:{self.config.run_name or 'run'}:{self.worker_index}"

    def make_module(self) -> None:
        """Builds the policy network that :meth:`sample` acts with."""
        spec = self.config.get_multi_rl_module_spec(spaces=self.get_spaces(), inference_only=False)
        self.module = spec.build()[DEFAULT_MODULE_ID]

    def get_spaces(self) -> dict[str, tuple[gym.Space[Any], gym.Space[Any]]]:
        """Spaces of the one module."""
        spaces = (self.config.observation_space, self.config.action_space)
        return {DEFAULT_MODULE_ID: spaces, "__env__": spaces, "__env_single__": spaces}

    def sample(self, *, assignment: Assignment, **kwargs: Any) -> Fragment:  # noqa: ANN401
        """Steps a slice of the flow stream once and returns the table of what happened."""
        piece = assignment.piece
        known: Knowledge = _resolved(assignment.knowledge)
        self.module.set_state(_resolved(assignment.weights))
        env = self._environment(assignment, known)
        context = env.meet()
        if assignment.by_reference:
            probabilities = reference_probabilities(known)
        else:
            probabilities = self._policy(known, env.situation.flows)
        noise = action_noise(self.config.seed or 0, piece)
        actions = pick_actions(probabilities, context, noise)
        decided = env.decide(actions)
        self.num_env_steps_sampled_lifetime += piece.count
        rllib_private.count_sampled(self, piece.count)
        return Fragment(piece, InteractionTable.tally(context, actions, decided.actual))

    def _policy(self, known: Knowledge, flows: FlowSet) -> NDArray[np.float64]:
        """Action probabilities in every context, float64 [contexts, actions]."""

        def logits(observations: Tensor) -> Tensor:
            out = self.module.forward_exploration({Columns.OBS: observations})
            found: Tensor = out[Columns.ACTION_DIST_INPUTS]
            return found

        return action_probabilities(logits, flows.contexts, known.counters, known.suggestion)

    def _environment(self, assignment: Assignment, known: Knowledge) -> ThreatMitigationVectorEnv:
        piece = assignment.piece
        if self._flows is None or assignment.flows != self._flows_ref:
            self._flows, self._flows_ref = ray.get(assignment.flows), assignment.flows
            self.env = None
        if self.env is None or self.env.num_envs != piece.count:
            self.env = ThreatMitigationVectorEnv(
                self._flows,
                piece.count,
                prior=self.config.prior,
                augmented=known.suggestion is not None,
                seed=self.config.seed or 0,
            )
        self.env.seek(piece.start)
        self.env.set_counters(known.counters)
        if known.suggestion is not None:
            self.env.set_suggestion(known.suggestion)
        return self.env

    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401
        """Nothing that the next call of :meth:`sample` would not bring along."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Accepts the weights that RLlib hands round after it restores a checkpoint."""
        weights = state.get(COMPONENT_RL_MODULE)
        if weights is not None:
            if isinstance(weights, ray.ObjectRef):
                weights = ray.get(weights)
            self.module.set_state(weights.get(DEFAULT_MODULE_ID, weights))

    def get_metrics(self) -> dict[str, Any]:
        """RLlib's own metrics of this runner."""
        return dict(self.metrics.reduce())

    def assert_healthy(self) -> None:
        """Raises unless the runner can act."""
        if self.module is None:
            raise RuntimeError("the runner has no policy network")
