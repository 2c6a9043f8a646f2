"""``kirl bench prepare``: from flows to a scenario, part by part."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from envs import InputError
from envs.detector.growing import COUNTED_FROM
from rayapp.commands import console
from rayapp.commands.bench_inputs import AsJson
from rayapp.lab.bench.prepare import ROWS, PrepareSpeed, measure_prepare
from rayapp.lab.bench.trees import TreeComparison, compare_trees


def prepare(
    rows: Annotated[
        int, typer.Option(min=1_000, help="Generate this many synthetic flows.")
    ] = ROWS,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare kirl's tree with scikit-learn's instead.")
    ] = False,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="With --compare: use these files of CICIDS2017, not synthetic flows."),
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, help="With --compare: grow this many trees of each kind.")
    ] = 3,
    counted_from: Annotated[
        int, typer.Option(min=2, help="With --compare: split nodes of this many flows by counting.")
    ] = COUNTED_FROM,
    as_json: AsJson = False,
) -> None:
    """Measure reading, fitting the tree, matching and writing: seconds and peak memory.

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
            "--data needs --compare",
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


def _show_trees(comparison: TreeComparison) -> None:
    import pandas as pd

    from rayapp.lab.tables import terminal_table

    table = pd.DataFrame.from_dict(
        {
            f"{name} {seed}": asdict(tree)
            for name, trees in comparison.grown.items()
            for seed, tree in enumerate(trees)
        },
        orient="index",
    ).rename_axis("tree, by seed")
    table.columns = table.columns.str.replace("_", " ")
    formats = dict.fromkeys(("seconds", "processor seconds", "sorted per flow"), ",.1f")
    formats |= dict.fromkeys(("leaves", "depth"), ",.0f")
    formats |= dict.fromkeys(("accuracy", "macro f1"), ".2%")
    title = f"{comparison.fitted:,} flows, tested on {comparison.tested:,}"
    console.out.print(terminal_table(table, formats=formats, title=title))
    console.out.print(
        f"scikit-learn takes {comparison.ratio:.1f} times the processor time of kirl. "
        "Sorted per flow: how often scikit-learn sorts a flow by each feature on the way down.",
        soft_wrap=True,
    )
