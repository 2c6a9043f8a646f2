"""``kirl bench guard``: whether kirl has become slower beside its peers."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from envs import Scenario
from rayapp.commands import console
from rayapp.commands.bench_inputs import (
    AsJson,
    ScenarioOrSynthetic,
    check_peers,
    synthetic_scenario,
)
from rayapp.lab.bench.guard import BAND, CONTENDERS, read_baseline, watch
from rayapp.lab.bench.train import FIRST


def guard(
    baseline: Annotated[
        Path | None,
        typer.Option(help="Compare with this file of --json (default: the one that kirl ships)."),
    ] = None,
    scenario: ScenarioOrSynthetic = None,
    record: Annotated[
        bool, typer.Option("--record", help="Compare with nothing, to make a new baseline.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a race of a minute and show which ratios to peers have left a wide band.

    A ratio outside of the band is no failure: the exit code stays 0.
    """
    known = None if record else read_baseline(baseline)
    check_peers(known.ratios if known else CONTENDERS, "kirl bench guard", "")
    with tempfile.TemporaryDirectory() as folder:
        where = scenario or synthetic_scenario(Path(folder) / "scenario")
        with console.Reporter("Training in turn", "turns") as reporter:
            found = watch(Scenario.load(where), known, reporter.show)
    if as_json:
        console.print_json(asdict(found) | {"band": BAND})
        return
    if record:
        for name, ratio in found.ratios.items():
            console.out.print(f"{FIRST} to {name}: {ratio:,.2f} x", soft_wrap=True)
    for one in found.watched:
        console.out.print(
            f"{FIRST} to {one.name}: {one.ratio:,.2f} x, baseline {one.baseline:,.2f} x: "
            f"{one.verdict}",
            soft_wrap=True,
        )
    for difference in found.differences:
        console.out.print(f"not as in the baseline: {difference}", soft_wrap=True)
