"""``kirl bench prepare``: from flows to a scenario, part by part."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from envs import InputError
from envs.detector.growing import COUNTED_FROM
from rayapp.commands import console
from rayapp.lab.bench.prepare import ROWS, PrepareSpeed, measure_prepare
from rayapp.lab.bench.trees import TreeComparison, compare_trees


def prepare(
    rows: Annotated[int, typer.Option(min=1_000, help="Synthetic ones, written as CSV.")] = ROWS,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Instead, kirl's tree and scikit-learn's in turn."),
    ] = False,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="With --compare: files of CICIDS2017 rather than synthetic flows."),
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, help="With --compare: trees of each kind; medians count.")
    ] = 3,
    counted_from: Annotated[
        int, typer.Option(min=2, help="With --compare: flows of a node that is split by counting.")
    ] = COUNTED_FROM,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Reading, fitting the tree, matching and writing, in seconds; and peak memory.

    The default is as many rows as CICIDS2017 has, and takes minutes; with --compare, a
    quarter of an hour.
    """
    if compare:
        with console.working("Growing trees in turn"):
            trees = compare_trees(data or (), rows, seeds, counted_from)
        console.print_json(asdict(trees)) if as_json else _show_trees(trees)
        return
    if data:
        raise InputError(
            "--data is of use with --compare alone",
            where="kirl bench prepare",
            mend="Leave it out, or add --compare",
        )
    with console.Reporter("Generating synthetic flows", "rows") as reporter:
        found = measure_prepare(rows, reporter)
    console.print_json(asdict(found)) if as_json else _show(found)


def _show(found: PrepareSpeed) -> None:
    for name, seconds in found.seconds.items():
        console.out.print(f"{name}: {seconds:.1f} s")
    console.out.print(
        f"all: {found.total_seconds:.1f} s, peak memory {found.peak_gib:.2f} GiB\n"
        f"reading: {found.rows_per_second:,.0f} rows/s of {found.rows:,} "
        f"({found.csv_bytes / 1e9:.2f} GB)\n"
        f"fitting: {found.fitted_rows_per_second:,.0f} rows/s\n"
        f"{found.signatures:,} signatures, mean F1 over classes {100 * found.macro_f1:.2f} %",
        soft_wrap=True,
    )


def _show_trees(found: TreeComparison) -> None:
    table = Table(title=f"{found.fitted:,} flows, tested on {found.tested:,}")
    table.add_column("tree, by seed")
    for name in ("s", "s of processors", "leaves", "accuracy", "mean F1"):
        table.add_column(name, justify="right")
    for name, trees in found.grown.items():
        for seed, one in enumerate(trees):
            table.add_row(
                f"{name} {seed}",
                f"{one.seconds:.1f}",
                f"{one.processor_seconds:.1f}",
                f"{one.leaves:,}",
                f"{100 * one.accuracy:.2f} %",
                f"{100 * one.macro_f1:.2f} %",
            )
    console.out.print(table)
    times = next(iter(found.grown.values()))[0].sorted_per_flow
    console.out.print(
        f"scikit-learn takes {found.ratio:.1f} times the processor time of kirl; it would sort "
        f"each flow {times:.1f} times by each feature on the way down kirl's first tree",
        soft_wrap=True,
    )
