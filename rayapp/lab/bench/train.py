"""kirl beside its peers: the same flows, state and network, one after the other.

Each turn runs in a process of its own (:mod:`rayapp.lab.bench.peers.lap`). Where a contender has
several settings, trials choose the fastest and the one that comes near the bound soonest; if they
differ, both have a turn in each round. The median of the rounds counts. All contenders have a turn
in each, so that a machine that slows down slows all of them.
"""

from __future__ import annotations

import json
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from envs import Scenario
from envs.score import evaluate
from rayapp.lab.bench.peers.contender import Limits, Setting, flows_of
from rayapp.lab.bench.peers.lap import CONTENDERS, Lap, settings_of
from rayapp.lab.bench.provenance import Provenance
from rayapp.lab.convergence import SHARE

BUDGET = 9_900_000
"""The paper's training: 5 passes over 1.98 M flows (section IV)."""

FIRST = "kirl ppo-kg"
"""The contender that all others are compared with."""

TRIAL_STRETCHES = 3
"""Fewest stretches of a trial: the first iteration of a large batch may be most of a short one."""

Listener = Callable[[int, int, str], None]
"""Called with turns done, turns in all, and whose turn it is."""


@dataclass(frozen=True)
class Rules:
    """How the comparison runs.

    Attributes:
        rounds: number of rounds; every contender has a turn in each.
        flows: most flows of a turn; schedules refer to it.
        seconds: a turn ends after this time, or with its flows.
        patience: seconds after which a turn or trial ends that has not come near the bound. With
            0 it ends after ``seconds``, and the fastest setting is the only one to have turns.
        trial_seconds: least seconds of a trial, for contenders with several settings.
    """

    rounds: int = 3
    flows: int = BUDGET
    seconds: float = 20.0
    patience: float = 60.0
    trial_seconds: float = 6.0


@dataclass(frozen=True)
class Trial:
    """What a setting was tried for.

    Attributes:
        setting: of a contender that has several.
        steps_per_second: environment steps (flows), learning included.
        bound_seconds: until a stretch was near the bound; ``None`` if none was.
    """

    setting: Setting
    steps_per_second: float
    bound_seconds: float | None


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
        bound_setting: the one of its own that was near the bound soonest.
        bound_seconds: of training with it until a stretch's average reward, exploration
            included, was 99 % of what acting on the predicted class earns; ``None`` if most
            turns ended before.
        bound_flows: flows until then.
        reward: average of the fastest setting's last stretch.
        peak_gib: most memory of the process and all it started.
        start_seconds: until the first flow: imports, networks, Ray.
    """

    name: str
    setting: Setting
    steps_per_second: float
    rounds: tuple[float, ...]
    flows: int
    budget_seconds: float
    bound_setting: Setting
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
        provenance: what was measured where.
        rules: how it was run.
        trials: of each setting that was tried, by contender.
    """

    ratios: dict[str, float]
    standings: tuple[Standing, ...]
    bound: float
    provenance: Provenance
    rules: Rules
    trials: dict[str, tuple[Trial, ...]]


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
        listener: called after each turn.
        names: of the contenders, :data:`FIRST` among them.

    Raises:
        RuntimeError: a turn failed; the message ends with what its process printed.
    """
    flows = flows_of(scenario)
    bound = evaluate(flows.catalogue.best_actions[flows.contexts.traffic], flows)
    goal = SHARE * bound.predicted_class.average_reward
    several = {name: settings_of(name) for name in names if len(settings_of(name)) > 1}
    run = _Runs(scenario.path, rules.flows, listener)
    run.total = sum(map(len, several.values())) + rules.rounds * len(names)
    limits = Limits(rules.trial_seconds, goal, rules.patience, TRIAL_STRETCHES)
    trials = {
        name: tuple(run.tried(name, setting, limits) for setting in settings)
        for name, settings in several.items()
    }
    chosen = {
        name: _Chosen.of(trials[name], rules) if name in trials else _Chosen(*settings_of(name) * 2)
        for name in names
    }
    run.total += rules.rounds * sum(one.are_two for one in chosen.values())
    turns: dict[str, list[_Turn]] = {name: [] for name in names}
    for _ in range(rules.rounds):
        for name, settings in chosen.items():
            turns[name].append(run.turn(name, settings, rules, goal))
    standings = tuple(_standing(name, chosen[name], turns[name]) for name in names)
    rates = {one.name: one.steps_per_second for one in standings}
    return Comparison(
        {name: rates[FIRST] / rate for name, rate in rates.items() if name != FIRST},
        standings,
        bound.predicted_class.average_reward,
        Provenance.of(scenario, flows),
        rules,
        trials,
    )


@dataclass(frozen=True)
class _Chosen:
    """Settings of a contender: the fastest, and the soonest near the bound."""

    fastest: Setting
    soonest: Setting

    @classmethod
    def of(cls, trials: Sequence[Trial], rules: Rules) -> _Chosen:
        fastest = max(trials, key=lambda one: one.steps_per_second)
        near = [one for one in trials if one.bound_seconds is not None]
        if not near or not rules.patience:
            return cls(fastest.setting, fastest.setting)
        soonest = min(near, key=lambda one: one.bound_seconds or 0.0)
        return cls(fastest.setting, soonest.setting)

    @property
    def are_two(self) -> bool:
        return self.fastest != self.soonest


@dataclass(frozen=True)
class _Turn:
    """What a contender did in a round: its fastest setting's lap, and its soonest one's."""

    fast: Lap
    soon: Lap


def _standing(name: str, chosen: _Chosen, turns: Sequence[_Turn]) -> Standing:
    laps, never = [turn.fast for turn in turns], float("inf")
    seconds, met = (
        statistics.median(never if one is None else one for one in values)
        for values in (
            [turn.soon.goal_seconds for turn in turns],
            [turn.soon.goal_flows for turn in turns],
        )
    )
    rate = statistics.median(lap.rate for lap in laps)
    return Standing(
        name,
        chosen.fastest,
        rate,
        tuple(lap.rate for lap in laps),
        int(statistics.median(lap.flows for lap in laps)),
        BUDGET / rate,
        chosen.soonest,
        None if seconds == never else seconds,
        None if met == never else int(met),
        statistics.median(lap.reward for lap in laps),
        statistics.median(lap.peak_gib for lap in laps),
        statistics.median(lap.start_seconds for lap in laps),
    )


class _Runs:
    """Turns in processes of their own, one after the other."""

    def __init__(self, scenario: Path, flows: int, listener: Listener) -> None:
        self._scenario, self._flows, self._listener = scenario, flows, listener
        self._done = self.total = 0

    def tried(self, name: str, setting: Setting, limits: Limits) -> Trial:
        """One trial."""
        lap = self.lap(name, setting, limits)
        return Trial(setting, lap.rate, lap.goal_seconds)

    def turn(self, name: str, chosen: _Chosen, rules: Rules, goal: float) -> _Turn:
        """A contender's part of a round."""
        fast = self.lap(name, chosen.fastest, Limits(rules.seconds, goal, rules.patience))
        if not chosen.are_two:
            return _Turn(fast, fast)
        return _Turn(fast, self.lap(name, chosen.soonest, Limits(0.0, goal, rules.patience)))

    def lap(self, name: str, setting: Setting, limits: Limits) -> Lap:
        """One lap."""
        self._listener(self._done, self.total, name)
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
            _follow(json.dumps(order), Path(folder) / "printed")
            lap = Lap(**json.loads(result.read_text()))
        self._done += 1
        self._listener(self._done, self.total, name)
        return lap


def _follow(order: str, printed: Path) -> None:
    """Runs a lap's process to its end."""
    command = [sys.executable, "-m", "rayapp.lab.bench.peers.lap", order]
    with (
        printed.open("wb") as said,
        subprocess.Popen(command, stdout=said, stderr=said) as process,  # noqa: S603 (our own)
    ):
        try:
            process.wait()
        except BaseException:
            # It ends Ray on its way out.
            process.send_signal(signal.SIGINT)
            raise
    if process.returncode:
        end = printed.read_text(errors="replace")[-2_000:]
        raise RuntimeError(f"a turn ended with exit code {process.returncode}:\n{end}")
