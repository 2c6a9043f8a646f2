"""Which flows an iteration meets, and how they are shared out among environment runners."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import ray
from numpy.typing import NDArray

from envs import Scenario
from rayapp.rl import sharing
from rayapp.rl.env_runner import Assignment, Fragment
from rayapp.rl.memory import Knowledge
from rayapp.rl.stepping import Slice, slices

if TYPE_CHECKING:
    from rayapp.rl.config import KnowledgeConfig

Weights = dict[str, NDArray[np.float32]]


class Sampler:
    """Lets runners step stretches of a run's flow stream.

    Args:
        config: the algorithm's.
        scenario: whose training flows are the stream.
        group: RLlib's group of environment runners.
    """

    def __init__(self, config: KnowledgeConfig, scenario: Scenario, group: Any) -> None:  # noqa: ANN401
        self._config, self._group = config, group
        matching, drift = config.matching, config.drift
        offered = sharing.training_flows(scenario, matching)
        flows = None
        if drift or offered is None:
            flows = scenario.flow_set("train", matching=matching)
        self._flows = ray.put(flows) if offered is None else offered
        self._drifted = ray.put(drift.applied(flows)) if drift and flows else None

    def by_reference(self, at: int) -> bool:
        """Whether the reference policy decides the flow at this place of the stream."""
        return at < self._config.reference_flows

    def count(self, at: int) -> int:
        """How many flows the iteration meets that begins at this place of the stream.

        None goes across the end of the training, of what the reference policy decides, or a drift.
        """
        left = self._config.total_env_steps - at
        if self.by_reference(at):
            left = min(left, self._config.reference_flows - at)
        drift = self._config.drift
        if drift and at < drift.at:
            left = min(left, drift.at - at)
        # A training that is gone on with beyond its end has no end.
        return min(self._config.train_batch_size_per_learner, left if left > 0 else 2**62)

    def sample(self, at: int, knowledge: Knowledge, weights: Weights) -> list[Fragment]:
        """Fragments that cover an iteration's stretch of the stream, in stream order.

        Args:
            at: the place of its first flow.
            knowledge: that all of its flows are decided with.
            weights: of the policy network that decides them.
        """
        drift = self._config.drift
        runners = self._group.healthy_env_runner_ids()
        whole = Assignment(
            piece=Slice(at, self.count(at)),
            flows=self._drifted if drift and at >= drift.at else self._flows,
            # Without remote runners nothing leaves this process.
            knowledge=ray.put(knowledge) if runners else knowledge,
            weights=ray.put(weights) if runners else weights,
            by_reference=self.by_reference(at),
        )
        pieces = slices(at, whole.piece.count, max(1, len(runners)))
        done: dict[Slice, Fragment] = {}
        # What a runner that died was given is given to another one.
        while missing := [piece for piece in pieces if piece not in done]:
            work = [dataclasses.replace(whole, piece=piece) for piece in missing]
            done |= {fragment.slice: fragment for fragment in self._dispatched(work)}
        return [done[piece] for piece in pieces]

    def _dispatched(self, work: list[Assignment]) -> list[Fragment]:
        """Gives each healthy runner one assignment; the driver's own steps in for none."""
        runners = self._group.healthy_env_runner_ids()[: len(work)]
        if not runners:
            return [self._group.local_env_runner.sample(assignment=item) for item in work]
        fragments: list[Fragment] = self._group.foreach_env_runner(
            "sample",
            kwargs=[{"assignment": item} for item in work[: len(runners)]],
            remote_worker_ids=runners,
            local_env_runner=False,
        )
        return fragments
