"""``kirl bench decisions``: latency of a decision, rates of batches and of a scorecard."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from envs import Scenario
from rayapp.commands import console
from rayapp.commands.bench_inputs import AsJson, ScenarioOrSynthetic, synthetic_scenario

if TYPE_CHECKING:
    from rayapp.lab.bench.decisions import DecisionSpeed


def decisions(scenario: ScenarioOrSynthetic = None, as_json: AsJson = False) -> None:
    """Measure how long decisions take, from features to action.

    Flows are decided one at a time, in batches, and from a file to a file as kirl decide does it;
    and the whole test split is scored.
    """
    with tempfile.TemporaryDirectory() as folder:
        where = scenario or synthetic_scenario(Path(folder) / "scenario")
        loaded = Scenario.load(where)
        with console.ray_session(), console.Reporter("Deciding", "steps") as reporter:
            # RLlib takes seconds to import.
            from rayapp.lab.bench.decisions import measure_decisions

            speed = measure_decisions(loaded, Path(folder) / "runs", reporter)
    if as_json:
        console.print_json(asdict(speed))
        return
    _show(speed)


def _show(speed: DecisionSpeed) -> None:
    import pandas as pd

    from rayapp.lab.tables import terminal_table

    ways = {
        "policy alone": speed.costs.policy,
        "policy with cached advice": speed.costs.cached_advice,
        f"asking {speed.costs.model} each time": speed.costs.in_the_loop,
    }
    table = pd.DataFrame.from_dict(
        {
            way: {
                "median ms": 1e3 * cost.median,
                "99th percentile ms": 1e3 * cost.p99,
                "flows": cost.flows,
            }
            for way, cost in ways.items()
        },
        orient="index",
    ).rename_axis("way")
    formats = {"median ms": ",.2f", "99th percentile ms": ",.2f", "flows": ",.0f"}
    title = "From a flow's features to a mitigation, one flow at a time"
    console.out.print(terminal_table(table, formats=formats, title=title))
    rates = ", ".join(
        f"{rate:,.0f} flows/s as {kind}" for kind, rate in speed.written_rows_per_second.items()
    )
    console.out.print(
        f"kirl decide on a Parquet file of {speed.file_rows:,} flows: {rates}", soft_wrap=True
    )
    console.out.print(
        f"in batches of {speed.batch_flows:,}: {speed.batched_flows_per_second:,.0f} flows/s\n"
        f"scorecard of {speed.test_flows:,} test flows: {speed.evaluate_seconds:.3f} s "
        f"({speed.evaluated_flows_per_second:,.0f} flows/s) after loading for "
        f"{speed.load_seconds:.2f} s",
        soft_wrap=True,
    )
