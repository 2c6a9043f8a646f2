"""``kirl bench guard``: whether kirl has become slower beside its peers."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from envs import Scenario
from rayapp.bench.guard import BAND, read_baseline, watch
from rayapp.bench.train import FIRST
from rayapp.commands import console
from rayapp.commands.bench_inputs import made_up_scenario


def guard(
    baseline: Annotated[
        Path | None, typer.Option(help="Ratios to compare with (default: those kirl ships).")
    ] = None,
    scenario: Annotated[
        Path | None, typer.Option(help="To train on (default: synthetic flows).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """A race of a minute; tells which ratios have left a wide band, and never fails for that."""
    known = read_baseline(baseline)
    with tempfile.TemporaryDirectory() as folder:
        where = scenario or made_up_scenario(Path(folder) / "scenario")
        with console.Reporter("Training in turn", "turns") as reporter:
            found = watch(Scenario.load(where), known, reporter.show)
    if as_json:
        console.print_json(
            {
                "ratios": {one.name: one.ratio for one in found},
                "band": BAND,
                "watched": [asdict(one) for one in found],
            }
        )
        return
    for one in found:
        console.out.print(
            f"{FIRST} to {one.name}: {one.ratio:,.2f} x, baseline {one.baseline:,.2f} x: "
            f"{one.verdict}",
            soft_wrap=True,
        )
