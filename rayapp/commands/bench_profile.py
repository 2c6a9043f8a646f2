"""``kirl bench profile``: where the time of an iteration goes."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from envs import Scenario
from rayapp.commands import console
from rayapp.commands.bench_inputs import (
    RACE_ROWS,
    AsJson,
    ScenarioOrSynthetic,
    synthetic_scenario,
)

if TYPE_CHECKING:
    from rayapp.lab.bench.profile import Profile


def profile(
    scenario: ScenarioOrSynthetic = None,
    flows: Annotated[
        int, typer.Option(min=1, help="Train on this many flows in each way.")
    ] = 4_000_000,
    as_json: AsJson = False,
) -> None:
    """Measure the milliseconds that each part of an iteration takes.

    The policy learns in RLlib's own way and in kirl's, in turn.
    """
    if scenario:
        Scenario.load(scenario)
    with tempfile.TemporaryDirectory() as folder:
        where = scenario or synthetic_scenario(Path(folder) / "scenario", RACE_ROWS)
        with console.ray_session(), console.Reporter("Training", "flows") as reporter:
            # RLlib takes seconds to import.
            from rayapp.lab.bench.profile import measure_profile

            ways = measure_profile(where, flows, reporter)
    if as_json:
        console.print_json({"ways": {name: asdict(way) for name, way in ways.items()}})
        return
    _show(ways)


def _show(ways: dict[str, Profile]) -> None:
    import pandas as pd

    from rayapp.lab.tables import terminal_table

    columns = {
        name: {part: f"{value:.1f}" for part, value in way.parts.items()}
        | {
            "all": f"{way.milliseconds:.1f}",
            "median": f"{way.median_milliseconds:.1f}",
            "flows/s": f"{way.steps_per_second:,.0f}",
            "last reward": f"{way.rewards[-1]:.4f}",
        }
        for name, way in ways.items()
    }
    table = pd.DataFrame(columns).rename_axis("part")
    console.out.print(terminal_table(table, title="Mean milliseconds per iteration"))
