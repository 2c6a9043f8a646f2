"""The page's tables: text for the eye beside the same numbers for a CSV file."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from envs.score import Scorecard
from rayapp.lab.convergence import Convergence
from rayapp.lab.reproduction import paper
from rayapp.lab.reproduction.comparison import compare
from rayapp.lab.reproduction.costs import Costs
from rayapp.lab.reproduction.data import ESTIMATE, Data, Value, estimated
from rayapp.lab.reproduction.figures import correct_actions
from rayapp.lab.reproduction.plan import SYSTEMS, Label, Part
from rayapp.lab.reproduction.results import BOUNDS, Results, SystemResult, TrialResult
from rayapp.lab.reproduction.systems import SETTINGS, shown
from rayapp.lab.statistics import Estimate
from rayapp.lab.wording import percent, reward_text, signed

NOTHING = "–"

BOUND_NAMES = {
    "predicted_class": "acting on the predicted class",
    "signature_oracle": "best action per signature",
}


@dataclass(frozen=True)
class Cell:
    """A figure, something smaller below it, and how it looks (a CSS class)."""

    text: str
    note: str = ""
    look: str = ""


@dataclass(frozen=True)
class Row:
    """A titled row."""

    title: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
        title: what a screen reader calls it.
        groups: heads above the heads, each with the number of columns it spans; may be empty.
        heads: of the columns, that of the rows' titles first.
        bodies: groups of rows.
        data: the same numbers, unrounded.
    """

    title: str
    groups: tuple[tuple[str, int], ...]
    heads: tuple[str, ...]
    bodies: tuple[tuple[Row, ...], ...]
    data: Data


def class_rewards(results: Results, label: Label) -> Table:
    """Table IV: average test reward by true class, the paper's beside ours."""
    systems = {n: s for n, s in results.of(label, "main").items() if n in SYSTEMS}
    classes = list(first_card(results).score.per_class)
    rows = [_class_row(name, systems, lambda s, n=name: s.of_class(n), name) for name in classes]  # type: ignore[misc]
    means = [
        _class_row("average per flow", systems, lambda s: s.average, "average"),
        _class_row("mean over classes", systems, lambda s: s.class_mean, None),
    ]
    less = [
        Row(f"{title}, less acting on the predicted class", _differences(systems, which))
        for which, title in enumerate(("average", "class mean"))
    ]
    groups = [("", 1)] + [(shown(n), 2 if n in paper.TABLE_4 else 1) for n in systems]
    heads = ["true class"]
    for name in systems:
        heads += ["paper", "here"] if name in paper.TABLE_4 else ["here"]
    return Table(
        f"Average test reward by true class, {SETTINGS[label]}",
        tuple(groups),
        tuple(heads),
        (tuple(rows), tuple(means), tuple(less)),
        _class_data(f"table_4_{label}", systems, classes),
    )


def _class_row(
    title: str,
    systems: Mapping[str, SystemResult],
    value: Callable[[SystemResult], Estimate | None],
    key: str | None,
) -> Row:
    cells: list[Cell] = []
    for name, system in systems.items():
        if name in paper.TABLE_4:
            theirs = paper.TABLE_4[name].get(key) if key else None
            cells.append(Cell(NOTHING if theirs is None else reward_text(theirs, 2), look="paper"))
        cells.append(estimate_cell(value(system), 3 if key != "average" and key else 4))
    return Row(title, tuple(cells))


def _differences(systems: Mapping[str, SystemResult], which: int) -> tuple[Cell, ...]:
    cells: list[Cell] = []
    for name, system in systems.items():
        if name in paper.TABLE_4:
            cells.append(Cell(NOTHING, look="paper"))
        cells.append(difference_cell(system.against(lambda card: card.predicted_class)[which]))
    return tuple(cells)


def _class_data(name: str, systems: Mapping[str, SystemResult], classes: Sequence[str]) -> Data:
    rows: list[tuple[Value, ...]] = []
    for system_name, system in systems.items():
        theirs = paper.TABLE_4.get(system_name, {})
        for one in classes:
            own = estimated(system.of_class(one))
            rows.append((system_name, one, *own, theirs.get(one)))
        average, mean = system.against(lambda card: card.predicted_class)
        rows += [
            (system_name, "average", *estimated(system.average), theirs.get("average")),
            (system_name, "class mean", *estimated(system.class_mean), None),
            (system_name, "average less predicted class", *estimated(average), None),
            (system_name, "class mean less predicted class", *estimated(mean), None),
        ]
    return Data(name, ("system", "class", *ESTIMATE, "paper"), tuple(rows))


def bounds(results: Results) -> Table:
    """What acting on the predicted class and knowing all labels would earn."""
    rows, data = [], []
    for key, which in BOUNDS.items():
        pair = results.bound(which)
        rows.append(Row(BOUND_NAMES[key], tuple(estimate_cell(one, 4) for one in pair)))
        for measure, one in zip(("average", "class mean"), pair, strict=True):
            data.append((key, measure, *estimated(one)))
    return Table(
        "Bounds on the test reward",
        (),
        ("yardstick", "average per flow", "mean over classes"),
        (tuple(rows),),
        Data("bounds", ("bound", "measure", *ESTIMATE), tuple(data)),
    )


def detection(results: Results) -> Table:
    """Table V: the detector on the test flows, the paper's beside ours."""
    reports = [scenario.manifest["detection"] for scenario in results.scenarios]
    rows, data = [], []
    for name in dict.fromkeys(name for report in reports for name in report):
        own = [report[name] for report in reports if name in report]
        theirs = paper.TABLE_5.get(name)
        cells: list[Cell] = []
        for i, key in enumerate(("precision", "recall", "f1")):
            value = 100 * statistics.fmean(one[key] for one in own)
            cells += [_their_percent(theirs, i), Cell(f"{value:.2f}")]
            data.append((name, key, value, theirs[i] if theirs else None))
        support = statistics.fmean(one["support"] for one in own)
        cells.append(Cell(f"{theirs[3]:,}" if theirs else NOTHING, look="paper"))
        cells.append(Cell(f"{support:,.0f}"))
        data.append((name, "support", support, theirs[3] if theirs else None))
        rows.append(Row(name, tuple(cells)))
    return Table(
        "Detection by class",
        (("", 1), ("precision %", 2), ("recall %", 2), ("F1 %", 2), ("test flows", 2)),
        ("class", *("paper", "here") * 4),
        (tuple(rows),),
        Data("table_5", ("class", "measure", "here", "paper"), tuple(data)),
    )


def _their_percent(theirs: tuple[float, float, float, int] | None, place: int) -> Cell:
    return Cell(f"{theirs[place]:.2f}" if theirs else NOTHING, look="paper")


def convergence(results: Results) -> Table:
    """Flows and seconds until 99 % of the bound, for every system."""
    rows: list[list[Row]] = []
    data: list[tuple[Value, ...]] = []
    wanted: tuple[Part, ...] = ("main", "others")
    for label in results.labels:
        body = []
        for part in wanted:
            for name, system in results.of(label, part).items():
                cells: list[Cell] = []
                for measure, reached in _REACHED:
                    median = median_reached([reached(trial) for trial in system.trials])
                    cells += _reached_cells(median, len(system.trials))
                    told = (median.flows, median.seconds, median.reached, len(system.trials))
                    data.append((label, name, measure, *told))
                body.append(Row(f"{shown(name)}, {SETTINGS[label]}", tuple(cells)))
        rows.append(body)
    columns = ("settings", "system", "measure", "flows", "seconds", "reached", "trials")
    return Table(
        "Flows and seconds of training to 99 % of the bound",
        (("", 1), ("average per flow", 2), ("mean over classes", 2)),
        ("system", *("flows", "seconds") * 2),
        tuple(tuple(body) for body in rows),
        Data("convergence", columns, tuple(data)),
    )


_REACHED: tuple[tuple[str, Callable[[TrialResult], Convergence]], ...] = (
    ("average", lambda trial: trial.average_reached),
    ("class mean", lambda trial: trial.class_mean_reached),
)


@dataclass(frozen=True)
class Median:
    """When the median trial got to the bound; ``None`` if it never did.

    Attributes:
        flows, seconds: of the median trial; one that never got there counts as later than all.
        reached: how many trials got there.
    """

    flows: float | None
    seconds: float | None
    reached: int


def median_reached(trials: Sequence[Convergence]) -> Median:
    """The median over trials, those that never got to the bound included."""

    def middle(values: Sequence[float | None]) -> float | None:
        found = statistics.median(float("inf") if v is None else v for v in values)
        return None if found == float("inf") else found

    flows = [trial.flows for trial in trials]
    return Median(
        middle(flows),
        middle([trial.seconds for trial in trials]),
        sum(one is not None for one in flows),
    )


def _reached_cells(median: Median, trials: int) -> list[Cell]:
    some = 0 < median.reached < trials
    note = f"{median.reached} of {trials} trials got there" if some else ""
    if median.flows is None or median.seconds is None:
        return [Cell("never", note, "never"), Cell(NOTHING)]
    return [Cell(f"{median.flows:,.0f}", note), Cell(f"{median.seconds:,.1f}")]


def graph_sizes(results: Results) -> Table:
    """Nodes and edges of the graph after training."""
    own = [(f"here, {SETTINGS[label]}", size) for label, size in results.graphs.items()]
    sizes = [("paper", paper.GRAPH_NODES, paper.GRAPH_EDGES)]
    sizes += [(name, size.nodes, size.edges) for name, size in own]
    return Table(
        "Size of the knowledge graph after training",
        (),
        ("graph", "nodes", "edges"),
        (tuple(Row(name, (Cell(f"{n:,}"), Cell(f"{e:,}"))) for name, n, e in sizes),),
        Data("graph_size", ("graph", "nodes", "edges"), tuple(sizes)),
    )


def decision_costs(costs: Costs) -> Table:
    """Seconds per decision in three ways, the paper's beside ours."""
    asked = f"{costs.model} asked about every flow"
    ways = (
        ("policy", "the policy alone (PPO)", costs.policy, paper.POLICY_SECONDS),
        ("cached advice", "the policy with advice kept from training", costs.cached_advice, None),
        ("in the loop", asked, costs.in_the_loop, paper.IN_THE_LOOP_SECONDS),
    )
    rows, data = [], []
    for key, title, cost, theirs in ways:
        cells = (
            Cell(NOTHING if theirs is None else f"{1e3 * theirs:g}", look="paper"),
            Cell(f"{1e3 * cost.median:.3g}"),
            Cell(f"{1e3 * cost.p99:.3g}"),
            Cell(f"{cost.flows:,}"),
        )
        rows.append(Row(title, cells))
        data.append((key, cost.median, cost.p99, cost.flows, theirs))
    return Table(
        "Milliseconds per decision",
        (),
        ("decided by", "paper, ms", "here, median ms", "here, 99th percentile ms", "flows timed"),
        (tuple(rows),),
        Data("cost", ("way", "median_s", "p99_s", "flows", "paper_s"), tuple(data)),
    )


def changes(results: Results, part: Part, label: Label = "kirl") -> Table | None:
    """Ablations or other systems, beside PPO-KG of the same settings; ``None`` if none were run."""
    others, base = results.of(label, part), results.of(label, "main").get("ppo-kg")
    if not others or base is None:
        return None
    rows = [_change_row("PPO-KG as it is", base, base)]
    rows += [_change_row(shown(name), system, base) for name, system in others.items()]
    data: list[tuple[Value, ...]] = []
    for name, system in {"ppo-kg": base, **others}.items():
        wrong = correct_actions(system)[1]
        for measure, one in (
            ("average", system.average),
            ("class mean", system.class_mean),
            ("class mean less ppo-kg", _less(system, base)),
            ("correct where detection wrong", wrong),
        ):
            data.append((name, measure, *estimated(one)))
    word, title = ("change", "Ablations") if part == "ablation" else ("system", "Other systems")
    return Table(
        title,
        (),
        (
            word,
            "average per flow",
            "mean over classes",
            "class mean, less PPO-KG",
            "correct where detection was wrong",
        ),
        (tuple(rows[:1]), tuple(rows[1:])),
        Data(
            f"ablation_{label}" if part == "ablation" else "others",
            (word, "measure", *ESTIMATE),
            tuple(data),
        ),
    )


def _change_row(title: str, system: SystemResult, base: SystemResult) -> Row:
    wrong, less = correct_actions(system)[1], _less(system, base)
    return Row(
        title,
        (
            estimate_cell(system.average, 4),
            estimate_cell(system.class_mean, 4),
            Cell(NOTHING) if system is base or less is None else difference_cell(less),
            Cell(NOTHING) if wrong is None else Cell(percent(wrong.mean, 1)),
        ),
    )


def _less(system: SystemResult, base: SystemResult) -> Estimate | None:
    """The class mean less another system's, by trials of the same seed and scenario."""
    found = compare(system, base, lambda trial: trial.card.score.class_mean_reward)
    return found.less if found else None


def estimate_cell(estimate: Estimate | None, digits: int) -> Cell:
    """A mean, with its interval below it where there are several trials."""
    if estimate is None:
        return Cell(NOTHING)
    return Cell(reward_text(estimate.mean, digits), _interval(estimate, digits))


def difference_cell(estimate: Estimate) -> Cell:
    """A difference, with its sign and interval; it stands out if several trials agree on it."""
    several = len(estimate.values) > 1
    look = "apart" if several and (estimate.low > 0 or estimate.high < 0) else ""
    return Cell(signed(estimate.mean), _interval(estimate, 4), look)


def _interval(estimate: Estimate, digits: int) -> str:
    if len(estimate.values) == 1:
        return ""
    return f"{reward_text(estimate.low, digits)} to {reward_text(estimate.high, digits)}"


def first_card(results: Results) -> Scorecard:
    """Any scorecard: flows and bounds are the same in all of a scenario's."""
    return next(iter(results.systems.values())).trials[0].card
