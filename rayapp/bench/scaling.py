"""How the training's rate changes with runners, fragments, flows, signatures and actions.

One PPO-KG per point, on made-up scenarios (:mod:`rayapp.bench.made_up`): graph merged durably,
advice from the graph reader, as ``kirl train`` has it.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rayapp.bench.made_up import made_up

Progress = Callable[[int, int], None]

RUNNERS = (0, 1, 2, 4, 8)
FRAGMENTS = (4_096, 16_384, 65_536, 262_144, 1_048_576)
FLOWS = (10_000, 100_000, 1_000_000, 10_000_000)
SIGNATURES = (100, 1_000, 10_000, 100_000)
ACTIONS = (15, 50, 150, 500)

BASE_FLOWS = 1_000_000
BASE_FRAGMENT = 65_536

ITERATIONS = 40
SECONDS = 6.0
"""Of a point: so many iterations, or as many as fit into so much time."""


@dataclass(frozen=True)
class Point:
    """One size.

    Attributes:
        size: what the curve varies.
        steps_per_second: environment steps (flows), learning included.
        flows: trained on, after an iteration to warm up.
    """

    size: int
    steps_per_second: float
    flows: int


@dataclass(frozen=True)
class Scaling:
    """All curves; what a curve does not vary is the paper's, or :data:`BASE_FLOWS`.

    Attributes:
        runners: remote environment runners; 0 is the driver's own.
        fragments: flows per iteration, with the driver's runner.
        flows: in the scenario.
        signatures, actions: of the problem.
        processors: of this machine.
    """

    runners: tuple[Point, ...]
    fragments: tuple[Point, ...]
    flows: tuple[Point, ...]
    signatures: tuple[Point, ...]
    actions: tuple[Point, ...]
    processors: int


def measure(progress: Progress) -> Scaling:
    """Measures all curves; Ray must be running.

    Args:
        progress: called with points done and points in all.
    """
    import torch

    # As kirl train has it: a second thread costs these small networks more than it brings.
    torch.set_num_threads(1)
    total = sum(map(len, (RUNNERS, FRAGMENTS, FLOWS, SIGNATURES, ACTIONS)))
    steps = iter(range(1, total + 1))

    def told(point: Point) -> Point:
        progress(next(steps), total)
        return point

    with tempfile.TemporaryDirectory() as folder:
        base = made_up(Path(folder) / "base", flows=BASE_FLOWS).path
        runners = tuple(told(_point(n, base, n, BASE_FRAGMENT * max(1, n))) for n in RUNNERS)
        fragments = tuple(told(_point(n, base, 0, n)) for n in FRAGMENTS)
        flows = tuple(told(_of_size(folder, n, flows=n)) for n in FLOWS)
        signatures = tuple(
            told(_of_size(folder, n, flows=BASE_FLOWS, signatures=n)) for n in SIGNATURES
        )
        actions = tuple(told(_of_size(folder, n, flows=BASE_FLOWS, actions=n)) for n in ACTIONS)
    return Scaling(runners, fragments, flows, signatures, actions, os.cpu_count() or 1)


def _of_size(folder: str, size: int, **sizes: int) -> Point:
    with tempfile.TemporaryDirectory(dir=folder) as inner:
        made = made_up(Path(inner) / "scenario", **sizes)
        return _point(size, made.path, 0, BASE_FRAGMENT)


def _point(size: int, scenario: Path, runners: int, fragment: int) -> Point:
    from rayapp.rl.algorithm import KnowledgePPOConfig

    with tempfile.TemporaryDirectory() as folder:
        algorithm = (
            KnowledgePPOConfig()
            .scenario(scenario)
            .knowledge(graph_folder=Path(folder), total_env_steps=fragment * (ITERATIONS + 1))
            .training(train_batch_size_per_learner=fragment)
            # More runners than processors are to be tried, too.
            .env_runners(num_env_runners=runners, num_cpus_per_env_runner=1 / (1 + runners))
            .debugging(seed=0, log_level="ERROR")
            .build_algo()
        )
        try:
            algorithm.train()
            before, begun = algorithm.episodes, time.perf_counter()
            for _ in range(ITERATIONS):
                algorithm.train()
                if time.perf_counter() - begun > SECONDS:
                    break
            seconds, flows = time.perf_counter() - begun, algorithm.episodes - before
        finally:
            algorithm.stop()
    return Point(size, flows / seconds, flows)
