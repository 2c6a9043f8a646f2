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
from matplotlib.figure import Figure

from envs import FlowSet, Scenario
from envs.drift import Drift
from kg_actor.draw import INK, PAPER, save_figure
from rayapp import config
from rayapp.experiments import curves
from rayapp.experiments.evaluation import best_actions, evaluate, signature_counts
from rayapp.experiments.reproduction import trials
from rayapp.experiments.reproduction.plan import Trial
from rayapp.experiments.reproduction.trials import Placed
from rayapp.experiments.runs import ProgressLine

SHARE = 0.99
WINDOW = 5
"""Iterations whose mean reward must be back: one lucky one is no recovery."""

COMMON = (
    "kl.schedule=constant",
    "kl.start=0.3",
    "ppo.entropy_coefficient=0.01",
    "ppo.flows_per_iteration=16384",
    "matching=fitted",
)
"""A stream has no end to anneal towards, and needs some exploration for ever."""

FORGETTING = "graph.half_life=200000.0"


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
    actions = best_actions(signature_counts(flows), flows.catalogue)
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
    before = [line.average_reward for line in lines if line.episodes <= drift.at]
    after = [line for line in lines if line.episodes > drift.at]
    if min(len(before), len(after)) < WINDOW:
        raise ValueError(f"fewer than {WINDOW} iterations on one side of the drift")
    means = np.convolve(
        [line.average_reward for line in after], np.full(WINDOW, 1 / WINDOW), mode="valid"
    )
    back = np.flatnonzero(means >= SHARE * bound)
    flows = after[int(back[0]) + WINDOW - 1].episodes - drift.at if len(back) else None
    return Recovery(float(np.mean(before[-WINDOW:])), float(means.min()), float(means[-1]), flows)


SYSTEMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ppo": ("ppo", ()),
    "ppo-kg": ("ppo-kg", ()),
    "ppo-kg, forgetting": ("ppo-kg", (FORGETTING,)),
}
"""Algorithm and settings by the system's name."""


def place(
    scenario: Scenario, out: Path, name: str, drift: Drift, *, flows: int, delay: int, seed: int
) -> dict[str, Placed]:
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
        options = {"algo": algo, "episodes": flows, "seed": seed}
        settings = config.load(None, [*COMMON, *drifting, *changes], options)
        planned.append(Trial("kirl", "online", f"{name} {system}", settings))
    placed = trials.place(planned, scenario, out)
    return dict(zip(SYSTEMS, placed, strict=True))


def _range_around(runs: Mapping[str, Sequence[ProgressLine]], drift: Drift) -> tuple[float, float]:
    """Rewards shortly before the drift and after it: the first learning would hide them."""
    met = [
        line.average_reward
        for lines in runs.values()
        for line in lines
        if line.episodes > drift.at // 2
    ]
    margin = max(0.1 * (max(met) - min(met)), 1e-3)
    return min(met) - margin, max(met) + margin


def draw(
    path: Path,
    drifts: Mapping[str, Drift],
    runs: Mapping[str, Mapping[str, Sequence[ProgressLine]]],
    possible: Mapping[str, Bounds],
) -> Path:
    """Reward against flows, one panel per drift, with what is possible before and after.

    Args:
        path: a .png or .svg file.
        drifts: by name.
        runs: iterations by drift and system.
        possible: by drift.
    """
    figure = Figure(figsize=(9, 3.2 * len(drifts)), facecolor=PAPER, layout="constrained")
    panels = figure.subplots(len(drifts), 1, squeeze=False)[:, 0]
    for axes, (name, drift) in zip(panels, drifts.items(), strict=True):
        curves.compare(axes, runs[name])
        end = max(lines[-1].episodes for lines in runs[name].values())
        bound = possible[name]
        axes.hlines(
            [bound.before, bound.after], [0, drift.at], [drift.at, end], color=INK, linewidth=0.8
        )
        axes.set_ylim(*_range_around(runs[name], drift))
        axes.axvline(drift.at, color=INK, linewidth=0.8, linestyle=":")
        axes.set_title(f"{name} (thin line: best possible)", fontsize=10, color=INK, loc="left")
    return save_figure(figure, path)
