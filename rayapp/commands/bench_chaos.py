"""``kirl bench chaos``: deaths at random on a cluster of this machine, every flow counted apart."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from envs import Scenario
from rayapp.commands import console
from rayapp.commands.bench_inputs import (
    AsJson,
    ScenarioOrSynthetic,
    show_figures,
    synthetic_scenario,
)

if TYPE_CHECKING:
    from rayapp.lab.bench.chaos import Chaos


def chaos(
    minutes: Annotated[
        float, typer.Option(min=0.1, max=10_000, help="Kill for this many minutes.")
    ] = 30.0,
    scenario: ScenarioOrSynthetic = None,
    flows: Annotated[
        int | None, typer.Option(min=1, help="Train each time on this many (default 6,000,000).")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Draw what is killed when with this seed.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Kill processes at random while training, and count every flow.

    Runners, the graph, the language model, whole nodes and the driver are killed, on a cluster of
    three nodes that the command starts on this machine. It ends with exit code 1 if a flow was
    lost or counted twice, or if a training did not continue within five minutes of a death.
    """
    from rayapp.lab.bench import chaos as measured

    with tempfile.TemporaryDirectory() as folder:
        where = scenario or synthetic_scenario(Path(folder) / "scenario")
        try:
            figures = measured.measure(
                Scenario.load(where),
                Path(folder),
                60 * minutes,
                lambda seconds, note: console.err.print(
                    f"{seconds:,.0f} of {60 * minutes:,.0f} s: {note}"
                ),
                seed=seed,
                flows=flows or measured.TRAINING_FLOWS,
            )
        except measured.NotRecoveredError as error:
            console.err.print(f"A promise is broken, or this machine is far too busy: {error}")
            raise typer.Exit(1) from error
    if as_json:
        console.print_json(asdict(figures))
    else:
        _show(figures)
    if figures.lost or figures.doubled:
        raise typer.Exit(1)


def _show(figures: Chaos) -> None:
    import pandas as pd

    from rayapp.lab.tables import terminal_table

    all_figures = asdict(figures)
    deaths = pd.DataFrame.from_dict(all_figures.pop("by_kind"), orient="index")
    deaths.columns = deaths.columns.str.replace("_", " ")
    formats = dict.fromkeys(("seconds lost", "median seconds", "longest seconds"), ",.1f")
    title = f"{figures.kills} deaths in {figures.seconds / 60:.1f} minutes"
    table = terminal_table(deaths.rename_axis("who died"), formats=formats, title=title)
    console.out.print(table)
    show_figures(None, all_figures)
