"""Learning from a stream: late feedback, drifting traffic, and how fast systems recover.

Systems meet the same flows in the same order. Some way in, the traffic behind the same
detections changes (:mod:`envs.drift`). What a flow earns falls, and rises again as counters,
graph, advice and policy learn what is now true.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from envs import FlowSet, Scenario
from envs.drift import Drift
from envs.score import best_actions, evaluate
from kg_actor.drawing.files import save_figure
from kg_actor.drawing.style import INK
from rayapp import config
from rayapp.lab.charts import panels, title
from rayapp.lab.curves import Curves, curve, draw_rewards
from rayapp.lab.reproduction import trials
from rayapp.lab.reproduction.plan import Trial, fitting
from rayapp.lab.reproduction.trials import Progress, TrialRun
from rayapp.runs.folder import ProgressLine

SHARE = 0.99
WINDOW = 5
"""Iterations whose mean reward must be back: one lucky one is no recovery."""

COMMON = (
    "kl.schedule=constant",
    "kl.start=0.3",
    "learning.entropy_coefficient=0.01",
    "learning.flows_per_iteration=16384",
    "matching=fitted",
)
"""A stream has no end to anneal towards, and needs some exploration for ever."""

FORGETTING = "graph.half_life=200000.0"


SYSTEMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ppo": ("ppo", ()),
    "ppo-kg": ("ppo-kg", ()),
    "ppo-kg, forgetting": ("ppo-kg", (FORGETTING,)),
}
"""Algorithm and settings by the system's name."""


@dataclass(frozen=True)
class Bounds:
    """What the best action per signature earns on average, before and after the drift."""

    before: float
    after: float


@dataclass(frozen=True)
class Recovery:
    """How a system met the drift.

    Attributes:
        before: mean reward in the last iterations before it.
        lowest: mean reward of the worst iterations after it.
        end: mean reward in the last iterations.
        flows: after the drift until :data:`WINDOW` iterations earned 99 % of the bound after
            it on average; ``None`` if they never did.
    """

    before: float
    lowest: float
    end: float
    flows: int | None

    def to_json(self) -> dict[str, Any]:
        """JSON-able fields."""
        return asdict(self)


def bounds(scenario: Scenario, drift: Drift) -> Bounds:
    """The bounds on the training flows as they are matched."""
    flows = scenario.flow_set("train")
    return Bounds(_best(flows), _best(drift.applied(flows)))


def _best(flows: FlowSet) -> float:
    actions = best_actions(flows.counts(), flows.catalogue)
    return evaluate(actions, flows).score.average_reward


def recovery(lines: Sequence[ProgressLine], drift: Drift, bound: float) -> Recovery:
    """How a training met the drift.

    Args:
        lines: its iterations, none of them across the drift.
        drift: what came when.
        bound: average reward that is possible after it.

    Raises:
        ValueError: fewer than :data:`WINDOW` iterations before or after the drift.
    """
    before = [line.average_reward for line in lines if line.flows <= drift.at]
    after = [line for line in lines if line.flows > drift.at]
    if min(len(before), len(after)) < WINDOW:
        raise ValueError(f"fewer than {WINDOW} iterations on one side of the drift")
    means = np.convolve(
        [line.average_reward for line in after], np.full(WINDOW, 1 / WINDOW), mode="valid"
    )
    back = np.flatnonzero(means >= SHARE * bound)
    flows = after[int(back[0]) + WINDOW - 1].flows - drift.at if len(back) else None
    return Recovery(float(np.mean(before[-WINDOW:])), float(means.min()), float(means[-1]), flows)


@dataclass(frozen=True)
class Outcome:
    """What became of one drift.

    Attributes:
        drift: the change.
        bounds: what was possible.
        lines: iterations by system.
        systems: recoveries by system.
    """

    drift: Drift
    bounds: Bounds
    lines: dict[str, list[ProgressLine]]
    systems: dict[str, Recovery]

    def to_json(self) -> dict[str, Any]:
        """JSON-able figures, without the curves."""
        systems = {name: one.to_json() for name, one in self.systems.items()}
        return {"drift": asdict(self.drift), "bounds": asdict(self.bounds), "systems": systems}


def compare_systems(
    scenario: Scenario,
    out: Path,
    drifts: Mapping[str, Drift],
    progress: Progress,
    *,
    flows: int,
    delay: int,
    seed: int,
) -> dict[str, Outcome]:
    """Trains every system through every drift. Ray must be running.

    Args:
        scenario: its training flows are the stream.
        out: folder of the runs; those that are there already are gone on with.
        drifts: by name.
        progress: called with the flows trained on and in all.
        flows: length of the stream.
        delay: flows decided before a flow's feedback comes.
        seed: of everything.

    Raises:
        InputError: a folder holds a run of other settings or flows.
        ValueError: too few iterations on one side of a drift.
    """
    runs = {
        name: begin(scenario, out, name, drift, flows=flows, delay=delay, seed=seed)
        for name, drift in drifts.items()
    }
    trials.train_all([one for systems in runs.values() for one in systems.values()], progress)
    return {name: _outcome(scenario, drifts[name], systems) for name, systems in runs.items()}


def _outcome(scenario: Scenario, drift: Drift, systems: Mapping[str, TrialRun]) -> Outcome:
    possible = bounds(scenario, drift)
    lines = {name: one.folder.progress() for name, one in systems.items()}
    met = {name: recovery(some, drift, possible.after) for name, some in lines.items()}
    return Outcome(drift, possible, lines, met)


def begin(
    scenario: Scenario, out: Path, name: str, drift: Drift, *, flows: int, delay: int, seed: int
) -> dict[str, TrialRun]:
    """Begins the runs of one drift, or finds those begun before.

    Raises:
        InputError: a folder holds a run of other settings or flows.
    """
    drifting = [
        f"online.delay={delay}",
        f"online.drift.at={drift.at}",
        f"online.drift.becomes={json.dumps(drift.becomes)}",
        f"online.drift.traffic={json.dumps(drift.traffic)}",
        f"online.drift.signature={json.dumps(drift.signature)}",
    ]
    planned = []
    for system, (algo, changes) in SYSTEMS.items():
        options = {"algo": algo, "flows": flows, "seed": seed}
        settings = config.load(None, fitting([*COMMON, *drifting, *changes], algo), options)
        planned.append(Trial("kirl", "online", f"{name} {system}", settings))
    runs = trials.begin_trials(planned, scenario, out)
    return dict(zip(SYSTEMS, runs, strict=True))


def _range_around(curves: Curves, drift: Drift) -> tuple[float, float]:
    """Rewards shortly before the drift and after it: the first learning would hide them."""
    met = pd.concat([one["mean"][one["flows"] > drift.at // 2] for one in curves.values()])
    margin = max(0.1 * (met.max() - met.min()), 1e-3)
    return float(met.min() - margin), float(met.max() + margin)


def draw(path: Path, outcomes: Mapping[str, Outcome]) -> Path:
    """Reward against flows, one panel per drift, with what is possible before and after.

    Args:
        path: a .png or .svg file.
        outcomes: by the drift's name.
    """
    figure, all_axes = panels(len(outcomes), 1, 9, 3.2)
    for axes, (name, outcome) in zip(all_axes, outcomes.items(), strict=True):
        at, bound = outcome.drift.at, outcome.bounds
        curves = {system: curve([lines]) for system, lines in outcome.lines.items()}
        draw_rewards(axes, curves)
        axes.legend(loc="lower right", fontsize=9, frameon=False, labelcolor=INK)
        end = max(lines[-1].flows for lines in outcome.lines.values())
        axes.hlines([bound.before, bound.after], [0, at], [at, end], color=INK, linewidth=0.8)
        axes.set_ylim(*_range_around(curves, outcome.drift))
        axes.axvline(at, color=INK, linewidth=0.8, linestyle=":")
        title(axes, f"{name} (thin line: best possible)")
    return save_figure(figure, path)
