"""kirl beside its peers: the same flows, state and network, one after the other.

Each turn runs in a process of its own (:mod:`rayapp.bench.peers.lap`). Where a contender has
several settings, a short trial chooses the fastest; what counts is the median of the rounds,
in each of which everybody has a turn, so that a machine that slows down slows all of them.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from envs import Scenario
from rayapp.bench.peers.contender import Setting, flows_of
from rayapp.bench.peers.lap import CONTENDERS, Lap, Limits, settings_of
from rayapp.experiments.convergence import SHARE
from rayapp.experiments.evaluation import evaluate
from rayapp.preparation.memory import tree_memory

BUDGET = 9_900_000
"""The paper's training: 5 passes over 1.98 M flows (section IV)."""

FIRST = "kirl ppo-kg"
"""Whom all others are compared with."""

_SECONDS_BETWEEN_LOOKS = 3.0

Listener = Callable[[int, int, str], None]
"""Called with turns done, turns in all, and whose turn it is."""


@dataclass(frozen=True)
class Rules:
    """How the comparison runs.

    Attributes:
        rounds: in each of which everybody has a turn.
        flows: of a turn at most; schedules refer to it.
        seconds: of a turn, for who is not through with the flows before.
        patience: seconds for who has not got near the bound until then.
        trial_seconds: per setting of who has several.
    """

    rounds: int = 3
    flows: int = BUDGET
    seconds: float = 20.0
    patience: float = 60.0
    trial_seconds: float = 6.0


@dataclass(frozen=True)
class Standing:
    """Medians of one contender.

    Attributes:
        name: the contender's.
        setting: the fastest of its own.
        steps_per_second: environment steps (flows), learning included.
        rounds: the same of each round.
        flows: trained on in a turn.
        budget_seconds: that the paper's budget takes at this rate.
        bound_seconds: of training until a stretch's average reward, exploration included, was
            99 % of what acting on the predicted class earns; ``None`` if most turns ended before.
        bound_flows: flows until then.
        reward: average of the last stretch.
        peak_gib: most memory of the process and all it started.
        start_seconds: until the first flow: imports, networks, Ray.
    """

    name: str
    setting: Setting
    steps_per_second: float
    rounds: tuple[float, ...]
    flows: int
    budget_seconds: float
    bound_seconds: float | None
    bound_flows: int | None
    reward: float
    peak_gib: float
    start_seconds: float


@dataclass(frozen=True)
class Comparison:
    """What ``kirl bench train`` prints.

    Attributes:
        ratios: of environment steps per second, :data:`FIRST` to each of the others.
        standings: of each contender.
        bound: average reward of acting on the predicted class, on the flows that all meet.
        flows, signatures, actions: sizes of the problem.
        processors: that this process may use.
        rules: how it was run.
        trials: steps per second of each setting that was tried, by contender.
    """

    ratios: dict[str, float]
    standings: tuple[Standing, ...]
    bound: float
    flows: int
    signatures: int
    actions: int
    processors: int
    rules: Rules
    trials: dict[str, dict[str, float]]


def compare(
    scenario: Scenario,
    rules: Rules,
    listener: Listener,
    names: Sequence[str] = tuple(CONTENDERS),
) -> Comparison:
    """Runs the comparison; minutes.

    Args:
        scenario: prepared, on disk.
        rules: how long.
        listener: told after each turn.
        names: of the contenders, :data:`FIRST` among them.

    Raises:
        RuntimeError: a turn failed; the message ends with what its process printed.
    """
    flows = flows_of(scenario)
    bound = evaluate(flows.catalogue.best_actions[flows.predicted], flows)
    goal = SHARE * bound.predicted_class.average_reward
    several = {name: settings_of(name) for name in names if len(settings_of(name)) > 1}
    total = sum(map(len, several.values())) + rules.rounds * len(names)
    run = _Runs(scenario.path, rules.flows, total, listener)
    trials = {
        name: {
            json.dumps(setting): run.lap(name, setting, Limits(rules.trial_seconds))[0].rate
            for setting in settings
        }
        for name, settings in several.items()
    }
    chosen: dict[str, Setting] = {name: settings_of(name)[0] for name in names}
    chosen |= {
        name: json.loads(max(tried, key=tried.__getitem__)) for name, tried in trials.items()
    }
    limits = Limits(rules.seconds, goal, rules.patience)
    laps: dict[str, list[tuple[Lap, float]]] = {name: [] for name in names}
    for _ in range(rules.rounds):
        for name in names:
            laps[name].append(run.lap(name, chosen[name], limits))
    standings = tuple(_standing(name, chosen[name], laps[name]) for name in names)
    rates = {one.name: one.steps_per_second for one in standings}
    return Comparison(
        {name: rates[FIRST] / rate for name, rate in rates.items() if name != FIRST},
        standings,
        bound.predicted_class.average_reward,
        len(flows),
        len(flows.predicted),
        len(flows.catalogue.actions),
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        rules,
        trials,
    )


def _standing(name: str, setting: Setting, laps: Sequence[tuple[Lap, float]]) -> Standing:
    rates = tuple(lap.rate for lap, _ in laps)
    never = float("inf")
    seconds = statistics.median(
        never if lap.goal_seconds is None else lap.goal_seconds for lap, _ in laps
    )
    met = statistics.median(never if lap.goal_flows is None else lap.goal_flows for lap, _ in laps)
    rate = statistics.median(rates)
    return Standing(
        name,
        setting,
        rate,
        rates,
        int(statistics.median(lap.flows for lap, _ in laps)),
        BUDGET / rate,
        None if seconds == never else seconds,
        None if met == never else int(met),
        statistics.median(lap.reward for lap, _ in laps),
        max(held for _, held in laps),
        statistics.median(lap.start_seconds for lap, _ in laps),
    )


class _Runs:
    """Turns in processes of their own, one after the other."""

    def __init__(self, scenario: Path, flows: int, total: int, listener: Listener) -> None:
        self._scenario, self._flows, self._listener = scenario, flows, listener
        self._done, self._total = 0, total

    def lap(self, name: str, setting: Setting, limits: Limits) -> tuple[Lap, float]:
        """One turn, and the most memory that it was seen to hold, in GiB."""
        self._listener(self._done, self._total, name)
        with tempfile.TemporaryDirectory() as folder:
            result = Path(folder) / "lap.json"
            order = {
                "name": name,
                "scenario": str(self._scenario.absolute()),
                "flows": self._flows,
                "folder": folder,
                "setting": dict(setting),
                "limits": asdict(limits),
                "result": str(result),
            }
            held = _watched(json.dumps(order), Path(folder) / "printed")
            lap = Lap(**json.loads(result.read_text()))
        self._done += 1
        self._listener(self._done, self._total, name)
        return lap, max(held, lap.peak_gib)


def _watched(order: str, printed: Path) -> float:
    """Runs a lap's process to its end; the most memory that it and its children held, in GiB."""
    command = [sys.executable, "-m", "rayapp.bench.peers.lap", order]
    held = 0.0
    with (
        printed.open("wb") as said,
        subprocess.Popen(command, stdout=said, stderr=said) as process,  # noqa: S603 (our own)
    ):
        try:
            while process.poll() is None:
                held = max(held, (tree_memory(process.pid) or 0) / 2**30)
                _wait(process)
        except BaseException:
            # It ends Ray on its way out.
            process.send_signal(signal.SIGINT)
            raise
    if process.returncode:
        end = printed.read_text(errors="replace")[-2_000:]
        raise RuntimeError(f"a turn ended with exit code {process.returncode}:\n{end}")
    return held


def _wait(process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _SECONDS_BETWEEN_LOOKS
    while process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
