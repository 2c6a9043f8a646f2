"""``kirl bench decisions``: latency of a decision, rates of batches and of a scorecard."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from envs import Scenario
from rayapp.commands import console
from rayapp.commands.bench_inputs import made_up_scenario, milliseconds

if TYPE_CHECKING:
    from rayapp.lab.bench.decisions import DecisionSpeed


def decisions(
    scenario: Annotated[
        Path | None, typer.Option(help="To train and decide on (default: synthetic flows).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """A decision from features to action, alone and in batches, and a whole scorecard."""
    with tempfile.TemporaryDirectory() as folder:
        where = scenario or made_up_scenario(Path(folder) / "scenario")
        loaded = Scenario.load(where)
        with console.ray_session(), console.Reporter("Deciding", "steps") as reporter:
            # RLlib takes seconds to import.
            from rayapp.lab.bench.decisions import measure_decisions

            found = measure_decisions(loaded, Path(folder) / "runs", reporter)
    if as_json:
        console.print_json(asdict(found))
        return
    _show(found)


def _show(found: DecisionSpeed) -> None:
    costs = found.costs
    table = Table(title="From a flow's features to a mitigation, one flow at a time")
    for name in ("way", "median", "99th percentile", "flows"):
        table.add_column(name, justify="left" if name == "way" else "right")
    for name, cost in (
        ("policy alone", costs.policy),
        ("policy with cached advice", costs.cached_advice),
        (f"asking {costs.model} each time", costs.in_the_loop),
    ):
        table.add_row(name, milliseconds(cost.median), milliseconds(cost.p99), f"{cost.flows:,}")
    console.out.print(table)
    console.out.print(
        f"in batches of {found.batch_flows:,}: {found.batched_flows_per_second:,.0f} flows/s\n"
        f"scorecard of {found.test_flows:,} test flows: {found.evaluate_seconds:.3f} s "
        f"({found.evaluated_flows_per_second:,.0f} flows/s) after loading for "
        f"{found.load_seconds:.2f} s",
        soft_wrap=True,
    )
