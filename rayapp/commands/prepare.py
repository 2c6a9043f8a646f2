"""``kirl prepare``: flows to a scenario."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from envs import Catalogue, Flows, InputError, Scenario
from envs.datasets import registry
from envs.datasets.source import FlowSource, Reading
from envs.division import FOLDS, Wishes
from envs.storage import locate
from rayapp.cluster import job
from rayapp.commands import console, places
from rayapp.commands.alerts import (
    AlertsToPrepare,
    check_no_alerts,
    prepare_alerts,
    show_detection,
)
from rayapp.preparation.memory import TreeMemory, own_peak

SAMPLE = 2_000_000
"""Flows that the tree of a stream is fitted on: more than the training part of CICIDS2017, so
that a stream of it gives the same tree. They take 0.6 GB, and the tree some minutes."""


class Engine(StrEnum):
    """Where flows are held."""

    memory = "memory"
    ray = "ray"


EXAMPLE = "Example: kirl prepare --data MachineLearningCVE/ --out scenario"


def prepare(
    out: Annotated[
        str, typer.Option(metavar=places.METAVAR, help="Write the scenario to this folder.")
    ],
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Read flows from a CSV, .csv.gz or Parquet file, or from a folder of such files. "
            "Repeat it for several."
        ),
    ] = None,
    alerts: Annotated[
        list[Path] | None,
        typer.Option(
            help="Read alerts of an IDS instead: eve.json of Suricata, notice.log of Zeek, or any "
            "table with --schema. Its rules are the signatures, and --verdicts says how far they "
            "can be trusted. Repeat it for several."
        ),
    ] = None,
    verdicts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Read from this CSV or JSON file what alerts really were: id or rule, and class. "
            "kirl verdicts draft writes one to fill in.",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Read from this YAML or CSV file which class a category or a rule means.",
        ),
    ] = None,
    schema: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Name the columns of a table in this YAML file; for alerts signature and class, "
            "and optionally id, time and message.",
        ),
    ] = None,
    synthetic_rows: Annotated[
        int | None,
        typer.Option("--synthetic", metavar="ROWS", help="Draw this many synthetic flows instead."),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name the kind of data set; kirl datasets lists them. By default it is "
            "recognised from the files.",
        ),
    ] = None,
    catalogue: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Take classes, mitigations and rewards from this catalogue: one that ships with "
            "kirl, or a YAML file. The default is paper, or enterprise-network with --alerts.",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            min=0, max=2**31 - 1, help="Set the seed of the split, the tree and synthetic flows."
        ),
    ] = 0,
    honest: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Keep this share of the training flows from the tree. The agent meets these "
            "alone, so the graph learns the tree's real error rates.",
        ),
    ] = None,
    cross_fit: Annotated[
        int,
        typer.Option(
            metavar="FOLDS",
            help="Match every training flow also without the leaves that rest on its own fold, so "
            "that training can meet real errors without giving up flows. 0 turns it off.",
        ),
    ] = FOLDS,
    engine: Annotated[
        Engine,
        typer.Option(
            help="Choose where flows are held: in the memory of this process, or nowhere. With "
            "ray they are streamed by Ray Data, over a cluster if there is one."
        ),
    ] = Engine.memory,
    sample: Annotated[
        int | None,
        typer.Option(
            metavar="ROWS",
            help="Fit the tree on at most this many training flows, drawn by class. The default "
            f"is all of them, or {SAMPLE:,} with --engine ray.",
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Stream on this Ray cluster. All its machines must see the files."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a scenario that is there already.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the manifest and what it cost as JSON.")
    ] = False,
) -> None:
    """Split flows 70/30, fit the detector, and write signatures and splits as a scenario."""
    wishes = Wishes(seed, honest, cross_fit, sample)
    wishes.check()
    if alerts:
        prepare_alerts(
            AlertsToPrepare(alerts, verdicts, labels, schema, catalogue, seed),
            out,
            unfit={
                "--data": data,
                "--synthetic": synthetic_rows,
                "--dataset": dataset,
                "--honest": honest,
                "--sample": sample,
                "--address": address,
                "--engine ray": engine is Engine.ray,
            },
            overwrite=overwrite,
            as_json=as_json,
        )
        return
    _check(data, synthetic_rows)
    check_no_alerts({"--verdicts": verdicts, "--labels": labels, "--schema": schema})
    place = locate(out)
    if isinstance(place, Path):
        job.check_kept(place)
    places.check_vacant(place, overwrite=overwrite)
    begun = time.perf_counter()
    classes = Catalogue.find(catalogue or "paper")
    if data:
        source = registry.opened(data, Reading.labelled(classes), dataset)
    else:
        source = registry.drawn(synthetic_rows or 0, seed, classes, dataset or "synthetic")
    with places.written(place) as folder:
        if engine is Engine.memory:
            scenario, peak = _in_memory(source, folder, wishes)
        else:
            wishes = replace(wishes, sample=sample or SAMPLE)
            scenario, peak = _streamed(source, folder, wishes, address)
    seconds = time.perf_counter() - begun
    rows = scenario.manifest["source"]["rows_read"]
    console.err.print(
        f"{rows:,} rows in {seconds:.1f} s ({rows / seconds:,.0f} rows/s). "
        f"Peak memory: {peak / 2**30:.2f} GiB"
    )
    if as_json:
        cost = {
            "engine": engine.value,
            "seconds": round(seconds, 3),
            "rows_per_second": round(rows / seconds, 1),
            "peak_memory_gib": round(peak / 2**30, 3),
        }
        console.print_json(scenario.manifest | {"preparation": cost})
    else:
        show(scenario, out)


def _in_memory(source: FlowSource, out: Path, wishes: Wishes) -> tuple[Scenario, float]:
    """The scenario, and the peak memory in bytes."""
    scenario = Scenario.prepare(
        read_flows(source),
        out,
        seed=wishes.seed,
        honest=wishes.honest,
        cross_fit=wishes.cross_fit,
        sample=wishes.sample,
        stage=console.working,
    )
    return scenario, own_peak()


def _streamed(
    source: FlowSource, out: Path, wishes: Wishes, address: str | None
) -> tuple[Scenario, float]:
    """The scenario, and the peak memory in bytes of all processes on this machine."""
    if not source.parts:
        raise InputError(
            "this kind of data set cannot be read in parts",
            expected="a kind with parts, such as cicids2017",
            mend="Leave --engine ray out",
        )
    with TreeMemory() as memory, console.ray_session(address):
        from rayapp.preparation import streaming

        # It tells of every pass; what it would tell of faults is raised as well.
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        stages = streaming.Stages(console.Reporter, console.working)
        scenario = streaming.prepare(source, out, wishes, stages=stages)
    _tell_read(scenario.manifest["source"])
    if not memory.whole:
        console.err.print("The memory of Ray's processes cannot be measured on this system.")
    return scenario, memory.peak


def read_flows(source: FlowSource) -> Flows:
    """Reads or draws all flows of a source, with progress."""
    begun = time.perf_counter()
    with console.Reporter("Reading flows", source.unit) as reporter:
        flows = source.read(reporter)
    _tell_read(asdict(flows.provenance), time.perf_counter() - begun)
    return flows


def generate_flows(rows: int, seed: int) -> Flows:
    """Draws synthetic flows of the paper's classes, with progress."""
    return read_flows(registry.drawn(rows, seed, Catalogue.named("paper")))


def _tell_read(source: dict[str, Any], seconds: float | None = None) -> None:
    files = source["origin"].get("files")
    dropped = ", ".join(f"{count:,} {why}" for why, count in source["dropped"].items() if count)
    if files:
        console.err.print(
            f"Read {source['rows_read']:,} rows from {len(files)} file(s)"
            + (f", dropped {dropped}" if dropped else "")
            + (f": {seconds:.1f} s" if seconds is not None else "")
        )


def show(scenario: Scenario, place: str | None = None) -> None:
    """Prints the detection report (the paper's Table V)."""
    manifest: dict[str, Any] = scenario.manifest
    show_detection(scenario)
    console.out.print(
        f"{manifest['signatures']:,} signatures from {manifest['flows']['train']:,} training "
        f"flows, written to {place or scenario.path}"
    )


def _check(data: list[Path] | None, rows: int | None) -> None:
    if bool(data) == (rows is not None):
        raise InputError(
            "nothing to prepare" if not data else "both --data and --synthetic are given",
            expected="--data PATH, --alerts PATH or --synthetic ROWS",
            mend=EXAMPLE,
        )
