"""Where an iteration's time goes, by part, and what the short way of learning saves."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rayapp.rl.learner import ReferencePPOLearner

_PARTS = {
    "_sampled": "sampling flows",
    "_update": "learning",
    "_merged": "waiting for the graph's disk",
    "_learn": "counters and advice",
}
"""Methods of an iteration (:mod:`rayapp.rl.infusion`), none of which calls another."""

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
    """The same learner, with RLlib's own loop over epochs and minibatches."""

    def takes_whole(self, batch: Any, options: dict[str, Any]) -> bool:  # noqa: ANN401
        """Never."""
        return False


def measure_profile(
    scenario: Path, flows: int, progress: Callable[[int, int], None]
) -> dict[str, Profile]:
    """Profiles PPO-KG, learning in RLlib's way and in the short one; Ray must be running.

    Args:
        scenario: to train on.
        flows: per way.
        progress: called with flows done and flows in all.
    """
    import torch

    # As kirl train has it: a second thread costs these small networks more than it brings.
    torch.set_num_threads(1)
    ways = {"rllib's way": RLlibsWay, "the short way": ReferencePPOLearner}
    found = dict[str, Profile]()
    for name, learner in ways.items():
        before = flows * len(found)
        found[name] = _profiled(
            scenario, flows, learner, partial(_shifted, progress, before, 2 * flows)
        )
    return found


def _shifted(progress: Callable[[int, int], None], before: int, total: int, done: int) -> None:
    progress(before + done, total)


def _profiled(
    scenario: Path, flows: int, learner: type[ReferencePPOLearner], told: Callable[[int], None]
) -> Profile:
    from rayapp.rl.algorithm import KnowledgePPOConfig

    seconds: dict[str, float] = dict.fromkeys(_PARTS, 0.0)
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
            for name in _PARTS:
                setattr(algorithm, name, _timed(getattr(algorithm, name), seconds, name))
            each, rewards = list[float](), list[float]()
            while algorithm.episodes < flows:
                if len(each) == WARM_UP:
                    seconds.update(dict.fromkeys(_PARTS, 0.0))
                begun = time.perf_counter()
                algorithm.train()
                each.append(time.perf_counter() - begun)
                rewards.append(algorithm.summary.average_reward)
                told(min(flows, algorithm.episodes))
            episodes = algorithm.episodes
        finally:
            algorithm.stop()
    warm = each[WARM_UP:] or each
    parts = {title: 1000 * seconds[name] / len(warm) for name, title in _PARTS.items()}
    total = 1000 * statistics.fmean(warm)
    return Profile(
        parts | {REST: total - sum(parts.values())},
        total,
        1000 * statistics.median(warm),
        episodes / sum(each),
        tuple(rewards),
    )


def _timed(method: Callable[..., Any], seconds: dict[str, float], name: str) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        begun = time.perf_counter()
        try:
            return method(*arguments, **named)
        finally:
            seconds[name] += time.perf_counter() - begun

    return call
