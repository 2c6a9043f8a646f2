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
from envs.datasets.labels import Attempted
from envs.datasets.source import FlowSource
from envs.detector import OpinionKind
from envs.division import FOLDS, Wishes
from envs.storage import locate
from rayapp.cluster import job
from rayapp.commands import console, places
from rayapp.commands.alerts import AlertsToPrepare, prepare_alerts, show_detection
from rayapp.commands.flow_choice import FlowChoice, check_effect, check_joined, check_one
from rayapp.commands.flows import measured
from rayapp.commands.weaknesses import tell_weaknesses
from rayapp.preparation.memory import TreeMemory, own_peak

SAMPLE = 2_000_000
"""Flows that the tree of a stream is fitted on: more than the training part of CICIDS2017, so
that a stream of it gives the same tree. They take 0.6 GB, and the tree some minutes."""


class Engine(StrEnum):
    """Where flows are held."""

    memory = "memory"
    ray = "ray"


class Opinion(StrEnum):
    """Kinds of second opinion."""

    boosted = "boosted"
    forest = "forest"
    none = "none"


def prepare(
    context: typer.Context,
    out: Annotated[
        str, typer.Option(metavar=places.METAVAR, help="Write the scenario to this folder.")
    ],
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Read flows from a table (CSV, Parquet, a Zeek log, JSON records; packed or not), "
            "or from a folder of tables. Repeat it for several."
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
    schema: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Read tables of your own that this YAML file describes; kirl schema drafts one. "
            "With --alerts it names the columns signature and class, and id, time and message if "
            "there are such.",
        ),
    ] = None,
    pcap: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="CAPTURE",
            help="Measure the flows of a packet capture, or of a folder of captures, instead. "
            "kirl flows keeps them for later. Repeat it for several.",
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
            "kirl, or a YAML file. The default is that of the kind of data set; kirl datasets "
            "names it.",
        ),
    ] = None,
    labels: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Read from this file what labels mean: YAML lines 'label: class', or CSV with the "
            "columns label and class. 'drop' leaves flows out. Or read from it which flow has "
            "which label: a table with a label and the flow's id, or its addresses, ports and "
            "time. For alerts, labels are categories or ids of rules. Repeat it for several.",
        ),
    ] = None,
    attempted: Annotated[
        Attempted | None,
        typer.Option(
            help="Say what labels that end in 'Attempted' count as, which corrected data sets have "
            "for attacks without effect. The default is benign, as their authors treat them.",
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
    deduplicate: Annotated[
        bool,
        typer.Option(
            "--deduplicate",
            help="Leave out every flow whose features and class equal those of an earlier one, "
            "before the split.",
        ),
    ] = False,
    second_opinion: Annotated[
        Opinion,
        typer.Option(
            help="Fit a classifier of another kind beside the tree: boosted trees or a random "
            "forest. Mitigations are then chosen by what both say of a flow. It needs "
            "--cross-fit.",
        ),
    ] = Opinion.none,
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
    kinds: dict[Opinion, OpinionKind] = {Opinion.boosted: "boosted", Opinion.forest: "forest"}
    second = kinds.get(second_opinion)
    wishes = Wishes(seed, honest, cross_fit, sample, deduplicate, second)
    wishes.check()
    check_one(
        {
            "--data": data,
            "--alerts": alerts,
            "--pcap": pcap,
            # 0 flows are asked for, too, and refused by what draws them.
            "--synthetic": synthetic_rows is not None,
        }
    )
    detector_options: dict[str, object] = {
        "--honest": honest,
        "--sample": sample,
        "--deduplicate": deduplicate,
        "--address": address,
        "--engine ray": engine is Engine.ray,
        "--second-opinion": wishes.opinion,
    }
    if alerts:
        check_effect(
            "--alerts", {"--dataset": dataset, "--attempted": attempted} | detector_options
        )
        prepare_alerts(
            AlertsToPrepare(alerts, verdicts, labels or [], schema, catalogue, seed),
            out,
            overwrite=overwrite,
            as_json=as_json,
        )
        return
    check_effect("flows, which are no --alerts", {"--verdicts": verdicts})
    if synthetic_rows is not None:
        unfit = {"--labels": labels, "--attempted": attempted, "--schema": schema}
        check_effect("--synthetic", unfit)
    if schema is not None:
        check_effect("--schema", {"--dataset": dataset})
    if pcap:
        check_effect("--pcap", {"--dataset": dataset, "--schema": schema})
        check_joined(labels or ())
    if pcap and engine is Engine.ray:
        raise InputError(
            "captures are measured on this machine alone",
            expected="--engine memory, or flows that all machines see",
            mend="Write them first: kirl flows CAPTURE --out flows.parquet; then give --data "
            "flows.parquet",
        )
    place = locate(out)
    if isinstance(place, Path):
        job.check_kept(place)
    places.check_vacant(place, overwrite=overwrite)
    begun = time.perf_counter()
    if pcap:
        # They go when the command ends.
        data = [context.with_resource(measured(pcap))]
    choice = FlowChoice(
        data or (), synthetic_rows, dataset, schema, labels or (), attempted, catalogue, seed
    )
    source = choice.source()
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
    tell_weaknesses(scenario.manifest)


def _in_memory(source: FlowSource, out: Path, wishes: Wishes) -> tuple[Scenario, float]:
    """The scenario, and the peak memory in bytes."""
    scenario = Scenario.prepare(
        read_flows(source),
        out,
        seed=wishes.seed,
        honest=wishes.honest,
        cross_fit=wishes.cross_fit,
        sample=wishes.sample,
        deduplicate=wishes.deduplicate,
        opinion=wishes.opinion,
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
    _show_opinion(scenario)


def _show_opinion(scenario: Scenario) -> None:
    contexts, (met, actual) = scenario.contexts, scenario.test
    if contexts.opinion is None:
        return
    tree, second = contexts.traffic[met] == actual, contexts.opinion[met] == actual
    console.out.print(
        f"Second opinion ({scenario.manifest['opinion']['kind']}): right on {second.mean():.2%} of "
        f"the test flows, the tree on {tree.mean():.2%}, one of them on "
        f"{(tree | second).mean():.2%}; {len(contexts):,} contexts"
    )
