"""``kirl bench graph``: how fast the knowledge graph is, and how it grows."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from envs import Scenario
from envs.files import check_writable
from rayapp.commands import console
from rayapp.commands.bench_inputs import AsJson, ScenarioOrSynthetic, synthetic_scenario
from rayapp.lab.bench import graph as bench

if TYPE_CHECKING:
    import pandas as pd


def graph(
    scenario: ScenarioOrSynthetic = None,
    out: Annotated[
        Path | None, typer.Option(help="Draw the growth curves to this .svg or .png.")
    ] = None,
    iterations: Annotated[
        int,
        typer.Option(min=1, help="Ask questions while a training of this many iterations merges."),
    ] = 150,
    address: console.Address = None,
    as_json: AsJson = False,
) -> None:
    """Measure how fast the graph merges and answers, and how both grow.

    Merges are durable. Questions are asked within the process, and over Ray while a training runs.
    """
    if scenario:
        Scenario.load(scenario)
    if out:
        from kg_actor.drawing.files import picture_format

        check_writable(out)
        picture_format(out)
    with console.Reporter("Merging and answering", "sizes") as reporter:
        store = bench.measure(reporter)
    with tempfile.TemporaryDirectory() as folder:
        where = scenario or synthetic_scenario(Path(folder) / "scenario")
        session = console.ray_session(address)
        with session, console.Reporter("Asking a training", "iterations") as reporter:
            remote = bench.measure_remote(where, iterations, reporter)
    if out:
        from rayapp.lab.bench.drawing import draw_growth

        draw_growth(store, out)
        console.err.print(f"Growth drawn to {out}", soft_wrap=True)
    steepest = _steepest(store)
    if as_json:
        console.print_json({**asdict(store), "remote": asdict(remote), "steepest": steepest})
        return
    from rayapp.lab.tables import terminal_table

    title = f"{bench.PAPER_SIGNATURES:,} signatures, {bench.FLOWS:,} flows a merge"
    console.out.print(terminal_table(_speeds(store, remote), title=title))
    formats = dict.fromkeys(("durable merge ms", "all neighbourhoods ms"), ",.2f")
    formats["store kB per merge"] = ",.0f"
    for name in ("signatures", "runners"):
        growth = _growth(name, getattr(store, name))
        console.out.print(terminal_table(growth, formats=formats, title=f"Growth with {name}"))
    exponents = ", ".join(f"{name} {power:.2f}" for name, power in steepest.items())
    console.out.print(
        f"Steepest growth between two sizes (1 is linear): {exponents}", soft_wrap=True
    )


def _steepest(store: bench.StoreSpeed) -> dict[str, float]:
    merge: Callable[[bench.Growth], float] = lambda one: one.merge_seconds  # noqa: E731
    answer: Callable[[bench.Growth], float] = lambda one: one.answer_seconds  # noqa: E731
    return {
        "merge by signatures": bench.steepest(store.signatures, merge),
        "answers by signatures": bench.steepest(store.signatures, answer),
        "merge by runners": bench.steepest(store.runners, merge),
    }


def _speeds(store: bench.StoreSpeed, remote: bench.RemoteSpeed) -> pd.DataFrame:
    import pandas as pd

    rows = {
        "distinct transitions in a table": f"{store.rows_per_table:,}",
        "durable merges": f"{store.merges_per_second:,.0f} /s",
        "neighbourhoods of all signatures": f"{1e3 * store.all_neighbourhoods_seconds:,.2f} ms",
        "remote question, idle: median": f"{1e3 * remote.idle[0]:,.2f} ms",
        "remote question, idle: 99th percentile": f"{1e3 * remote.idle[1]:,.2f} ms",
        "remote question while training: median": f"{1e3 * remote.training[0]:,.2f} ms",
        "remote question while training: 99th percentile": f"{1e3 * remote.training[1]:,.2f} ms",
        "that training, asked all the time": f"{remote.flows_per_second:,.0f} flows/s",
    }
    return pd.DataFrame({"value": rows}).rename_axis("measured (medians)")


def _growth(name: str, growth: tuple[bench.Growth, ...]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        {
            "durable merge ms": [1e3 * one.merge_seconds for one in growth],
            "all neighbourhoods ms": [1e3 * one.answer_seconds for one in growth],
            "store kB per merge": [one.bytes_per_merge / 1e3 for one in growth],
        },
        index=pd.Index([f"{one.size:,}" for one in growth], name=name),
    )
