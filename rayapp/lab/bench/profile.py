"""Where an iteration's time goes, by part, and what the short way of learning saves."""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner

from rayapp.rl.learner import ReferencePPOLearner

_PARTS = {
    "_sampled": "sampling flows",
    "_update": "learning",
    "memory.merged": "waiting for the graph's disk",
    "memory.recall": "counters and advice",
}
"""Methods of an algorithm and its memory (:mod:`rayapp.rl`), none of which calls another."""

REST = "RLlib's bookkeeping, and the rest"

WARM_UP = 2


@dataclass(frozen=True)
class Profile:
    """Mean milliseconds per iteration of one way to learn.

    Attributes:
        parts: by name.
        milliseconds: of all parts.
        median_milliseconds: of an iteration; the first ones, of a policy that explores, take
            longest.
        steps_per_second: environment steps, learning included.
        rewards: average per flow of each iteration.
    """

    parts: dict[str, float]
    milliseconds: float
    median_milliseconds: float
    steps_per_second: float
    rewards: tuple[float, ...]


class RLlibsWay(ReferencePPOLearner):
    """The same learner, with RLlib's own loop over epochs and minibatches, and its own Adam."""

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:  # noqa: ANN401
        """RLlib's Adam as RLlib makes it."""
        PPOTorchLearner.configure_optimizers_for_module(self, module_id, config)

    def takes_whole(self, batch: Any, options: dict[str, Any]) -> bool:  # noqa: ANN401
        """Never."""
        return False


def measure_profile(
    scenario: Path, flows: int, progress: Callable[[int, int], None]
) -> dict[str, Profile]:
    """Profiles of PPO-KG, learning in RLlib's way and in the short one; Ray must be running.

    Args:
        scenario: to train on.
        flows: per way.
        progress: called with flows done and flows in all, of the way that lags behind.
    """
    import torch

    # As kirl train has it: a second thread costs these small networks more than it brings.
    torch.set_num_threads(1)
    ways = {"rllib's way": RLlibsWay, "the short way": ReferencePPOLearner}
    with contextlib.ExitStack() as stack:
        runs = {
            name: stack.enter_context(_run(scenario, flows, learner))
            for name, learner in ways.items()
        }
        while any(run.unfinished for run in runs.values()):
            # In turn, so that a busy machine slows both down.
            for run in runs.values():
                run.iterate()
            progress(min(run.flows_done for run in runs.values()), flows)
        return {name: run.profile() for name, run in runs.items()}


class _Run:
    """One way, iteration by iteration."""

    def __init__(self, algorithm: Any, flows: int) -> None:  # noqa: ANN401
        self._algorithm, self._flows = algorithm, flows
        self._seconds: dict[str, float] = dict.fromkeys(_PARTS, 0.0)
        self._each, self._rewards = list[float](), list[float]()
        for name in _PARTS:
            owner, _, method = name.rpartition(".")
            where = attrgetter(owner)(algorithm) if owner else algorithm
            setattr(where, method, _timed(getattr(where, method), self._seconds, name))

    @property
    def flows_done(self) -> int:
        """Flows trained on."""
        return int(self._algorithm.flows)

    @property
    def unfinished(self) -> bool:
        """Whether there are flows left."""
        return self.flows_done < self._flows

    def iterate(self) -> None:
        """One iteration, if there are flows left."""
        if not self.unfinished:
            return
        if len(self._each) == WARM_UP:
            self._seconds.update(dict.fromkeys(_PARTS, 0.0))
        begun = time.perf_counter()
        self._algorithm.train()
        self._each.append(time.perf_counter() - begun)
        self._rewards.append(self._algorithm.summary.average_reward)

    def profile(self) -> Profile:
        """What it took, without the first iterations."""
        warm = self._each[WARM_UP:] or self._each
        parts = {title: 1000 * self._seconds[name] / len(warm) for name, title in _PARTS.items()}
        total = 1000 * statistics.fmean(warm)
        return Profile(
            parts | {REST: total - sum(parts.values())},
            total,
            1000 * statistics.median(warm),
            self.flows_done / sum(self._each),
            tuple(self._rewards),
        )


@contextlib.contextmanager
def _run(scenario: Path, flows: int, learner: type[ReferencePPOLearner]) -> Iterator[_Run]:
    from rayapp.rl.ppo import KnowledgePPOConfig

    with tempfile.TemporaryDirectory() as folder:
        algorithm = (
            KnowledgePPOConfig()
            .scenario(scenario)
            .knowledge(graph_folder=Path(folder), total_env_steps=flows)
            .training(learner_class=learner)
            .debugging(seed=0, log_level="ERROR")
            .build_algo()
        )
        try:
            yield _Run(algorithm, flows)
        finally:
            algorithm.stop()


def _timed(method: Callable[..., Any], seconds: dict[str, float], name: str) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        begun = time.perf_counter()
        try:
            return method(*arguments, **named)
        finally:
            seconds[name] += time.perf_counter() - begun

    return call
