"""The tables of a reproduction: numbers for files, and the same as text beside the paper's."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from rayapp.lab.convergence import Convergence
from rayapp.lab.reproduction import paper
from rayapp.lab.reproduction.comparison import against_lowest, compare
from rayapp.lab.reproduction.costs import Costs
from rayapp.lab.reproduction.figures import correct_actions
from rayapp.lab.reproduction.findings import findings
from rayapp.lab.reproduction.plan import SYSTEMS, Experiment, Preset
from rayapp.lab.reproduction.results import BOUNDS, Results, SystemResult, TrialResult
from rayapp.lab.reproduction.systems import NAMES, SETTINGS
from rayapp.lab.statistics import Estimate
from rayapp.lab.tables import NOTHING, as_text

BOUND_NAMES = {
    "predicted_class": "acting on the predicted class",
    "signature_oracle": "best action per signature",
}

_AVERAGE, _MEAN = "average per flow", "mean over classes"


@dataclass(frozen=True)
class ReportTable:
    """A table of the page.

    Attributes:
        name: of its files.
        title: what a screen reader calls it.
        shown: text, as the page shows it.
        numbers: the same, unrounded, one figure a row.
    """

    name: str
    title: str
    shown: pd.DataFrame
    numbers: pd.DataFrame


def estimate_text(estimate: Estimate | None, digits: int, sign: str = "") -> str:
    """A mean, with its 95 % interval where there are several trials."""
    if estimate is None:
        return NOTHING
    spec = f"{sign}.{digits}f"
    if estimate.low is None:
        return format(estimate.mean, spec)
    return f"{estimate.mean:{spec}} [{estimate.low:{spec}}, {estimate.high:{spec}}]"


def held_findings(results: Results, preset: Preset) -> ReportTable:
    """The paper's findings beside what the trials gave."""
    numbers = findings(results, preset)
    shown = as_text(numbers.set_index("finding")[["paper", "ours", "agrees"]], {})
    title = f"Findings, {SETTINGS[preset]}"
    return ReportTable(f"findings_{preset}", title, shown.rename_axis(index=None), numbers)


def class_rewards(results: Results, preset: Preset) -> ReportTable:
    """Table IV: average test reward by true class, the paper's beside ours."""
    rows = []
    for name, system in results.of(preset, "main").items():
        if name not in SYSTEMS:
            continue
        less = system.against(lambda card: card.predicted_class)
        estimates = {
            **{one: system.of_class(one) for one in system.trials[0].card.score.per_class},
            _AVERAGE: system.average,
            _MEAN: system.class_mean,
            f"{_AVERAGE}, less acting on the predicted class": less[0],
            f"{_MEAN}, less acting on the predicted class": less[1],
        }
        theirs = {**paper.TABLE_4.get(name, {})}
        theirs[_AVERAGE] = theirs.pop("average", None)  # type: ignore[arg-type]
        rows += [
            {
                "system": name,
                "reward": reward,
                **_fields(estimate),
                "paper": theirs.get(reward),
                "text": estimate_text(estimate, 3, "+" if ", less" in reward else ""),
            }
            for reward, estimate in estimates.items()
        ]
    numbers = pd.DataFrame(rows, columns=["system", "reward", *_FIELDS, "paper", "text"])
    return ReportTable(
        f"table_4_{preset}",
        f"Average test reward by true class, {SETTINGS[preset]}",
        _beside_paper(numbers, "reward", "system").rename(columns=NAMES),
        numbers.drop(columns="text"),
    )


_FIELDS = ("mean", "low", "high", "trials")


def _fields(estimate: Estimate | None) -> dict[str, float | None]:
    """An estimate as columns of a table."""
    if estimate is None:
        return dict.fromkeys(_FIELDS[:3]) | {"trials": 0}
    return {
        "mean": estimate.mean,
        "low": estimate.low,
        "high": estimate.high,
        "trials": len(estimate.values),
    }


def _beside_paper(numbers: pd.DataFrame, row: str, column: str) -> pd.DataFrame:
    """Columns 'paper' and 'here' for each value of a column; without 'paper' where it has none."""
    text = as_text(numbers, {"paper": ".2f"}).rename(columns={"text": "here"})
    wide = text.pivot(index=row, columns=column, values=["paper", "here"]).swaplevel(axis=1)
    order = [
        (name, kind)
        for name in text[column].unique()
        for kind in ("paper", "here")
        if kind == "here" or (wide[name, kind] != NOTHING).any()
    ]
    return wide.loc[text[row].unique(), order].rename_axis(index=None)


def bounds(results: Results) -> ReportTable:
    """What acting on the predicted class and knowing all test labels would earn."""
    rows = [
        {"bound": BOUND_NAMES[key], "reward": reward, **_fields(one), "text": estimate_text(one, 4)}
        for key, which in BOUNDS.items()
        for reward, one in zip((_AVERAGE, _MEAN), results.bound(which), strict=True)
    ]
    numbers = pd.DataFrame(rows)
    shown = numbers.pivot(index="bound", columns="reward", values="text")
    shown = shown.loc[list(BOUND_NAMES.values())]
    return ReportTable("bounds", "Bounds on the test reward", shown, numbers.drop(columns="text"))


def detection(results: Results) -> ReportTable:
    """Table V: the detector on the test flows, the paper's beside ours."""
    reports = [
        pd.DataFrame.from_dict(scenario.manifest["detection"], orient="index")
        for scenario in results.scenarios
    ]
    measures = {"precision": 100, "recall": 100, "f1": 100, "support": 1}
    own = pd.concat(reports).groupby(level=0, sort=False).mean()[list(measures)]
    own *= pd.Series(measures)
    theirs = pd.DataFrame.from_dict(paper.TABLE_5, orient="index", columns=list(measures))
    both = pd.concat({"paper": theirs.reindex(own.index), "here": own}, axis=1)
    numbers = both.stack(future_stack=True).rename_axis(["class", "measure"]).reset_index()
    heads = {"precision": "precision %", "recall": "recall %", "f1": "F1 %"}
    formats = dict.fromkeys(heads, ".2f") | {"support": ",.0f"}
    texts = {"paper": as_text(theirs.reindex(own.index), formats), "here": as_text(own, formats)}
    shown = {
        (heads.get(name, "test flows"), kind): text[name]
        for name in measures
        for kind, text in texts.items()
    }
    return ReportTable("table_5", "Detection by class", pd.DataFrame(shown), numbers)


_REACHED: tuple[tuple[str, Callable[[TrialResult], Convergence]], ...] = (
    (_AVERAGE, lambda trial: trial.average_reached),
    (_MEAN, lambda trial: trial.class_mean_reached),
)


def convergence(results: Results) -> ReportTable:
    """Flows and seconds until 99 % of the bound, for every system."""
    experiments: tuple[Experiment, ...] = ("main", "others")
    numbers = pd.DataFrame(
        {
            "settings": SETTINGS[preset],
            "system": NAMES.get(name, name),
            "reward": reward,
            **median_reached([reached(trial) for trial in system.trials]),
            "trials": len(system.trials),
        }
        for preset in results.presets
        for experiment in experiments
        for name, system in results.of(preset, experiment).items()
        for reward, reached in _REACHED
    )
    text = as_text(numbers, {"flows": ",.0f", "seconds": ",.1f"})
    some = numbers["reached"].between(1, numbers["trials"], inclusive="left")
    text["flows"] = text["flows"].mask(numbers["flows"].isna(), "never")
    text["flows"] += (" (" + text["reached"] + " of " + text["trials"] + " trials)").where(some, "")
    wide = text.pivot(index=["settings", "system"], columns="reward", values=["flows", "seconds"])
    order = [(reward, kind) for reward, _ in _REACHED for kind in ("flows", "seconds")]
    rows = pd.MultiIndex.from_frame(text[["settings", "system"]]).unique()
    shown = wide.swaplevel(axis=1).loc[rows, order]
    return ReportTable(
        "convergence", "Flows and seconds of training to 99 % of the bound", shown, numbers
    )


def median_reached(trials: Sequence[Convergence]) -> dict[str, float | None]:
    """The median ``flows`` and ``seconds`` over trials, and how many ``reached`` the bound.

    A trial that never got there counts as later than all; the median is missing where it is such.
    """

    def middle(values: Sequence[float | None]) -> float | None:
        median = statistics.median(float("inf") if v is None else v for v in values)
        return None if median == float("inf") else median

    return {
        "flows": middle([trial.flows for trial in trials]),
        "seconds": middle([trial.seconds for trial in trials]),
        "reached": sum(trial.flows is not None for trial in trials),
    }


def graph_sizes(results: Results) -> ReportTable:
    """Nodes and edges of the graph after training."""
    sizes = {"paper": (paper.GRAPH_NODES, paper.GRAPH_EDGES)} | {
        f"here, {SETTINGS[preset]}": (size.nodes, size.edges)
        for preset, size in results.graphs.items()
    }
    numbers = pd.DataFrame.from_dict(sizes, orient="index", columns=["nodes", "edges"])
    return ReportTable(
        "graph_size",
        "Size of the knowledge graph after training",
        as_text(numbers, {"nodes": ",", "edges": ","}),
        numbers.rename_axis("graph").reset_index(),
    )


def decision_costs(costs: Costs) -> ReportTable:
    """Milliseconds per decision in three ways, the paper's beside ours."""
    ways = {
        "the policy alone (PPO)": (costs.policy, paper.POLICY_SECONDS),
        "the policy with advice kept from training": (costs.cached_advice, None),
        f"{costs.model} asked about every flow": (costs.in_the_loop, paper.IN_THE_LOOP_SECONDS),
    }
    numbers = pd.DataFrame(
        {
            "decided by": way,
            "paper ms": None if theirs is None else 1e3 * theirs,
            "median ms": 1e3 * cost.median,
            "99th percentile ms": 1e3 * cost.p99,
            "flows timed": cost.flows,
        }
        for way, (cost, theirs) in ways.items()
    )
    formats = {"paper ms": "g", "median ms": ".3g", "99th percentile ms": ".3g", "flows timed": ","}
    shown = as_text(numbers.set_index("decided by"), formats)
    return ReportTable("cost", "Milliseconds per decision", shown, numbers)


def changes(results: Results, experiment: Experiment, preset: Preset) -> ReportTable | None:
    """Ablations or other systems, beside PPO-KG of the same settings; ``None`` if none were run."""
    others, base = results.of(preset, experiment), results.of(preset, "main").get("ppo-kg")
    if not others or base is None:
        return None
    rows, text = [], []
    for name, system in {"PPO-KG as it is": base, **others}.items():
        less = None if system is base else _less(system, base)
        measured: dict[str, tuple[Estimate | None, dict[str, Any]]] = {
            _AVERAGE: (system.average, {"digits": 4}),
            _MEAN: (system.class_mean, {"digits": 4}),
            f"{_MEAN}, less PPO-KG": (less, {"digits": 4, "sign": "+"}),
            "correct where detection was wrong": (correct_actions(system)[1], {"digits": 3}),
        }
        shown_name = NAMES.get(name, name)
        rows += [
            {"system": shown_name, "measure": measure, **_fields(estimate)}
            for measure, (estimate, _) in measured.items()
        ]
        text.append({key: estimate_text(one, **how) for key, (one, how) in measured.items()})
    index = ["PPO-KG as it is", *(NAMES.get(name, name) for name in others)]
    ablation = experiment == "ablation"
    return ReportTable(
        f"ablation_{preset}" if ablation else "others",
        f"Ablations, {SETTINGS[preset]}" if ablation else "Other systems",
        pd.DataFrame(text, index=index),
        pd.DataFrame(rows),
    )


def _less(system: SystemResult, base: SystemResult) -> Estimate | None:
    """The class mean less another system's, by trials of the same seed and scenario."""
    measure = against_lowest(lambda trial: trial.card.score.class_mean_reward)
    compared = compare(system, [base], measure, 0.0)
    return compared.difference if compared else None
