"""The page of a reproduction: every table and figure beside the paper's, and what it means.

One file that needs no network and no JavaScript; beside it every plot as PNG and all numbers
as CSV. This file gathers what the page says, ``page.html`` is the frame around it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from envs.files import replacing
from kg_actor import draw
from rayapp import config
from rayapp.config import flat
from rayapp.lab.recipes import prepare_command
from rayapp.lab.reproduction import figures, plan, remarks, summary, tables
from rayapp.lab.reproduction.costs import Costs
from rayapp.lab.reproduction.data import Data
from rayapp.lab.reproduction.figures import Drawn
from rayapp.lab.reproduction.findings import Finding, findings
from rayapp.lab.reproduction.plan import Label
from rayapp.lab.reproduction.results import Results
from rayapp.lab.reproduction.systems import HEADINGS, SETTINGS
from rayapp.lab.reproduction.tables import NOTHING, Table


@dataclass(frozen=True)
class Block:
    """A table or a row of figures, with what is to be said about it."""

    heading: str
    table: Table | None
    figures: tuple[Drawn, ...]
    remark: str


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    anchor: str
    title: str
    lead: str
    blocks: tuple[Block, ...]


def write_page(
    out: Path, results: Results, costs: Costs, *, quick: bool, advice: Sequence[str] = ()
) -> Path:
    """Writes ``index.html``, ``figures/*.png`` and ``data/*.csv``.

    Args:
        out: folder.
        results: of the trials.
        costs: of a decision.
        quick: whether trainings were short; the page says so.
        advice: settings of the language model that were given, for the page's command.

    Returns:
        The page's path.

    Raises:
        InputError: a file cannot be written.
    """
    sections = [section for section in _sections(results, costs) if section.blocks]
    for section in sections:
        for block in section.blocks:
            _write_files(block, out)
    held = {label: findings(results, label) for label in results.labels}
    _findings_data(held).write(out / "data")
    text = (
        _environment()
        .get_template("page.html")
        .render(
            synthetic=any(scenario.kind == "synthetic" for scenario in results.scenarios),
            quick=quick,
            summary=summary.summary(results),
            scope=summary.scope(results),
            bounds=tables.bounds(results),
            sections=sections,
            findings=_side_by_side(held),
            choices=plan.OPEN_CHOICES,
            settings=[_lengths(results), *_settings(results)],
            labels=[SETTINGS[label] for label in results.labels],
            commands=commands(results, costs, quick=quick, advice=advice),
            fingerprints=[scenario.fingerprint for scenario in results.scenarios],
        )
    )
    tables.bounds(results).data.write(out / "data")
    with replacing(out / "index.html") as temporary:
        temporary.write_text(text, encoding="utf-8")
    return out / "index.html"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("rayapp.lab.reproduction", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["svg"] = _svg
    return environment


def _svg(drawn: Drawn) -> str:
    """The ``<svg>`` element; what it holds as text is escaped there already."""
    return draw.inline_svg(drawn.figure, drawn.name, drawn.caption)


def _write_files(block: Block, out: Path) -> None:
    for drawn in block.figures:
        draw.save_figure(drawn.figure, out / "figures" / f"{drawn.name}.png")
        drawn.data.write(out / "data")
    if block.table:
        block.table.data.write(out / "data")


def _sections(results: Results, costs: Costs) -> Iterator[Section]:
    labels = results.labels
    yield Section(
        "rewards",
        "Reward by class (Table IV)",
        "Average reward per test flow by its true class. The paper's figures stand beside ours, "
        "means over the trials with a 95 % bootstrap interval where there are several.",
        tuple(
            Block(
                HEADINGS[label],
                tables.class_rewards(results, label),
                (),
                remarks.on_rewards(results, label),
            )
            for label in labels
        ),
    )
    yield Section(
        "detection",
        "Detection (Table V)",
        "How well signatures tell classes apart on the test flows. All systems build on this.",
        (Block("", tables.detection(results), (), remarks.on_detection(results)),),
    )
    yield _curves(
        "weight",
        "Constant weights of the KL term (Fig. 3)",
        "Training reward of plain PPO, and with λ held at 0.1 and at 1.",
        [(x, figures.figure_3(results, x), remarks.on_weights(results, x)) for x in labels],
    )
    yield _curves(
        "annealing",
        "Annealed weight against PPO (Fig. 4)",
        "Training reward of PPO-KG, whose λ falls linearly from 1 to 0, and of PPO.",
        [(x, figures.figure_4(results, x), remarks.on_annealing(results, x)) for x in labels],
    )
    yield _correct_actions(results)
    yield Section(
        "convergence",
        "Flows and seconds to convergence",
        "",
        (Block("", tables.convergence(results), (), remarks.on_convergence(results)),),
    )
    if results.graphs:
        size = Block("", tables.graph_sizes(results), (), remarks.on_graph(results))
        yield Section("graph", "Size of the knowledge graph", "", (size,))
    cost = Block("", tables.decision_costs(costs), (), remarks.on_costs(costs))
    yield Section("cost", "Cost of a decision", "From a flow's features to an action.", (cost,))
    yield from _beyond(results)


def _curves(
    anchor: str, title: str, lead: str, drawn: list[tuple[Label, list[Drawn], str]]
) -> Section:
    blocks = tuple(
        Block(HEADINGS[label], None, tuple(figures_), remark)
        for label, figures_, remark in drawn
        if figures_
    )
    return Section(anchor, title, lead, blocks)


def _correct_actions(results: Results) -> Section:
    blocks = []
    for label in results.labels:
        drawn = figures.figure_5(results, label)
        if drawn:
            remark = remarks.on_correct_actions(results, label)
            blocks.append(Block(HEADINGS[label], None, (drawn,), remark))
    return Section(
        "uncertainty",
        "Right and wrong detection (Fig. 5)",
        "How often the best action was chosen, by whether the detector was right.",
        tuple(blocks),
    )


def _beyond(results: Results) -> Iterator[Section]:
    blocks = [
        Block(HEADINGS[label], table, (), remarks.on_ablation(results, label))
        for label in results.labels
        if (table := tables.changes(results, "ablation", label))
    ]
    if blocks:
        yield Section("ablation", "What each ingredient is worth", "", tuple(blocks))
    others = tables.changes(results, "others")
    if others:
        lead = "Systems beyond the paper's five, in kirl settings, beside PPO-KG."
        yield Section("others", "Other systems", lead, (Block("", others, (), ""),))


def _side_by_side(held: dict[Label, list[Finding]]) -> list[tuple[str, list[tuple[str, Finding]]]]:
    """Each claim with every label's finding."""
    columns = [[(HEADINGS[label], one) for one in found] for label, found in held.items()]
    return [(row[0][1].claim, list(row)) for row in zip(*columns, strict=True)]


def _findings_data(held: dict[Label, list[Finding]]) -> Data:
    rows = tuple(
        (label, number, one.claim, one.appears, one.figures)
        for label, found in held.items()
        for number, one in enumerate(found, 1)
    )
    return Data("findings", ("settings", "number", "finding", "appears", "figures"), rows)


def _settings(results: Results) -> list[tuple[str, list[str], bool]]:
    """Every setting with its value per label, and whether they differ from kirl's default."""
    # Of all systems this one has the most settings.
    standard, paper = (
        flat(config.load(None, given, {"algo": "ppo-kg-pt"}).model_dump(mode="json"))
        for given in ((), plan.PAPER)
    )
    values = {"paper": paper, "kirl": standard}
    # These differ from system to system, and the command has them.
    per_trial = {"algo", "flows", "passes", "seed", "runners", "advice.advisor", "advice.wait"}
    return [
        (
            key,
            [_value(values[label][key]) for label in results.labels],
            paper[key] != standard[key],
        )
        for key in standard
        if key not in per_trial
    ]


def _lengths(results: Results) -> tuple[str, list[str], bool]:
    """How long PPO-KG's main trainings were, as a row of the settings."""
    flows = [
        f"{lines[-1].flows:,}" if (lines := results.lines_of(label, "ppo-kg")) else NOTHING
        for label in results.labels
    ]
    return "flows per training (PPO-KG)", flows, len(set(flows)) > 1


def _value(value: object) -> str:
    if value is None or value in ([], ()):
        return NOTHING
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def commands(results: Results, costs: Costs, *, quick: bool, advice: Sequence[str] = ()) -> str:
    """The commands that make scenarios and page again."""
    several = len(results.scenarios) > 1
    names = [f"scenario-{i}" if several else "scenario" for i in range(len(results.scenarios))]
    lines = [prepare_command(s, n) for s, n in zip(results.scenarios, names, strict=True)]
    most = max(len(system.trials) for system in results.systems.values())
    words = ["kirl", "reproduce"]
    for name in names:
        words += ["--scenario", name]
    words += ["--settings", "both" if len(results.labels) > 1 else results.labels[0]]
    words += ["--seeds", str(-(-most // len(names)))]
    if costs.kind != "embedded":
        words += ["--advisor", costs.kind]
    for assignment in advice:
        words += ["--set", assignment]
    words += ["--quick"] if quick else []
    return "\n".join([*lines, shlex.join([*words, "--out", "reproduction"])])
