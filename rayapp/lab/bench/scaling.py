"""How the training's rate changes with runners, fragments, flows, signatures and actions.

PPO-KG on made-up scenarios (:mod:`rayapp.lab.bench.made_up`): graph merged durably, advice from the
graph reader, as ``kirl train`` has it. A point is the median of three trainings of their own.
And how the rate of ``kirl prepare`` changes with its rows.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rayapp.lab.bench.made_up import made_up
from rayapp.lab.bench.prepare import measure_prepare
from rayapp.lab.bench.provenance import processors

Progress = Callable[[int, int], None]

RUNNERS = (0, 1, 2, 4, 8)
FRAGMENTS = (4_096, 16_384, 65_536, 262_144, 1_048_576)
FLOWS = (10_000, 100_000, 1_000_000, 10_000_000)
SIGNATURES = (100, 1_000, 10_000, 100_000)
ACTIONS = (15, 50, 150, 500)
ROWS = (10_000, 100_000, 1_000_000)
"""Rows that ``kirl prepare`` reads and fits its tree to."""

TURNS = 3
"""Trainings per point; the median counts."""

BASE_FLOWS = 1_000_000
BASE_FRAGMENT = 65_536

ITERATIONS = 40
SECONDS = 4.0
"""A turn lasts this many iterations, or as many as fit into this time."""


@dataclass(frozen=True)
class Point:
    """One size.

    Attributes:
        size: what the curve varies.
        rate: median of environment steps (flows) per second, learning included; of
            ``kirl prepare``: rows per second, all parts included.
        turns: the rate of each turn.
        flows: trained on in a turn, after an iteration to warm up; rows prepared.
        peak_gib: most memory of a preparation, median; ``None`` of a training.
    """

    size: int
    rate: float
    turns: tuple[float, ...]
    flows: int
    peak_gib: float | None = None


@dataclass(frozen=True)
class Scaling:
    """All curves; what a curve does not vary is the paper's, or :data:`BASE_FLOWS`.

    Attributes:
        runners: remote environment runners, 0 is the driver's own; an iteration grows with
            them, a fragment for each.
        shared: the same runners, but they share an iteration of one size.
        fragments: flows per iteration, with the driver's runner.
        flows: in the scenario.
        signatures, actions: of the problem.
        rows: of ``kirl prepare``.
        processors: that this process may use.
    """

    runners: tuple[Point, ...]
    shared: tuple[Point, ...]
    fragments: tuple[Point, ...]
    flows: tuple[Point, ...]
    signatures: tuple[Point, ...]
    actions: tuple[Point, ...]
    rows: tuple[Point, ...]
    processors: int


def measure(progress: Progress) -> Scaling:
    """Measures all curves; Ray must be running.

    Args:
        progress: called with points done and points in all.
    """
    import torch

    # As kirl train has it: a second thread costs these small networks more than it brings.
    torch.set_num_threads(1)
    total = sum(map(len, (RUNNERS, RUNNERS, FRAGMENTS, FLOWS, SIGNATURES, ACTIONS, ROWS)))
    steps = iter(range(1, total + 1))

    def told(point: Point) -> Point:
        progress(next(steps), total)
        return point

    with tempfile.TemporaryDirectory() as folder:
        base, one = made_up(Path(folder) / "base", flows=BASE_FLOWS).path, BASE_FRAGMENT
        return Scaling(
            tuple(told(_point(n, base, n, one * max(1, n))) for n in RUNNERS),
            tuple(told(_point(n, base, n, one)) for n in RUNNERS),
            tuple(told(_point(n, base, 0, n)) for n in FRAGMENTS),
            tuple(told(_of_size(folder, n, flows=n)) for n in FLOWS),
            tuple(told(_of_size(folder, n, flows=BASE_FLOWS, signatures=n)) for n in SIGNATURES),
            tuple(told(_of_size(folder, n, flows=BASE_FLOWS, actions=n)) for n in ACTIONS),
            tuple(told(_prepared(n)) for n in ROWS),
            processors(),
        )


def _prepared(rows: int) -> Point:
    turns = [measure_prepare(rows, lambda done, total: None) for _ in range(TURNS)]
    rates = tuple(rows / turn.total_seconds for turn in turns)
    peak = statistics.median(turn.peak_gib for turn in turns)
    return Point(rows, statistics.median(rates), rates, rows, peak)


def _of_size(folder: str, size: int, **sizes: int) -> Point:
    with tempfile.TemporaryDirectory(dir=folder) as inner:
        made = made_up(Path(inner) / "scenario", **sizes)
        return _point(size, made.path, 0, BASE_FRAGMENT)


def _point(size: int, scenario: Path, runners: int, fragment: int) -> Point:
    turns = [_turn(scenario, runners, fragment) for _ in range(TURNS)]
    rates = tuple(rate for rate, _ in turns)
    flows = int(statistics.median(flows for _, flows in turns))
    return Point(size, statistics.median(rates), rates, flows)


def _turn(scenario: Path, runners: int, fragment: int) -> tuple[float, int]:
    """Flows per second of a training, and how many they were."""
    from rayapp.rl.ppo import KnowledgePPOConfig

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
            before, begun = algorithm.flows, time.perf_counter()
            for _ in range(ITERATIONS):
                algorithm.train()
                if time.perf_counter() - begun > SECONDS:
                    break
            seconds, flows = time.perf_counter() - begun, algorithm.flows - before
        finally:
            algorithm.stop()
    return flows / seconds, flows
