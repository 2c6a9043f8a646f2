"""``kirl bench advisor``: how fast language models advise."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from envs import InputError
from rayapp.commands import console
from rayapp.commands.bench_inputs import AsJson, show_figures
from rayapp.lab.bench import graph as bench

if TYPE_CHECKING:
    from rayapp.lab.bench.advisor import AdvisorSpeed
    from rayapp.lab.bench.advisor_actor import ActorSpeed


class Part(StrEnum):
    """What of an advisor is measured."""

    WAYS = "ways"
    ACTOR = "actor"


class Config(StrEnum):
    """Which language model is measured."""

    EMBEDDED = "embedded"
    PHI = "phi-3.5"


def advisor(
    config: Annotated[
        Config, typer.Option(help="Measure the model that ships, or the paper's architecture.")
    ] = Config.EMBEDDED,
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Required with phi-3.5: no weights are loaded.")
    ] = False,
    layers: Annotated[
        int | None, typer.Option(min=1, max=32, help="With phi-3.5: use fewer of its 32 layers.")
    ] = None,
    tokens_per_prompt: Annotated[
        int | None,
        typer.Option(min=16, max=4_000, help="With phi-3.5: make prompts this long on average."),
    ] = None,
    part: Annotated[
        list[Part] | None, typer.Option(help="Measure only this. May be repeated.")
    ] = None,
    prompts: Annotated[
        int, typer.Option(min=2, max=100_000, help="Ask this many distinct prompts.")
    ] = bench.PAPER_SIGNATURES,
    device: Annotated[
        str, typer.Option(help="Compute on this device: auto, cpu, cuda, cuda:1 and so on.")
    ] = "auto",
    token_budget: Annotated[
        int | None,
        typer.Option(min=1, help="With embedded: put at most this many tokens in a batch."),
    ] = None,
    address: console.Address = None,
    as_json: AsJson = False,
) -> None:
    """Measure how fast a language model advises.

    It scores known answers and writes answers, one at a time and in batches (part ways), and
    serves two clients as a Ray actor (part actor). Both are measured unless --part chooses.
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
    parts = part or list(Part)
    figures: dict[str, Any] = {}
    if Part.WAYS in parts:
        if phi:
            speed: AdvisorSpeed = _phi_ways(layers, tokens_per_prompt, prompts, device)
        else:
            speed = _embedded_ways(prompts, device, token_budget)
        figures |= asdict(speed)
        if not as_json:
            _show_ways(speed)
    if Part.ACTOR in parts:
        served = _actor(phi, layers, tokens_per_prompt, prompts, device, address)
        figures["actor"] = asdict(served)
        if not as_json:
            show_figures(f"the actor with {served.clients} clients", figures["actor"])
    if as_json:
        console.print_json(figures)


def _embedded_ways(prompts: int, device: str, token_budget: int | None) -> AdvisorSpeed:
    from rayapp.lab.bench import advisor as measured

    with console.Reporter("Asking", "steps") as reporter:
        return measured.measure_embedded(prompts, device, reporter, token_budget)


def _phi_ways(layers: int | None, tokens: int | None, prompts: int, device: str) -> AdvisorSpeed:
    from rayapp.lab.bench import phi

    with console.Reporter("Asking", "steps") as reporter:
        depth, tokens = layers or phi.LAYERS, tokens or phi.TOKENS_PER_PROMPT
        return phi.measure_phi(depth, prompts, tokens, device, reporter)


def _actor(
    paper: bool,
    layers: int | None,
    tokens: int | None,
    prompts: int,
    device: str,
    address: str | None,
) -> ActorSpeed:
    from llm_actor.selection import AdvisorSpec
    from rayapp.lab.bench import advisor_actor, phi

    spec = AdvisorSpec("embedded", device=device)
    with tempfile.TemporaryDirectory() as folder:
        if paper:
            depth, tokens = layers or phi.LAYERS, tokens or phi.TOKENS_PER_PROMPT
            with console.working("Writing random weights"):
                spec = advisor_actor.random_spec(Path(folder), depth, tokens, device)
        session = console.ray_session(address)
        with session, console.Reporter("Asking the actor", "steps") as reporter:
            return advisor_actor.measure_actor(spec, prompts, reporter)


def _show_ways(speed: AdvisorSpeed) -> None:
    import pandas as pd

    from rayapp.lab.tables import terminal_table

    for name, ratio in speed.ratios.items():
        console.out.print(f"{name}: {ratio:,.1f} x", soft_wrap=True)
    ways = pd.DataFrame([asdict(way) for way in speed.ways]).set_index("name")
    ways = ways.rename_axis("way of asking")
    ways.columns = ["prompts", "prompts/s", "peak GiB"]
    formats = {"prompts": ",", "prompts/s": ",.2f", "peak GiB": ",.2f"}
    title = f"{speed.config} on {speed.device} (medians)"
    console.out.print(terminal_table(ways, formats=formats, title=title))
    shown = ("ratios", "ways", "config")
    show_figures(None, {name: value for name, value in asdict(speed).items() if name not in shown})
