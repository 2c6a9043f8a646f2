"""What a decision costs, one at a time and in batches, and a scorecard of a whole test split.

Features are synthetic: what a flow holds does not matter to how long it takes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from envs import Scenario
from envs.datasets import registry
from envs.score import evaluate
from rayapp import config
from rayapp.lab.decisions import Decider
from rayapp.lab.reproduction.costs import Costs, measure, network_of
from rayapp.runs import training
from rayapp.runs.folder import RunFolder, begin

FLOWS = 1_000_000
"""Training flows of the policies; how good they are does not matter here."""

BATCH = 8_192
BATCHES = 20
ROUNDS = 5


@dataclass(frozen=True)
class DecisionSpeed:
    """What ``kirl bench decisions`` prints; medians, unless they say otherwise.

    Attributes:
        costs: seconds of a single decision from features to action: median and 99th percentile.
        batch_flows: decided at once.
        batched_flows_per_second: with cached advice, from features to action.
        test_flows: of the scenario.
        load_seconds: of a run's policy and scenario.
        evaluate_seconds: of the scorecard of all test flows, once they are loaded.
        evaluated_flows_per_second: of that scorecard.
    """

    costs: Costs
    batch_flows: int
    batched_flows_per_second: float
    test_flows: int
    load_seconds: float
    evaluate_seconds: float
    evaluated_flows_per_second: float


def measure_decisions(
    scenario: Scenario, folder: Path, progress: Callable[[int, int], None]
) -> DecisionSpeed:
    """Trains a policy with and one without advice, and lets them decide; Ray must be running.

    Args:
        scenario: to train on.
        folder: for the runs; empty.
        progress: called with steps done and steps in all.
    """
    plain = _trained(scenario, folder / "ppo", "ppo")
    progress(1, 4)
    infused = _trained(scenario, folder / "ppo-kg", "ppo-kg")
    progress(2, 4)
    costs = measure(scenario, plain, infused)
    progress(3, 4)
    batched = _batched(scenario, infused)
    loading, scoring = _scored(infused)
    progress(4, 4)
    flows = len(scenario.test[0])
    return DecisionSpeed(costs, BATCH, batched, flows, loading, scoring, flows / scoring)


def _trained(scenario: Scenario, folder: Path, algo: str) -> RunFolder:
    run = RunFolder(folder)
    advice = ("advice.advisor=embedded",) if algo == "ppo-kg" else ()
    settings = config.load(None, advice, {"algo": algo, "flows": FLOWS})
    begin(run, settings, scenario)
    training.train(run)
    return run


def _batched(scenario: Scenario, run: RunFolder) -> float:
    decider = Decider(scenario.detector(), network_of(run), scenario.contexts, scenario.catalogue)
    features = registry.drawn(BATCH * BATCHES, 1, scenario.catalogue).read().features
    pieces = np.split(features, BATCHES)
    decider.decide(pieces[0])
    seconds = [_seconds(partial(decider.decide, piece)) for piece in pieces]
    return BATCH / statistics.median(seconds)


def _scored(run: RunFolder) -> tuple[float, float]:
    begun = time.perf_counter()
    policy, flows = run.policy(), run.scenario().flow_set("test")
    loading = time.perf_counter() - begun
    score = [
        _seconds(lambda: evaluate(policy.actions(flows.contexts), flows)) for _ in range(ROUNDS)
    ]
    return loading, statistics.median(score)


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
