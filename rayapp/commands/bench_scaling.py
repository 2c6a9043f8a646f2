"""``kirl bench scaling``: the training's rate against sizes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from envs.files import check_writable
from rayapp.commands import console
from rayapp.commands.bench_inputs import AsJson
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
    as_json: AsJson = False,
) -> None:
    """Measure how fast training and kirl prepare are at several sizes.

    Sizes are runners, flows per iteration, flows, signatures and actions of the scenario, and rows.
    """
    if out:
        from kg_actor.drawing.files import picture_format

        check_writable(out)
        picture_format(out)
    with console.ray_session(), console.Reporter("Training", "sizes") as reporter:
        figures = bench.measure(reporter)
    if out:
        from rayapp.lab.bench.drawing import draw_scaling

        draw_scaling(figures, _TITLES, out)
        console.err.print(f"Curves drawn to {out}", soft_wrap=True)
    if as_json:
        console.print_json(asdict(figures))
        return
    import pandas as pd

    from rayapp.lab.tables import terminal_table

    for name, title in _TITLES.items():
        points = pd.DataFrame([asdict(point) for point in getattr(figures, name)])
        points["turns"] = [", ".join(f"{rate:,.0f}" for rate in each) for each in points["turns"]]
        shown = points.set_index("size")[["rate", "turns"]].rename_axis(title)
        shown = shown.rename(columns={"rate": "per second"})
        console.out.print(terminal_table(shown, formats={"per second": ",.0f"}))
    console.out.print(f"on {figures.processors} processors")
