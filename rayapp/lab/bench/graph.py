"""How fast the knowledge graph is: merging durably, answering, growing.

All graphs are made up, so that their size can be chosen; nothing else is: tables of as many
flows as a training iteration has, a store on a real disk, a real actor asked from another
process while a real training merges into it.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from envs import BetaPrior, Catalogue, InteractionTable
from kg_actor import GraphSpec, Keyed, MergeKey, neighbourhoods
from kg_actor.store import GraphStore
from rayapp.lab.bench.made_up import skewed_flows

if TYPE_CHECKING:
    # It takes Ray, which measuring the store does without.
    from kg_actor.client import GraphClient

FLOWS = 65_536
"""Flows of a table: an iteration of ``kirl train``."""

PAPER_SIGNATURES = 1_451
"""Signatures of the paper's tree (section IV)."""

SIGNATURES = (PAPER_SIGNATURES, 5_000, 20_000, 100_000)
RUNNERS = (1, 4, 16, 64, 256)
ROUNDS = 5

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Growth:
    """Medians at one size.

    Attributes:
        size: signatures, or runners.
        merge_seconds: of one durable merge of an iteration's tables.
        answer_seconds: of the neighbourhoods of all signatures.
        bytes_per_merge: growth of the store.
    """

    size: int
    merge_seconds: float
    answer_seconds: float
    bytes_per_merge: float


@dataclass(frozen=True)
class StoreSpeed:
    """Medians in one process, at the paper's number of signatures.

    Attributes:
        rows_per_table: distinct transitions in a table of :data:`FLOWS` flows.
        merges_per_second: durable ones.
        all_neighbourhoods_seconds: of all signatures, typed.
        signatures: at each number of signatures.
        runners: at each number of runners that share an iteration.
    """

    rows_per_table: int
    merges_per_second: float
    all_neighbourhoods_seconds: float
    signatures: tuple[Growth, ...]
    runners: tuple[Growth, ...]


def spec_of(signatures: int, seed: int = 0) -> GraphSpec:
    """A made-up signature database over the paper's catalogue."""
    catalogue = Catalogue.named("paper")
    predicted = np.random.default_rng(seed).integers(0, len(catalogue.classes), signatures)
    prior = BetaPrior()
    return GraphSpec(f"{signatures:064x}", "synthetic", predicted.astype(np.int8), catalogue, prior)


def table_of(spec: GraphSpec, flows: int, rng: np.random.Generator) -> InteractionTable:
    """Flows as a training meets them at its start, when tables are largest.

    Actions are drawn uniformly, flows as :func:`skewed_flows` does.
    """
    classes, actions = len(spec.catalogue.classes), len(spec.catalogue.actions)
    signature, actual = skewed_flows(spec.predicted, classes, flows, rng)
    return InteractionTable.tally(signature, rng.integers(0, actions, flows), actual)


def measure(progress: Progress) -> StoreSpeed:
    """Measures store and answers in this process.

    Args:
        progress: called with steps done and steps in all.
    """
    steps = iter(range(1, len(SIGNATURES) + len(RUNNERS) + 1))

    def step(result: Growth) -> Growth:
        progress(next(steps), len(SIGNATURES) + len(RUNNERS))
        return result

    by_signatures = tuple(step(_growth(size, 1, size)) for size in SIGNATURES)
    by_runners = tuple(step(_growth(PAPER_SIGNATURES, size, size)) for size in RUNNERS)
    paper = by_signatures[0]
    rows = len(table_of(spec_of(PAPER_SIGNATURES), FLOWS, np.random.default_rng(0)))
    return StoreSpeed(
        rows, 1 / paper.merge_seconds, paper.answer_seconds, by_signatures, by_runners
    )


def steepest(growth: Iterable[Growth], of: Callable[[Growth], float]) -> float:
    """The largest exponent between two sizes: 1 is linear growth, 0 none."""
    return max(
        float(np.log(of(later) / of(earlier)) / np.log(later.size / earlier.size))
        for earlier, later in itertools.pairwise(growth)
    )


def _growth(signatures: int, runners: int, size: int) -> Growth:
    spec, rng = spec_of(signatures), np.random.default_rng(signatures)
    shares = [FLOWS // runners] * runners
    batches = [[table_of(spec, share, rng) for share in shares] for _ in range(4)]
    with tempfile.TemporaryDirectory() as folder:
        opened = GraphStore.open(Path(folder), spec)
        merging, answering = [], []
        for round_ in range(ROUNDS):
            merging.append(_seconds_per_merge(opened, batches, round_))
            with opened.graph() as graph:
                begun = time.perf_counter()
                neighbourhoods(graph)
                answering.append(time.perf_counter() - begun)
        opened.close()
        stored = sum(path.stat().st_size for path in Path(folder).iterdir())
    merges = ROUNDS * MERGES
    return Growth(size, statistics.median(merging), statistics.median(answering), stored / merges)


MERGES = 20
"""Merges per round."""


def _seconds_per_merge(
    opened: GraphStore, batches: list[list[InteractionTable]], round_: int
) -> float:
    begun = time.perf_counter()
    for number in range(MERGES):
        batch = batches[number % len(batches)]
        iteration = round_ * MERGES + number
        opened.merge(
            [Keyed(MergeKey("bench", iteration, i), table) for i, table in enumerate(batch)]
        )
    return (time.perf_counter() - begun) / MERGES


@dataclass(frozen=True)
class RemoteSpeed:
    """What a question costs over the wire, in seconds.

    Attributes:
        idle: median and 99th percentile while nobody merges.
        training: the same while a training merges at full speed.
        questions: asked during the training.
        flows_per_second: of that training.
    """

    idle: tuple[float, float]
    training: tuple[float, float]
    questions: int
    flows_per_second: float


def measure_remote(scenario: Path, iterations: int, progress: Progress) -> RemoteSpeed:
    """Asks a training's graph from another process. Ray must be running.

    Args:
        scenario: to train on.
        iterations: of the training.
        progress: called with iterations done and iterations in all.
    """
    import ray
    import torch

    from rayapp.rl.ppo import KnowledgePPOConfig

    # As kirl train has it: a second thread costs these small networks more than it brings.
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        algorithm = (
            KnowledgePPOConfig()
            .scenario(scenario)
            .knowledge(graph_folder=Path(folder), total_env_steps=FLOWS * iterations)
            .debugging(seed=0, log_level="ERROR")
            .build_algo()
        )
        # Two threads: one asks while the other can be told to stop.
        asker = ray.remote(num_cpus=0, max_concurrency=2)(_Asker).remote(
            algorithm.memory.graph, len(algorithm.scenario.signatures)
        )
        try:
            for _ in range(3):
                algorithm.train()
            idle = ray.get(asker.ask.remote(IDLE_QUESTIONS))
            during = asker.ask.remote(None)
            begun = time.perf_counter()
            for done in range(iterations):
                algorithm.train()
                progress(done + 1, iterations)
            seconds = time.perf_counter() - begun
            ray.get(asker.stop.remote())
            training = ray.get(during)
        finally:
            algorithm.stop()
    return RemoteSpeed(
        _spread(idle), _spread(training), len(training), FLOWS * iterations / seconds
    )


IDLE_QUESTIONS = 1_000
PAUSE_SECONDS = 0.002
"""Between two questions, so that asking itself does not take a processor away."""


class _Asker:
    """Asks for one signature's neighbourhood after another, from a process of its own."""

    def __init__(self, graph: GraphClient, signatures: int) -> None:
        self._graph, self._signatures = graph, signatures
        self._stopped = False

    def ask(self, questions: int | None) -> NDArray[np.float64]:
        """Seconds that each question took; asks until stopped if no number is given."""
        rng, seconds = np.random.default_rng(0), list[float]()
        while len(seconds) < questions if questions else not self._stopped:
            signature = int(rng.integers(self._signatures))
            begun = time.perf_counter()
            self._graph.neighbourhood(signature)
            seconds.append(time.perf_counter() - begun)
            time.sleep(PAUSE_SECONDS)
        return np.array(seconds)

    def stop(self) -> None:
        """Ends asking."""
        self._stopped = True


def _spread(seconds: NDArray[np.float64]) -> tuple[float, float]:
    return float(np.median(seconds)), float(np.percentile(seconds, 99))
