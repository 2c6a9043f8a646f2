"""``kirl bench graph``: how fast the knowledge graph is, and how it grows."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from envs import Scenario
from envs.files import check_writable
from rayapp.commands import console
from rayapp.commands.bench_inputs import made_up_scenario, milliseconds
from rayapp.lab.bench import graph as bench


def graph(
    scenario: Annotated[
        Path | None,
        typer.Option(help="To train on while questions are asked (default: synthetic flows)."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Draw the growth curves to this .svg or .png.")
    ] = None,
    iterations: Annotated[
        int, typer.Option(min=1, help="Of the training that merges while questions are asked.")
    ] = 150,
    address: console.Address = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Durable merges, answers in process and over the wire; how both grow; merges into shards."""
    if scenario:
        Scenario.load(scenario)
    if out:
        from rayapp.lab.charts import check_suffix

        check_writable(out)
        check_suffix(out)
    with console.Reporter("Merging and answering", "sizes") as reporter:
        store = bench.measure(reporter)
    with tempfile.TemporaryDirectory() as folder:
        where = scenario or made_up_scenario(Path(folder) / "scenario")
        with console.ray_session(address):
            with console.Reporter("Merging into shards", "rounds") as reporter:
                shards = bench.measure_shards(reporter)
            with console.Reporter("Asking a training", "iterations") as reporter:
                remote = bench.measure_remote(where, iterations, reporter)
    if out:
        from rayapp.lab.bench.drawing import draw_growth

        draw_growth(store, out)
        console.err.print(f"Growth drawn to {out}", soft_wrap=True)
    if as_json:
        console.print_json(
            {
                **asdict(store),
                "shards": [asdict(one) for one in shards],
                "remote": asdict(remote),
                "steepest": _steepest(store),
            }
        )
        return
    console.out.print(_speed_table(store, remote))
    console.out.print(_growth_table("signatures", store.signatures))
    console.out.print(_growth_table("runners", store.runners))
    console.out.print(_shards_table(shards))
    told = ", ".join(f"{name} {power:.2f}" for name, power in _steepest(store).items())
    console.out.print(f"Steepest growth between two sizes (1 is linear): {told}", soft_wrap=True)


def _steepest(store: bench.StoreSpeed) -> dict[str, float]:
    merge: Callable[[bench.Growth], float] = lambda one: one.merge_seconds  # noqa: E731
    answer: Callable[[bench.Growth], float] = lambda one: one.answer_seconds  # noqa: E731
    return {
        "merge by signatures": bench.steepest(store.signatures, merge),
        "answers by signatures": bench.steepest(store.signatures, answer),
        "merge by runners": bench.steepest(store.runners, merge),
    }


def _speed_table(store: bench.StoreSpeed, remote: bench.RemoteSpeed) -> Table:
    table = Table(title=f"{bench.PAPER_SIGNATURES:,} signatures, {bench.FLOWS:,} flows a merge")
    table.add_column("measured (medians)")
    table.add_column("value", justify="right")
    rows: tuple[tuple[str, Any], ...] = (
        ("distinct transitions in a table", f"{store.rows_per_table:,}"),
        ("durable merges", f"{store.merges_per_second:,.0f} /s"),
        ("neighbourhoods of all signatures", milliseconds(store.all_neighbourhoods_seconds)),
        ("remote question, idle: median", milliseconds(remote.idle[0])),
        ("remote question, idle: 99th percentile", milliseconds(remote.idle[1])),
        ("remote question while training: median", milliseconds(remote.training[0])),
        ("remote question while training: 99th percentile", milliseconds(remote.training[1])),
        ("that training, asked all the time", f"{remote.flows_per_second:,.0f} flows/s"),
    )
    for name, value in rows:
        table.add_row(name, value)
    return table


def _growth_table(what: str, growth: tuple[bench.Growth, ...]) -> Table:
    table = Table(title=f"Growth with {what}")
    for name in (what, "durable merge", "all neighbourhoods", "store per merge"):
        table.add_column(name, justify="right")
    for one in growth:
        size = f"{one.bytes_per_merge / 1000:,.0f} kB"
        table.add_row(
            f"{one.size:,}", milliseconds(one.merge_seconds), milliseconds(one.answer_seconds), size
        )
    return table


def _shards_table(shards: tuple[bench.Sharded, ...]) -> Table:
    table = Table(title=f"{bench.SIGNATURES[-1]:,} signatures in shards, an actor each")
    for name in ("shards", "durable merge, counts joined"):
        table.add_column(name, justify="right")
    for one in shards:
        table.add_row(str(one.shards), milliseconds(one.merge_seconds))
    return table
