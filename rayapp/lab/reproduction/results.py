"""What the trials gave: estimates per system, curves, graph sizes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from envs import Scenario
from envs.score import Score, Scorecard, evaluate
from kg_actor import to_networkx
from rayapp.lab.convergence import Convergence, reached
from rayapp.lab.reproduction.plan import Experiment, Preset
from rayapp.lab.reproduction.trials import TrialRun
from rayapp.lab.statistics import Estimate
from rayapp.runs.folder import ProgressLine


@dataclass(frozen=True)
class TrialResult:
    """One finished trial.

    Attributes:
        seed: of the training.
        scenario: fingerprint of its scenario.
        card: on the scenario's test flows.
        lines: its iterations.
        seconds: of training.
        average_reached, class_mean_reached: when it came to 99 % of the bound in training.
    """

    seed: int
    scenario: str
    card: Scorecard
    lines: tuple[ProgressLine, ...]
    seconds: float
    average_reached: Convergence
    class_mean_reached: Convergence


@dataclass(frozen=True)
class SystemResult:
    """All trials of one system under one set of settings."""

    preset: Preset
    experiment: Experiment
    name: str
    trials: tuple[TrialResult, ...]

    def estimate(self, value: Callable[[Scorecard], float | None]) -> Estimate | None:
        """The mean of a scorecard's figure over trials; ``None`` where no trial has it."""
        given = [(found, t.scenario) for t in self.trials if (found := value(t.card)) is not None]
        return Estimate.grouped(*zip(*given, strict=True)) if given else None

    @property
    def average(self) -> Estimate:
        """Average reward per test flow."""
        return self._estimate([t.card.score.average_reward for t in self.trials])

    @property
    def class_mean(self) -> Estimate:
        """Mean over classes of their average reward."""
        return self._estimate([t.card.score.class_mean_reward for t in self.trials])

    def of_class(self, name: str) -> Estimate | None:
        """Average reward of one true class; ``None`` if no test flow is of it."""
        return self.estimate(lambda card: card.score.per_class.get(name))

    def against(self, bound: Callable[[Scorecard], Score]) -> tuple[Estimate, Estimate]:
        """Average and class mean less a bound's, trial by trial."""
        pairs = [(t.card.score, bound(t.card)) for t in self.trials]
        return (
            self._estimate([own.average_reward - b.average_reward for own, b in pairs]),
            self._estimate([own.class_mean_reward - b.class_mean_reward for own, b in pairs]),
        )

    def _estimate(self, values: Sequence[float]) -> Estimate:
        return Estimate.grouped(values, [trial.scenario for trial in self.trials])

    def to_json(self) -> dict[str, Any]:
        """JSON-able figures, without the curves."""
        first = self.trials[0].card
        correct = ("all", "detected_correctly", "misdetected")
        return {
            "preset": self.preset,
            "experiment": self.experiment,
            "name": self.name,
            "average_reward": asdict(self.average),
            "class_mean_reward": asdict(self.class_mean),
            "per_class": {n: _json(self.of_class(n)) for n in first.score.per_class},
            "less_predicted_class_bound": [
                asdict(estimate) for estimate in self.against(lambda card: card.predicted_class)
            ],
            "correct_action": {
                key: _json(self.estimate(lambda card, key=key: getattr(card.correct_action, key)))  # type: ignore[misc]
                for key in correct
            },
            "seconds": asdict(self._estimate([t.seconds for t in self.trials])),
            "to_99_percent_of_average_bound": [asdict(t.average_reached) for t in self.trials],
            "to_99_percent_of_class_mean_bound": [
                asdict(t.class_mean_reached) for t in self.trials
            ],
        }


@dataclass(frozen=True)
class GraphSize:
    """Nodes and edges of a graph after training (section III-B)."""

    nodes: int
    edges: int


@dataclass(frozen=True)
class Results:
    """Everything that the page and the tables are made from.

    Attributes:
        scenarios: one, or several splits of the same flows.
        systems: by (preset, experiment, name).
        graphs: by preset: of ppo-kg's first trial.
    """

    scenarios: tuple[Scenario, ...]
    systems: dict[tuple[Preset, Experiment, str], SystemResult]
    graphs: dict[Preset, GraphSize]

    def of(self, preset: Preset, experiment: Experiment) -> dict[str, SystemResult]:
        """The systems of an experiment by name, in the order of the plan."""
        return {
            name: system
            for (own, its, name), system in self.systems.items()
            if (own, its) == (preset, experiment)
        }

    @property
    def presets(self) -> tuple[Preset, ...]:
        """Whose settings were run."""
        return tuple(dict.fromkeys(preset for preset, _, _ in self.systems))

    def bound(self, which: Callable[[Scorecard], Score]) -> tuple[Estimate, Estimate]:
        """Average and class mean of a bound, over the scenarios."""
        cards: dict[str, Scorecard] = {}
        for system in self.systems.values():
            for trial in system.trials:
                cards.setdefault(trial.scenario, trial.card)
        scores = [which(card) for card in cards.values()]
        return (
            Estimate.of([score.average_reward for score in scores]),
            Estimate.of([score.class_mean_reward for score in scores]),
        )

    def to_json(self) -> dict[str, Any]:
        """JSON-able figures."""
        return {
            "scenarios": [
                {"path": str(s.path), "fingerprint": s.fingerprint, "kind": s.kind}
                for s in self.scenarios
            ],
            "bounds": {
                name: [asdict(estimate) for estimate in self.bound(which)]
                for name, which in BOUNDS.items()
            },
            "systems": [system.to_json() for system in self.systems.values()],
            "graphs": {preset: asdict(size) for preset, size in self.graphs.items()},
        }


BOUNDS: dict[str, Callable[[Scorecard], Score]] = {
    "predicted_class": lambda card: card.predicted_class,
    "signature_oracle": lambda card: card.signature_oracle,
}


def gather(runs: Sequence[tuple[Scenario, Sequence[TrialRun]]]) -> Results:
    """Reads finished trials.

    Args:
        runs: finished trials by scenario.
    """
    found: dict[tuple[Preset, Experiment, str], list[TrialResult]] = defaultdict(list)
    graphs: dict[Preset, GraphSize] = {}
    for scenario, trials in runs:
        bound = _training_bound(scenario)
        for one in trials:
            trial = one.trial
            found[trial.preset, trial.experiment, trial.name].append(_result(one, scenario, bound))
            if (trial.experiment, trial.name) == ("main", "ppo-kg") and trial.preset not in graphs:
                graphs[trial.preset] = _graph_size(one)
    systems = {key: SystemResult(*key, tuple(results)) for key, results in found.items()}
    return Results(tuple(scenario for scenario, _ in runs), systems, graphs)


def _training_bound(scenario: Scenario) -> Score:
    """What acting on the predicted class earns on the flows that trainings meet."""
    flows = scenario.flow_set("train")
    return evaluate(flows.catalogue.best_actions[flows.contexts.traffic], flows).score


def _result(one: TrialRun, scenario: Scenario, bound: Score) -> TrialResult:
    flows = scenario.flow_set("test")
    lines = tuple(one.folder.progress())
    # Before cloning, the advisor acts; what it earns says nothing of the policy.
    settings = one.trial.settings
    cloned = settings.cloning.flows if settings.algorithm.advisor_acts == "first" else 0
    return TrialResult(
        seed=one.trial.settings.seed,
        scenario=scenario.fingerprint,
        card=evaluate(one.folder.policy().actions(flows.contexts), flows),
        lines=lines,
        seconds=one.folder.manifest().seconds,
        average_reached=reached(lines, bound.average_reward, after=cloned),
        class_mean_reached=reached(lines, bound.class_mean_reward, by_class=True, after=cloned),
    )


def _graph_size(one: TrialRun) -> GraphSize:
    view = to_networkx(one.folder.graph())
    return GraphSize(view.number_of_nodes(), view.number_of_edges())


def _json(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else asdict(estimate)
