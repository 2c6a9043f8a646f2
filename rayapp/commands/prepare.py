"""``kirl prepare``: flows to a scenario."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from envs import Flows, InputError, Scenario, cicids2017, synthetic
from envs.files import check_writable
from envs.scenario import FOLDS, MANIFEST, check_replaceable
from rayapp.commands import console

EXAMPLE = "Example: kirl prepare --data MachineLearningCVE/ --out scenario"


def prepare(
    out: Annotated[Path, typer.Option(help="Folder to write the scenario to.")],
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="CICIDS2017 as CSV, .csv.gz, Parquet or a folder of them; may be repeated."
        ),
    ] = None,
    synthetic_rows: Annotated[
        int | None, typer.Option("--synthetic", metavar="ROWS", help="Generate flows instead.")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Of the split, the tree and synthetic flows.")
    ] = 0,
    honest: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Keep this share of the training flows from the tree; the agent meets these "
            "alone, and the graph learns the tree's real error rates.",
        ),
    ] = None,
    cross_fit: Annotated[
        int,
        typer.Option(
            metavar="FOLDS",
            help="The same without giving up flows: training can also meet each flow as it is "
            "matched without the leaves that rest on its own fold alone. 0 leaves it out.",
        ),
    ] = FOLDS,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a scenario that is there already.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
) -> None:
    """Split flows 70/30, fit the detector, write signatures and splits as a scenario."""
    _check(data, synthetic_rows, out, overwrite)
    flows = read_flows(data) if data else generate_flows(synthetic_rows or 0, seed)
    scenario = Scenario.prepare(
        flows, out, seed=seed, honest=honest, cross_fit=cross_fit, stage=console.working
    )
    console.err.print(f"Peak memory: {console.peak_memory():.2f} GiB")
    if as_json:
        console.print_json(scenario.manifest)
    else:
        show(scenario)


def read_flows(data: list[Path]) -> Flows:
    """Reads CICIDS2017 files with progress."""
    begun = time.perf_counter()
    with console.Reporter("Reading", "bytes") as reporter:
        flows = cicids2017.read(data, progress=reporter)
    seconds, source = time.perf_counter() - begun, flows.provenance
    dropped = ", ".join(f"{count:,} {why}" for why, count in source.dropped.items() if count)
    console.err.print(
        f"Read {source.rows_read:,} rows from {len(source.origin['files'])} file(s)"
        + (f", dropped {dropped}" if dropped else "")
        + f": {seconds:.1f} s"
    )
    return flows


def generate_flows(rows: int, seed: int) -> Flows:
    """Generates synthetic flows with progress."""
    with console.Reporter("Generating synthetic flows", "rows") as reporter:
        return synthetic.generate(rows, seed=seed, progress=reporter)


def show(scenario: Scenario) -> None:
    """Prints the detection report (the paper's Table V)."""
    manifest: dict[str, Any] = scenario.manifest
    table = Table(title=f"Detection on {manifest['flows']['test']:,} test flows ({scenario.kind})")
    table.add_column("class")
    for name in ("precision %", "recall %", "F1 %", "support"):
        table.add_column(name, justify="right")
    for name, row in manifest["detection"].items():
        ratios = [f"{100 * row[key]:.2f}" for key in ("precision", "recall", "f1")]
        table.add_row(name, *ratios, f"{row['support']:,}")
    console.out.print(table)
    console.out.print(
        f"{manifest['signatures']:,} signatures from {manifest['flows']['train']:,} training "
        f"flows, written to {scenario.path}"
    )


def _check(data: list[Path] | None, rows: int | None, out: Path, overwrite: bool) -> None:
    if bool(data) == (rows is not None):
        raise InputError(
            "nothing to prepare" if not data else "both --data and --synthetic are given",
            expected="--data PATH or --synthetic ROWS",
            mend=EXAMPLE,
        )
    check_writable(out)
    check_replaceable(out)
    if (out / MANIFEST).is_file() and not overwrite:
        raise InputError(
            "holds a scenario already",
            where=str(out),
            mend="Choose another --out, or add --overwrite to replace it",
        )
