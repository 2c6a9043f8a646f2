"""``kirl bench chaos``: deaths at random on a cluster of this machine, every flow counted apart."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from envs import Scenario
from rayapp.commands import console
from rayapp.commands.bench_inputs import made_up_scenario, show_figures

if TYPE_CHECKING:
    from rayapp.lab.bench.chaos import Chaos


def chaos(
    minutes: Annotated[float, typer.Option(min=0.1, max=10_000, help="Of killing.")] = 30.0,
    scenario: Annotated[
        Path | None, typer.Option(help="To train on (default: synthetic flows).")
    ] = None,
    flows: Annotated[
        int | None, typer.Option(min=1, help="Flows of one training (default 6,000,000).")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of who is killed when.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Kill runners, graph, language model, nodes and drivers at random, and count every flow.

    On a cluster of its own, of three nodes on this machine. Ends with exit code 1 if a flow was
    lost or counted twice, or if a training did not go on within five minutes of a death.
    """
    from rayapp.lab.bench import chaos as measured

    with tempfile.TemporaryDirectory() as folder:
        where = scenario or made_up_scenario(Path(folder) / "scenario")
        try:
            found = measured.measure(
                Scenario.load(where),
                Path(folder),
                60 * minutes,
                lambda seconds, note: console.err.print(
                    f"{seconds:,.0f} of {60 * minutes:,.0f} s: {note}"
                ),
                seed=seed,
                flows=flows or measured.FLOWS,
            )
        except measured.NotRecoveredError as error:
            console.err.print(f"A promise is broken, or this machine is far too busy: {error}")
            raise typer.Exit(1) from error
    if as_json:
        console.print_json(asdict(found))
    else:
        _show_chaos(found)
    if found.lost or found.doubled:
        raise typer.Exit(1)


def _show_chaos(found: Chaos) -> None:
    table = Table(title=f"{found.kills} deaths in {found.seconds / 60:.1f} minutes")
    table.add_column("who died")
    for name in ("kills", "recoveries", "seconds lost", "median", "longest"):
        table.add_column(name, justify="right")
    for kind, one in found.by_kind.items():
        times = (one.seconds_lost, one.median_seconds, one.longest_seconds)
        shown = ["-" if seconds is None else f"{seconds:,.1f}" for seconds in times]
        table.add_row(kind, f"{one.kills:,}", f"{one.recoveries:,}", *shown)
    console.out.print(table)
    show_figures(None, {name: value for name, value in asdict(found).items() if name != "by_kind"})
