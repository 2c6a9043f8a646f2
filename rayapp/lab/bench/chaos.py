"""Random deaths on a real cluster, for as long as is wanted: what they cost, and that no flow is.

A cluster of several nodes runs on this machine. Trainings with two remote runners and the embedded
language model follow each other, and at moments that a seed decides one of these is killed: a
runner, the graph's actor, the language model's actor, a whole node, or the driver. A node stays
away for a while, and the training has to do without it. When a training is complete, its graph is
compared with a count of the flow stream that is made apart from it (:mod:`flow_count`).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np

from envs import Scenario
from envs.score import evaluate
from rayapp.cluster.local import LocalCluster, kill
from rayapp.lab.bench.flow_count import expected_counts, lost_and_doubled
from rayapp.runs.folder import RunFolder

Kind = Literal["runner", "graph", "language model", "node", "driver"]

KINDS: tuple[Kind, ...] = ("runner", "graph", "language model", "node", "driver")

TITLES: dict[Kind, str] = {
    "runner": "InteractionRunner",
    "graph": "GraphServer",
    "language model": "AdvisorServer",
}
"""What Ray calls the processes."""

NODES = 2
"""Beside the head; each has a processor, which one runner takes."""

TRAINING_FLOWS = 6_000_000
"""Flows of one training."""

ITERATION_FLOWS = 16_384
"""Flows of one iteration."""

SETTINGS = (
    *("--algo", "ppo-kg", "--advisor", "embedded", "--runners", str(NODES)),
    *("--set", f"learning.flows_per_iteration={ITERATION_FLOWS}", "--set", "checkpoint_seconds=5"),
)

PAUSE = (1.0, 8.0)
"""Seconds between a recovery and the next death, drawn evenly."""

AWAY = (2.0, 15.0)
"""Seconds for which a killed node stays away once the training goes on without it, likewise."""

PATIENCE = 300.0
"""Seconds without an iteration after which a training counts as hanging."""

_POLL_SECONDS = 0.1

Progress = Callable[[float, str], None]
"""Called with the seconds gone by and what happened last."""


@dataclass(frozen=True)
class Figures:
    """What deaths of one kind cost.

    Attributes:
        kills: how many.
        seconds_lost: in all, from each death until the training got further than it had been.
        median_seconds: of one death; ``None`` without any.
        longest_seconds: of the worst.
    """

    kills: int
    seconds_lost: float
    median_seconds: float | None
    longest_seconds: float | None

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Figures:
        """The figures of deaths that cost so many seconds each."""
        median = statistics.median(seconds) if seconds else None
        return cls(len(seconds), sum(seconds), median, max(seconds, default=None))


@dataclass(frozen=True)
class Chaos:
    """The result of :func:`measure`.

    Attributes:
        seconds: of killing.
        trainings: complete ones.
        flows: that they trained on.
        kills: of all kinds; the training recovered from each of them.
        seconds_lost: from deaths until trainings were further than before.
        flows_without_a_node: that were trained on while a node was away.
        lost: flows that the independent count has and graphs do not, by signature or by type,
            whichever are more; to be 0.
        doubled: flows that graphs have and the count does not; to be 0.
        reward: mean test reward per flow of the trainings that were hurt.
        lowest_reward: of the worst of them.
        unhurt_reward: of the same training with nobody killed.
        unhurt_seconds: that it took, start included.
        by_kind: deaths by what died.
    """

    seconds: float
    trainings: int
    flows: int
    kills: int
    seconds_lost: float
    flows_without_a_node: int
    lost: int
    doubled: int
    reward: float
    lowest_reward: float
    unhurt_reward: float
    unhurt_seconds: float
    by_kind: dict[str, Figures]


class _Training:
    """One training in a process of its own, begun again by the same command when it is killed."""

    def __init__(self, cluster: LocalCluster, scenario: Path, out: Path, flows: int) -> None:
        self._out = out
        self._command = [
            *(sys.executable, "-m", "rayapp", "train", "--scenario", str(scenario)),
            *("--out", str(out), "--flows", str(flows), "--address", cluster.address),
            *SETTINGS,
        ]
        self._log: IO[bytes] = out.with_suffix(".log").open("wb")
        self.process = self._begin()

    def _begin(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 (our own command)
            self._command,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    @property
    def complete(self) -> bool:
        """Whether it has ended well; raises ``RuntimeError`` if it ended otherwise."""
        code = self.process.poll()
        if code:
            told = self._out.with_suffix(".log").read_text(errors="replace")
            raise RuntimeError(f"a training ended by itself, with {code}: {told[-3000:]}")
        return code == 0

    def flows(self) -> int:
        """Flows of the last complete iteration."""
        file = self._out / "progress.jsonl"
        # The last line may be half written still.
        lines = file.read_bytes().split(b"\n")[:-1] if file.is_file() else []
        return int(json.loads(lines[-1])["flows"]) if lines else 0

    def kill(self) -> None:
        """Kills the driver, and starts it anew with the same command."""
        kill(self.process.pid)
        self.process.wait()
        self.process = self._begin()

    def close(self) -> None:
        """Ends it."""
        kill(self.process.pid)
        self.process.wait()
        self._log.close()


class NotRecoveredError(RuntimeError):
    """A training did not go on after a death.

    Args:
        kind: what died.
        kills: how many of that kind had died, this one included.
    """

    def __init__(self, kind: Kind, kills: int) -> None:
        super().__init__(f"no iteration for {PATIENCE:.0f} s after {kind} number {kills} died")


class _Hand:
    """Kills one after the other, and waits for each to be got over."""

    def __init__(
        self, cluster: LocalCluster, seed: int, seconds: float, progress: Progress
    ) -> None:
        self._cluster, self._seconds, self._progress = cluster, seconds, progress
        self._rng = np.random.default_rng(seed)
        self._queue: list[Kind] = []
        self._begun: float | None = None
        self.seconds: dict[Kind, list[float]] = {kind: [] for kind in KINDS}
        self.flows_without_a_node = 0

    @property
    def busy(self) -> float:
        """Seconds since there first was somebody to kill."""
        return 0.0 if self._begun is None else time.monotonic() - self._begun

    @property
    def done(self) -> bool:
        """Whether the time is over."""
        return self.busy >= self._seconds

    def trouble(self, training: _Training) -> None:
        """Kills until the training is complete, or the time is over."""
        while not training.complete:
            if training.flows() and not self.done:
                self._begun = self._begun or time.monotonic()
                pause = time.monotonic() + float(self._rng.uniform(*PAUSE))
                while time.monotonic() < pause and not training.complete:
                    time.sleep(_POLL_SECONDS)
                if not training.complete:
                    self._strike(training)
            time.sleep(_POLL_SECONDS)

    def _strike(self, training: _Training) -> None:
        if not self._queue:
            # All kinds come equally often, in any order.
            self._queue = [KINDS[number] for number in self._rng.permutation(len(KINDS))]
        kind, before = self._queue.pop(), training.flows()
        begun = time.monotonic()
        if not self._killed(kind, training):
            return
        self._progress(self.busy, f"killed: {kind}")
        # What was under way may still end; a whole iteration more needs all that are left.
        while not training.complete and training.flows() <= before + ITERATION_FLOWS:
            if time.monotonic() - begun > PATIENCE:
                raise NotRecoveredError(kind, len(self.seconds[kind]) + 1)
            time.sleep(_POLL_SECONDS)
        self.seconds[kind].append(time.monotonic() - begun)
        self._progress(self.busy, f"recovered: {kind}")
        if kind == "node":
            self._bring_back(training, before)

    def _bring_back(self, training: _Training, before: int) -> None:
        """Starts another node after a while in which the training did without."""
        until = time.monotonic() + float(self._rng.uniform(*AWAY))
        while time.monotonic() < until and not training.complete:
            time.sleep(_POLL_SECONDS)
        self.flows_without_a_node += training.flows() - before
        self._cluster.add_node(cpus=1)
        self._progress(self.busy, "brought back: node")

    def _killed(self, kind: Kind, training: _Training) -> bool:
        """Whether there was one of that kind to kill."""
        if kind == "driver":
            training.kill()
            return True
        if kind == "node":
            self._cluster.kill_node(int(self._rng.integers(self._cluster.nodes)))
            return True
        found = self._cluster.workers(TITLES[kind])
        if found:
            kill(int(self._rng.choice(found)))
        return bool(found)


def measure(
    scenario: Scenario,
    work: Path,
    seconds: float,
    progress: Progress,
    *,
    seed: int = 0,
    flows: int = TRAINING_FLOWS,
) -> Chaos:
    """Trains, kills and counts. It starts a cluster of its own.

    Args:
        scenario: to train on.
        work: folder for runs and logs.
        seconds: of killing; the training that is on then is let finish.
        progress: called after every death and recovery.
        seed: of what is killed when.
        flows: of one training.

    Raises:
        RuntimeError: a training ended by itself, or never went on.
    """
    with LocalCluster() as cluster:
        for _ in range(NODES):
            cluster.add_node(cpus=1)
        begun = time.monotonic()
        progress(0.0, "a training that nobody disturbs")
        unhurt = _run(cluster, scenario, work / "unhurt", flows, _wait)
        unhurt_seconds = time.monotonic() - begun
        hand = _Hand(cluster, seed, seconds, progress)
        hurt = list[RunFolder]()
        while not (hurt and hand.done):
            where = work / f"hurt-{len(hurt)}"
            hurt.append(_run(cluster, scenario, where, flows, hand.trouble))
        taken = hand.busy
    rewards = [_reward(folder) for folder in hurt]
    predicted = scenario.signatures.predicted
    wrong = [
        lost_and_doubled(
            folder.graph().counts(), expected_counts(scenario, folder, flows), predicted
        )
        for folder in hurt
    ]
    by_kind: dict[str, Figures] = {
        kind: Figures.of(seconds) for kind, seconds in hand.seconds.items()
    }
    return Chaos(
        seconds=taken,
        trainings=len(hurt),
        flows=len(hurt) * flows,
        kills=sum(one.kills for one in by_kind.values()),
        seconds_lost=sum(one.seconds_lost for one in by_kind.values()),
        flows_without_a_node=hand.flows_without_a_node,
        lost=sum(lost for lost, _ in wrong),
        doubled=sum(doubled for _, doubled in wrong),
        reward=statistics.mean(rewards),
        lowest_reward=min(rewards),
        unhurt_reward=_reward(unhurt),
        unhurt_seconds=unhurt_seconds,
        by_kind=by_kind,
    )


def _run(
    cluster: LocalCluster,
    scenario: Scenario,
    out: Path,
    flows: int,
    meanwhile: Callable[[_Training], None],
) -> RunFolder:
    training = _Training(cluster, scenario.path, out, flows)
    try:
        meanwhile(training)
    finally:
        training.close()
    return RunFolder(out)


def _wait(training: _Training) -> None:
    while not training.complete:
        time.sleep(_POLL_SECONDS)


def _reward(folder: RunFolder) -> float:
    flows = folder.scenario().flow_set("test")
    return evaluate(folder.policy().actions(flows.contexts), flows).score.average_reward
