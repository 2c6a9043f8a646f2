"""``kirl bench``: speed and size, measured on this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from envs import InputError, Scenario
from envs.files import check_writable
from rayapp.bench import graph as bench
from rayapp.commands import console
from rayapp.commands.prepare import generate_flows

if TYPE_CHECKING:
    from rayapp.bench.advisor import AdvisorSpeed
    from rayapp.bench.advisor_actor import ActorSpeed
    from rayapp.bench.advisor_cache import CacheFigures
    from rayapp.bench.chaos import Chaos

app = typer.Typer(help="Measure speed and size on this machine.", no_args_is_help=True)


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
    """Durable merges, answers in process and over the wire, and how both grow."""
    if scenario:
        Scenario.load(scenario)
    if out:
        from kg_actor.draw import kind_of

        check_writable(out)
        kind_of(out)
    with console.Reporter("Merging and answering", "sizes") as reporter:
        store = bench.measure(reporter)
    with tempfile.TemporaryDirectory() as folder:
        where = scenario or _synthetic(Path(folder) / "scenario")
        session = console.ray_session(address)
        with session, console.Reporter("Asking a training", "iterations") as reporter:
            remote = bench.measure_remote(where, iterations, reporter)
    if out:
        from rayapp.bench.curves import draw_growth

        draw_growth(store, out)
        console.err.print(f"Growth drawn to {out}", soft_wrap=True)
    if as_json:
        console.print_json(
            {**asdict(store), "remote": asdict(remote), "steepest": _steepest(store)}
        )
        return
    console.out.print(_speed_table(store, remote))
    console.out.print(_growth_table("signatures", store.signatures))
    console.out.print(_growth_table("runners", store.runners))
    told = ", ".join(f"{name} {power:.2f}" for name, power in _steepest(store).items())
    console.out.print(f"Steepest growth between two sizes (1 is linear): {told}", soft_wrap=True)


def _synthetic(path: Path, rows: int = 100_000) -> Path:
    flows = generate_flows(rows, 0)
    with console.working("Fitting a decision tree"):
        return Scenario.prepare(flows, path, seed=0).path


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
        ("neighbourhoods of all signatures", _ms(store.all_neighbourhoods_seconds)),
        ("remote question, idle: median", _ms(remote.idle[0])),
        ("remote question, idle: 99th percentile", _ms(remote.idle[1])),
        ("remote question while training: median", _ms(remote.training[0])),
        ("remote question while training: 99th percentile", _ms(remote.training[1])),
        ("that training, asked all the time", f"{remote.env_steps_per_second:,.0f} flows/s"),
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
        table.add_row(f"{one.size:,}", _ms(one.merge_seconds), _ms(one.answer_seconds), size)
    return table


class Part(StrEnum):
    """What of the advisors is measured."""

    WAYS = "ways"
    ACTOR = "actor"
    CACHE = "cache"


class Config(StrEnum):
    """Which language model is measured."""

    EMBEDDED = "embedded"
    PHI = "phi-3.5"


def advisor(
    config: Annotated[
        Config, typer.Option(help="The model that ships, or the paper's architecture.")
    ] = Config.EMBEDDED,
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="phi-3.5: needed, for none are downloaded.")
    ] = False,
    layers: Annotated[
        int | None, typer.Option(min=1, max=32, help="phi-3.5: fewer of its 32 layers.")
    ] = None,
    tokens_per_prompt: Annotated[
        int | None, typer.Option(min=16, max=4_000, help="phi-3.5: mean (default: as in use).")
    ] = None,
    part: Annotated[
        list[Part] | None, typer.Option(help="What is measured; may be given several times.")
    ] = None,
    prompts: Annotated[
        int, typer.Option(min=2, max=100_000, help="Distinct ones to ask.")
    ] = bench.PAPER_SIGNATURES,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    scenario: Annotated[
        Path | None, typer.Option(help="Part cache: to train on (default: synthetic flows).")
    ] = None,
    episodes: Annotated[
        int | None, typer.Option(min=1, help="Part cache: flows to train on (default 4,000,000).")
    ] = None,
    address: console.Address = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Language models: scoring against generating, the Ray actor under load, what is asked.

    Without --part, all that the model has: ways of asking; the actor with two clients, killed
    once; and, for the model that ships, the prompts that a training asks.
    """
    phi = config is Config.PHI
    if random_weights != phi or (not phi and (layers or tokens_per_prompt)):
        raise InputError(
            "these options do not go together",
            where="kirl bench advisor",
            expected="--config phi-3.5 with --random-weights; --layers and --tokens-per-prompt "
            "with these alone",
            mend="Add what is missing, or leave the rest out",
        )
    parts = part or [each for each in Part if not (phi and each is Part.CACHE)]
    if (phi and Part.CACHE in parts) or (Part.CACHE not in parts and (scenario or episodes)):
        raise InputError(
            "these options do not go together",
            where="kirl bench advisor",
            expected="--part cache with the model that ships alone; --scenario and --episodes "
            "with that part alone",
            mend="Leave one of them out",
        )
    if scenario:
        Scenario.load(scenario)
    found: dict[str, Any] = {}
    if Part.WAYS in parts:
        speed = _ways(phi, layers, tokens_per_prompt, prompts, device)
        found |= asdict(speed)
        if not as_json:
            _show_ways(speed)
    if Part.ACTOR in parts:
        served = _actor(phi, layers, tokens_per_prompt, prompts, device, address)
        found["actor"] = asdict(served)
        if not as_json:
            _show(f"the actor with {served.clients} clients", found["actor"])
    if Part.CACHE in parts:
        trained = _cache(scenario, episodes, address)
        found["cache"] = asdict(trained)
        if not as_json:
            _show("what a training asks the embedded model", found["cache"])
    if as_json:
        console.print_json(found)


def _ways(
    phi: bool, layers: int | None, tokens: int | None, prompts: int, device: str
) -> AdvisorSpeed:
    from rayapp.bench import advisor as measured

    with console.Reporter("Asking", "steps") as reporter:
        if not phi:
            return measured.measure_embedded(prompts, device, reporter)
        depth, tokens = layers or measured.LAYERS, tokens or measured.TOKENS_PER_PROMPT
        return measured.measure_phi(depth, prompts, tokens, device, reporter)


def _actor(
    phi: bool,
    layers: int | None,
    tokens: int | None,
    prompts: int,
    device: str,
    address: str | None,
) -> ActorSpeed:
    from llm_actor.selection import AdvisorSpec
    from rayapp.bench import advisor as measured
    from rayapp.bench import advisor_actor

    spec = AdvisorSpec("embedded", device=device)
    with tempfile.TemporaryDirectory() as folder:
        if phi:
            depth, tokens = layers or measured.LAYERS, tokens or measured.TOKENS_PER_PROMPT
            with console.working("Writing random weights"):
                spec = advisor_actor.random_spec(Path(folder), depth, tokens, device)
        session = console.ray_session(address)
        with session, console.Reporter("Asking the actor", "steps") as reporter:
            return advisor_actor.measure_actor(spec, prompts, reporter)


def _cache(scenario: Path | None, episodes: int | None, address: str | None) -> CacheFigures:
    from rayapp.bench import advisor_cache as cache

    with tempfile.TemporaryDirectory() as folder:
        where = scenario or _synthetic(Path(folder) / "scenario", cache.ROWS)
        with console.ray_session(address), console.Reporter("Training", "flows") as reporter:
            return cache.measure_cache(where, episodes or cache.EPISODES, reporter)


def _show_ways(speed: AdvisorSpeed) -> None:
    for name, ratio in speed.ratios.items():
        console.out.print(f"{name}: {ratio:,.1f} x", soft_wrap=True)
    console.out.print(_ways_table(speed))
    alone = ("ratios", "ways", "config")
    _show(None, {name: value for name, value in asdict(speed).items() if name not in alone})


def _show(title: str | None, figures: Mapping[str, Any]) -> None:
    """One line per figure, those of a part of it behind its name."""
    if title:
        console.out.print(f"\n{title}", style="bold", soft_wrap=True)
    for name, value in figures.items():
        label = name.replace("_", " ")
        if isinstance(value, Mapping):
            told = {f"{label}: {inner}": each for inner, each in value.items()}
            _show(None, told)
        else:
            shown = f"{value:,.3f}" if isinstance(value, float) else str(value)
            console.out.print(f"{label}: {shown}", soft_wrap=True)


def _ways_table(speed: AdvisorSpeed) -> Table:
    table = Table(title=f"{speed.config} on {speed.device} (medians)")
    table.add_column("way of asking")
    for name in ("prompts", "prompts/s", "peak memory"):
        table.add_column(name, justify="right")
    for way in speed.ways:
        rate = f"{way.prompts_per_second:,.2f}"
        table.add_row(way.name, f"{way.prompts:,}", rate, f"{way.peak_gib:,.2f} GiB")
    return table


def chaos(
    minutes: Annotated[float, typer.Option(min=0.1, max=10_000, help="Of killing.")] = 30.0,
    scenario: Annotated[
        Path | None, typer.Option(help="To train on (default: synthetic flows).")
    ] = None,
    episodes: Annotated[
        int | None, typer.Option(min=1, help="Flows of one training (default 6,000,000).")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of who is killed when.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Kill runners, graph, language model, nodes and drivers at random, and count every flow.

    On a cluster of its own, of three nodes on this machine. Ends with exit code 1 if a flow was
    lost or counted twice.
    """
    from rayapp.bench import chaos as measured

    with tempfile.TemporaryDirectory() as folder:
        where = scenario or _synthetic(Path(folder) / "scenario")
        found = measured.measure(
            Scenario.load(where),
            Path(folder),
            60 * minutes,
            lambda seconds, note: console.err.print(
                f"{seconds:,.0f} of {60 * minutes:,.0f} s: {note}"
            ),
            seed=seed,
            episodes=episodes or measured.EPISODES,
        )
    if as_json:
        console.print_json(asdict(found))
    else:
        _show_chaos(found)
    if found.lost or found.doubled:
        raise typer.Exit(1)


def _show_chaos(found: Chaos) -> None:
    table = Table(title=f"{found.kills} deaths in {found.seconds / 60:.1f} minutes")
    table.add_column("who died")
    for name in ("kills", "recoveries", "seconds lost", "median", "longest"):
        table.add_column(name, justify="right")
    for kind, one in found.by_kind.items():
        times = (one.seconds_lost, one.median_seconds, one.longest_seconds)
        shown = ["-" if seconds is None else f"{seconds:,.1f}" for seconds in times]
        table.add_row(kind, f"{one.kills:,}", f"{one.recoveries:,}", *shown)
    console.out.print(table)
    _show(None, {name: value for name, value in asdict(found).items() if name != "by_kind"})


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:,.2f} ms"


app.command("graph", epilog="Example: kirl bench graph --json --out growth.svg")(graph)
app.command("advisor", epilog="Example: kirl bench advisor --config phi-3.5 --random-weights")(
    advisor
)
app.command("chaos", epilog="Example: kirl bench chaos --minutes 5 --json")(chaos)
