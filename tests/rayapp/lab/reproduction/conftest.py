"""Hand-made results: systems whose rewards and curves a test says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from envs import Scenario
from envs.score import CorrectAction, Score, Scorecard
from rayapp.lab.convergence import Convergence
from rayapp.lab.decisions import Latency
from rayapp.lab.reproduction.costs import Costs
from rayapp.lab.reproduction.plan import Experiment, Preset
from rayapp.lab.reproduction.results import GraphSize, Results, SystemResult, TrialResult
from rayapp.runs.folder import ProgressLine

MakeSystem = Callable[..., SystemResult]
MakeResults = Callable[..., Results]

BOUND = Score(4.9, 4.0, {"Benign": 4.95, "Web": 3.05})
ORACLE = Score(4.97, 4.2, {"Benign": 4.98, "Web": 3.42})


def trial(
    seed: int,
    benign: float = 4.9,
    web: float = 3.0,
    right: float | None = 0.99,
    wrong: float | None = 0.2,
    curve: Sequence[float] = tuple(range(-5, 5)),
    reached: int | None = 3_000,
) -> TrialResult:
    score = Score((99 * benign + web) / 100, (benign + web) / 2, {"Benign": benign, "Web": web})
    card = Scorecard(
        score=score,
        correct_action=CorrectAction(0.98, right, wrong),
        predicted_class=BOUND,
        signature_oracle=ORACLE,
        flows=10_000,
        misdetected=62,
        flows_per_class={"Benign": 9_900, "Web": 100},
    )
    lines = tuple(
        ProgressLine(i, 1_000 * i, 0.5 * i, reward, {"Benign": reward}, i, 0)
        for i, reward in enumerate(curve, 1)
    )
    got = Convergence(reached, None if reached is None else reached / 1_000)
    return TrialResult(seed, "abc", card, lines, 12.5, got, got)


@pytest.fixture(scope="session")
def make_system() -> MakeSystem:
    """Makes a system with the same figures in all trials, but for a little noise in rewards."""

    def make(
        preset: Preset = "paper",
        experiment: Experiment = "main",
        name: str = "ppo",
        seeds: int = 2,
        curve: Sequence[float] = tuple(range(-5, 5)),
        **given: float | None,
    ) -> SystemResult:
        trials = (
            trial(seed, curve=[reward + 0.001 * seed for reward in curve], **given)  # type: ignore[arg-type]
            for seed in range(seeds)
        )
        return SystemResult(preset, experiment, name, tuple(trials))

    return make


@pytest.fixture(scope="session")
def make_results(scenario: Scenario) -> MakeResults:
    """Makes results of systems, on the session's synthetic scenario."""

    def make(*systems: SystemResult, scenarios: tuple[Scenario, ...] = (scenario,)) -> Results:
        keyed = {(system.preset, system.experiment, system.name): system for system in systems}
        presets = dict.fromkeys(system.preset for system in systems)
        return Results(scenarios, keyed, {preset: GraphSize(181, 283) for preset in presets})

    return make


@pytest.fixture(scope="session")
def everything(make_system: MakeSystem, make_results: MakeResults) -> Results:
    """All parts under both presets."""
    systems = []
    presets: tuple[Preset, ...] = ("paper", "kirl")
    for preset in presets:
        systems += [
            make_system(preset, "main", name, benign=4.9 - 0.01 * i, web=1.125 * i)
            for i, name in enumerate(("ppo", "ppo-kg", "ppo-kg-pt", "llm-kg", "dl"))
        ]
        systems += [
            make_system(preset, "figure 3", name) for name in ("ppo", "lambda 1.0", "lambda 0.1")
        ]
    systems.append(make_system("paper", "ablation", "embedding of signatures", web=2.0))
    systems.append(make_system("kirl", "ablation", "lambda stays 1", web=0.5))
    systems.append(make_system("kirl", "others", "linucb", web=2.5))
    return make_results(*systems)


@pytest.fixture(scope="session")
def costs() -> Costs:
    """Costs of a decision that no machine measured."""
    ways = (Latency(0.0003, 0.0009, 2_000), Latency(0.0004, 0.001, 2_000))
    return Costs(*ways, Latency(0.0061, 0.009, 100), "a small model", "embedded")
