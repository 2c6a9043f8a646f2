"""``kirl bench train``: kirl's training beside its peers'."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from envs import InputError, Scenario
from rayapp.commands import console
from rayapp.commands.bench_inputs import check_peers, made_up_scenario
from rayapp.lab.bench.peers.contender import Setting
from rayapp.lab.bench.train import BUDGET, FIRST, Comparison, Rules, Standing, compare

ROWS = 300_000
"""Synthetic flows where no scenario is given."""


def train(
    scenario: Annotated[
        Path | None, typer.Option(help="To train on (default: synthetic flows).")
    ] = None,
    contender: Annotated[
        list[str] | None,
        typer.Option(help=f"Beside {FIRST}, only these; may be repeated (default: all)."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Of which the median counts.")] = Rules.rounds,
    flows: Annotated[int, typer.Option(min=1, help="Of a turn at most.")] = BUDGET,
    seconds: Annotated[
        float, typer.Option(min=0.1, help="Of a turn, for who is not through before.")
    ] = Rules.seconds,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds for who has not got near the bound by then.")
    ] = Rules.patience,
    trial: Annotated[
        float, typer.Option(min=0.1, help="Seconds per setting of who has several.")
    ] = Rules.trial_seconds,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """kirl, stock RLlib, Stable-Baselines3, Vowpal Wabbit and a plain tensor loop, in turn.

    All meet the same flows. All but Vowpal Wabbit (a linear model per action over predicted
    class and signature) see the state of eq. 2, kirl ppo-kg that of eq. 4, and learn with the
    same network by Adam. Its advice comes from the graph reader, without a language model.

    Each turn runs in a process of its own. Trials choose the fastest of each peer's settings,
    and the one that is near the bound soonest.
    """
    names = _names(contender)
    rules = Rules(rounds, flows, seconds, patience, trial)
    with tempfile.TemporaryDirectory() as folder:
        where = scenario or made_up_scenario(Path(folder) / "scenario", ROWS)
        loaded = Scenario.load(where)
        with console.Reporter("Training in turn", "turns") as reporter:
            found = compare(loaded, rules, reporter.show, names)
    if as_json:
        console.print_json(asdict(found))
        return
    _show(found)


def _names(wanted: list[str] | None) -> tuple[str, ...]:
    from rayapp.lab.bench.peers.lap import CONTENDERS

    unknown = set(wanted or ()) - set(CONTENDERS)
    if unknown:
        raise InputError(
            f"no contender called {min(unknown)!r}",
            where="--contender",
            expected=", ".join(CONTENDERS),
        )
    names = tuple(name for name in CONTENDERS if not wanted or name in wanted or name == FIRST)
    check_peers(names, "kirl bench train", ". Or name others with --contender")
    return names


def _show(found: Comparison) -> None:
    for name, ratio in found.ratios.items():
        console.out.print(f"{FIRST} to {name}: {ratio:,.2f} x", soft_wrap=True)
    about = found.provenance
    table = Table(
        title=f"{about.flows:,} flows, {about.signatures:,} signatures, {about.actions} actions, "
        f"{about.processors} processors (medians of {found.rules.rounds})",
        caption="near the bound: 99 % of what acting on the predicted class earns "
        f"({found.bound:.3f}), exploration included",
    )
    table.add_column("contender")
    for name in ("flows/s", f"{BUDGET / 1e6:.1f} M flows", "near the bound", "peak", "start"):
        table.add_column(name, justify="right")
    for one in found.standings:
        table.add_row(one.name, *_cells(one))
    console.out.print(table)
    for one in found.standings:
        told = f"{one.name}: {_told(one.setting)}"
        if one.bound_setting != one.setting:
            told += f"; near the bound soonest: {_told(one.bound_setting)}"
        console.out.print(told, soft_wrap=True)


def _told(setting: Setting) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {value:,}" if isinstance(value, int) else f"{name} {value}"
        for name, value in setting.items()
    )


def _cells(one: Standing) -> tuple[str, ...]:
    near = "not reached" if one.bound_seconds is None else f"{one.bound_seconds:,.1f} s"
    return (
        f"{one.steps_per_second:,.0f}",
        f"{one.budget_seconds:,.1f} s",
        near,
        f"{one.peak_gib:.2f} GiB",
        f"{one.start_seconds:.1f} s",
    )
