"""``kirl bench profile``: where the time of an iteration goes."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from envs import Scenario
from rayapp.commands import console
from rayapp.commands.bench_inputs import made_up_scenario, milliseconds
from rayapp.commands.bench_train import ROWS


def profile(
    scenario: Annotated[
        Path | None, typer.Option(help="To train on (default: synthetic flows).")
    ] = None,
    flows: Annotated[int, typer.Option(min=1, help="To train on, each way.")] = 4_000_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Milliseconds of an iteration by part, learning in RLlib's own way and in kirl's."""
    if scenario:
        Scenario.load(scenario)
    with tempfile.TemporaryDirectory() as folder:
        where = scenario or made_up_scenario(Path(folder) / "scenario", ROWS)
        with console.ray_session(), console.Reporter("Training", "flows") as reporter:
            # RLlib takes seconds to import.
            from rayapp.lab.bench.profile import measure_profile

            found = measure_profile(where, flows, reporter)
    if as_json:
        console.print_json(asdict(found))
        return
    table = Table(title="Mean milliseconds per iteration")
    table.add_column("part")
    for name in found.ways:
        table.add_column(name, justify="right")
    ways = list(found.ways.values())
    for part in ways[0].parts:
        table.add_row(part, *[f"{way.parts[part]:.1f}" for way in ways])
    table.add_section()
    table.add_row("all", *[f"{way.milliseconds:.1f}" for way in ways])
    table.add_row("median", *[f"{way.median_milliseconds:.1f}" for way in ways])
    table.add_row("flows/s", *[f"{way.steps_per_second:,.0f}" for way in ways])
    table.add_row("last reward", *[f"{way.rewards[-1]:.4f}" for way in ways])
    console.out.print(table)
    told = ", ".join(f"{name} {milliseconds(step / 1000)}" for name, step in found.adam.items())
    console.out.print(f"a step of Adam: {told}")
