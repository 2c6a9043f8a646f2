"""``kirl bench scaling``: the training's rate against sizes."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from envs.files import check_writable
from rayapp.commands import console
from rayapp.lab.bench import scaling as bench

_TITLES = {
    "runners": "remote runners, a fragment each",
    "shared": "remote runners, one fragment",
    "fragments": "flows per iteration",
    "flows": "flows in the scenario",
    "signatures": "signatures",
    "actions": "actions",
    "rows": "rows of kirl prepare",
}


def scaling(
    out: Annotated[Path | None, typer.Option(help="Draw the curves to this .svg or .png.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Flows per second against runners, fragment size, flows, signatures, actions; kirl prepare."""
    if out:
        from rayapp.lab.charts import check_suffix

        check_writable(out)
        check_suffix(out)
    with console.ray_session(), console.Reporter("Training", "sizes") as reporter:
        found = bench.measure(reporter)
    if out:
        from rayapp.lab.bench.drawing import draw_scaling

        draw_scaling(found, _TITLES, out)
        console.err.print(f"Curves drawn to {out}", soft_wrap=True)
    if as_json:
        console.print_json(asdict(found))
        return
    for field in fields(found):
        if field.name in _TITLES:
            console.out.print(_table(_TITLES[field.name], getattr(found, field.name)))
    console.out.print(f"on {found.processors} processors")


def _table(title: str, points: tuple[bench.Point, ...]) -> Table:
    table = Table()
    table.add_column(title, justify="right", min_width=36)
    table.add_column("per second", justify="right", min_width=12)
    table.add_column("turns", justify="right")
    for point in points:
        turns = ", ".join(f"{rate:,.0f}" for rate in point.turns)
        table.add_row(f"{point.size:,}", f"{point.rate:,.0f}", turns)
    return table
