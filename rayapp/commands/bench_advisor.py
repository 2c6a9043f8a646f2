"""``kirl bench advisor``: how fast language models advise."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from envs import InputError, Scenario
from rayapp.commands import console
from rayapp.commands.bench_inputs import made_up_scenario, show_figures
from rayapp.lab.bench import graph as bench

if TYPE_CHECKING:
    from rayapp.lab.bench.advisor import AdvisorSpeed
    from rayapp.lab.bench.advisor_actor import ActorSpeed
    from rayapp.lab.bench.advisor_cache import CacheFigures


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
    token_budget: Annotated[
        int | None,
        typer.Option(min=1, help="The model that ships: most tokens of a batch (default: usual)."),
    ] = None,
    scenario: Annotated[
        Path | None, typer.Option(help="Part cache: to train on (default: synthetic flows).")
    ] = None,
    flows: Annotated[
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
    other = token_budget if phi else (layers or tokens_per_prompt)
    if random_weights != phi or other:
        raise InputError(
            "these options do not go together",
            where="kirl bench advisor",
            expected="--config phi-3.5 with --random-weights; --layers and --tokens-per-prompt "
            "with these alone, --token-budget without them",
            mend="Add what is missing, or leave the rest out",
        )
    parts = part or [each for each in Part if not (phi and each is Part.CACHE)]
    if (phi and Part.CACHE in parts) or (Part.CACHE not in parts and (scenario or flows)):
        raise InputError(
            "these options do not go together",
            where="kirl bench advisor",
            expected="--part cache with the model that ships alone; --scenario and --flows "
            "with that part alone",
            mend="Leave one of them out",
        )
    if scenario:
        Scenario.load(scenario)
    found: dict[str, Any] = {}
    if Part.WAYS in parts:
        if phi:
            speed: AdvisorSpeed = _phi_ways(layers, tokens_per_prompt, prompts, device)
        else:
            speed = _embedded_ways(prompts, device, token_budget)
        found |= asdict(speed)
        if not as_json:
            _show_ways(speed)
    if Part.ACTOR in parts:
        served = _actor(phi, layers, tokens_per_prompt, prompts, device, address)
        found["actor"] = asdict(served)
        if not as_json:
            show_figures(f"the actor with {served.clients} clients", found["actor"])
    if Part.CACHE in parts:
        trained = _cache(scenario, flows, address)
        found["cache"] = asdict(trained)
        if not as_json:
            show_figures("what a training asks the embedded model", found["cache"])
    if as_json:
        console.print_json(found)


def _embedded_ways(prompts: int, device: str, token_budget: int | None) -> AdvisorSpeed:
    from rayapp.lab.bench import advisor as measured

    with console.Reporter("Asking", "steps") as reporter:
        return measured.measure_embedded(prompts, device, reporter, token_budget)


def _phi_ways(layers: int | None, tokens: int | None, prompts: int, device: str) -> AdvisorSpeed:
    from rayapp.lab.bench import advisor as measured

    with console.Reporter("Asking", "steps") as reporter:
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
    from rayapp.lab.bench import advisor as measured
    from rayapp.lab.bench import advisor_actor

    spec = AdvisorSpec("embedded", device=device)
    with tempfile.TemporaryDirectory() as folder:
        if phi:
            depth, tokens = layers or measured.LAYERS, tokens or measured.TOKENS_PER_PROMPT
            with console.working("Writing random weights"):
                spec = advisor_actor.random_spec(Path(folder), depth, tokens, device)
        session = console.ray_session(address)
        with session, console.Reporter("Asking the actor", "steps") as reporter:
            return advisor_actor.measure_actor(spec, prompts, reporter)


def _cache(scenario: Path | None, flows: int | None, address: str | None) -> CacheFigures:
    from rayapp.lab.bench import advisor_cache as cache

    with tempfile.TemporaryDirectory() as folder:
        where = scenario or made_up_scenario(Path(folder) / "scenario", cache.ROWS)
        with console.ray_session(address), console.Reporter("Training", "flows") as reporter:
            return cache.measure_cache(where, flows or cache.FLOWS, reporter)


def _show_ways(speed: AdvisorSpeed) -> None:
    for name, ratio in speed.ratios.items():
        console.out.print(f"{name}: {ratio:,.1f} x", soft_wrap=True)
    console.out.print(_ways_table(speed))
    alone = ("ratios", "ways", "config")
    show_figures(None, {name: value for name, value in asdict(speed).items() if name not in alone})


def _ways_table(speed: AdvisorSpeed) -> Table:
    table = Table(title=f"{speed.config} on {speed.device} (medians)")
    table.add_column("way of asking")
    for name in ("prompts", "prompts/s", "peak memory"):
        table.add_column(name, justify="right")
    for way in speed.ways:
        rate = f"{way.prompts_per_second:,.2f}"
        table.add_row(way.name, f"{way.prompts:,}", rate, f"{way.peak_gib:,.2f} GiB")
    return table
