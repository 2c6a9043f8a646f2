"""``kirl bench guard``: whether kirl has become slower beside its peers."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from envs import Scenario
from rayapp.commands import console
from rayapp.commands.bench_inputs import check_peers, made_up_scenario
from rayapp.lab.bench.guard import BAND, CONTENDERS, read_baseline, watch
from rayapp.lab.bench.train import FIRST


def guard(
    baseline: Annotated[
        Path | None,
        typer.Option(help="What --json printed for the same scenario (default: what kirl ships)."),
    ] = None,
    scenario: Annotated[
        Path | None, typer.Option(help="To train on (default: synthetic flows).")
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Compare with nothing: for a new baseline.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """A race of a minute; tells which ratios have left a wide band, and never fails for that."""
    known = None if record else read_baseline(baseline)
    check_peers(known.ratios if known else CONTENDERS, "kirl bench guard", "")
    with tempfile.TemporaryDirectory() as folder:
        where = scenario or made_up_scenario(Path(folder) / "scenario")
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
    for told in found.differences:
        console.out.print(f"not as in the baseline: {told}", soft_wrap=True)
