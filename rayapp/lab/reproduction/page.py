"""The page of a reproduction: the paper's findings, tables and figures beside ours.

Beside the page every plot is a PNG file and every table a CSV and a LaTeX file. ``page.html`` says
how the parts are laid out.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from kg_actor.drawing import files
from rayapp import config
from rayapp.config import TrainingSettings, flat
from rayapp.lab import web
from rayapp.lab.recipes import prepare_command
from rayapp.lab.reproduction import figures, paper, plan, tables
from rayapp.lab.reproduction.costs import Costs
from rayapp.lab.reproduction.figures import ReportFigure
from rayapp.lab.reproduction.plan import Preset
from rayapp.lab.reproduction.results import Results
from rayapp.lab.reproduction.systems import SETTINGS
from rayapp.lab.reproduction.tables import ReportTable
from rayapp.lab.tables import NOTHING, write_csv, write_latex


@dataclass(frozen=True)
class PresetReport:
    """What the page shows of trainings under one preset of settings."""

    title: str
    findings: ReportTable
    rewards: ReportTable
    figure_3: ReportFigure | None
    figure_4: ReportFigure | None
    figure_5: ReportFigure | None
    ablation: ReportTable | None

    @classmethod
    def of(cls, results: Results, preset: Preset) -> PresetReport:
        """Draws and tabulates."""
        return cls(
            SETTINGS[preset],
            tables.held_findings(results, preset),
            tables.class_rewards(results, preset),
            figures.figure_3(results, preset),
            figures.figure_4(results, preset),
            figures.figure_5(results, preset),
            tables.changes(results, "ablation", preset),
        )


def write_page(
    out: Path, results: Results, costs: Costs, *, quick: bool, advice: Sequence[str] = ()
) -> Path:
    """Writes ``index.html``, ``figures/*.png``, ``data/*.csv`` and ``data/*.tex``.

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
    presets = [PresetReport.of(results, preset) for preset in results.presets]
    shared = {
        "bounds": tables.bounds(results),
        "detection": tables.detection(results),
        "convergence": tables.convergence(results),
        "graph": tables.graph_sizes(results),
        "cost": tables.decision_costs(costs),
    }
    others = tables.changes(results, "others", "kirl")
    for one in presets:
        for drawn in (one.figure_3, one.figure_4, one.figure_5):
            _write_figure(drawn, out)
        _write_tables([one.findings, one.rewards, one.ablation], out)
    _write_tables([*shared.values(), others], out)
    first = results.scenarios[0]
    card = next(iter(results.systems.values())).trials[0].card
    catalogue = first.catalogue
    return web.write_page(
        out / "index.html",
        "reproduction/page.html",
        synthetic=any(scenario.synthetic for scenario in results.scenarios),
        quick=quick,
        presets=presets,
        others=others,
        **shared,
        rows_read=first.manifest["source"]["rows_read"],
        training_flows=first.manifest["flows"]["train"],
        test_flows=first.manifest["flows"]["test"],
        misdetected=card.misdetected,
        signatures=first.manifest["signatures"],
        paper_signatures=paper.SIGNATURES,
        lowest=catalogue.lowest_reward,
        highest=catalogue.highest_reward,
        trainings=_most_trials(results),
        splits=len(results.scenarios),
        choices=plan.OPEN_CHOICES,
        settings=_settings(results),
        commands=commands(results, costs, quick=quick, advice=advice),
        fingerprints=[scenario.fingerprint for scenario in results.scenarios],
    )


def _write_figure(drawn: ReportFigure | None, out: Path) -> None:
    if drawn is None:
        return
    for chart in drawn.charts:
        files.save_figure(chart.figure, out / "figures" / f"{chart.name}.png")
    write_csv(drawn.numbers, out / "data" / f"{drawn.name}.csv")


def _write_tables(made: Sequence[ReportTable | None], out: Path) -> None:
    for table in made:
        if table is not None:
            write_csv(table.numbers, out / "data" / f"{table.name}.csv")
            write_latex(table.shown, out / "data" / f"{table.name}.tex")


_WITH_ALL = "ppo-kg-pt"
"""The system that has a use for every setting that the presets change."""


def _settings(results: Results) -> pd.DataFrame:
    """Every setting with its value under each preset, and the length of PPO-KG's training."""
    standard = flat(TrainingSettings(algo=_WITH_ALL).model_dump(mode="json"))
    paper_settings = flat(
        config.load(None, plan.PAPER_SETTINGS, {"algo": _WITH_ALL}).model_dump(mode="json")
    )
    values = {"paper": paper_settings, "kirl": standard}
    # These differ from system to system, and the command has them.
    per_trial = {"algo", "flows", "passes", "seed", "runners", "advice.advisor", "advice.wait"}
    table = pd.DataFrame(
        {SETTINGS[preset]: pd.Series(values[preset]).map(_value) for preset in results.presets}
    ).drop(index=list(per_trial), errors="ignore")
    flows = {
        SETTINGS[preset]: f"{system.trials[0].lines[-1].flows:,}"
        for preset in results.presets
        if (system := results.of(preset, "main").get("ppo-kg"))
    }
    length = pd.DataFrame(flows, index=["flows per training (PPO-KG)"])
    return pd.concat([length, table]).fillna(NOTHING)


def _value(value: object) -> str:
    if value is None or value in ([], ()):
        return NOTHING
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _most_trials(results: Results) -> int:
    return max(len(system.trials) for system in results.systems.values())


def commands(results: Results, costs: Costs, *, quick: bool, advice: Sequence[str] = ()) -> str:
    """The commands that make scenarios and page again."""
    several = len(results.scenarios) > 1
    names = [f"scenario-{i}" if several else "scenario" for i in range(len(results.scenarios))]
    lines = [prepare_command(s, n) for s, n in zip(results.scenarios, names, strict=True)]
    words = ["kirl", "reproduce"]
    for name in names:
        words += ["--scenario", name]
    words += ["--settings", "both" if len(results.presets) > 1 else results.presets[0]]
    words += ["--seeds", str(-(-_most_trials(results) // len(names)))]
    if costs.kind != "embedded":
        words += ["--advisor", costs.kind]
    for assignment in advice:
        words += ["--set", assignment]
    words += ["--quick"] if quick else []
    return "\n".join([*lines, shlex.join([*words, "--out", "reproduction"])])
