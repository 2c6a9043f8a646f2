"""``kirl bench prepare``: from flows to a scenario, part by part."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from rayapp.bench.prepare import ROWS, measure_prepare
from rayapp.commands import console


def prepare(
    rows: Annotated[int, typer.Option(min=1_000, help="Synthetic ones, written as CSV.")] = ROWS,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Reading, fitting the tree, matching and writing, in seconds; and peak memory.

    The default is as many rows as CICIDS2017 has, and takes minutes.
    """
    with console.Reporter("Generating synthetic flows", "rows") as reporter:
        found = measure_prepare(rows, reporter)
    if as_json:
        console.print_json(asdict(found))
        return
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
