"""``kirl bench train``: kirl's training beside its peers'."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from envs import InputError, Scenario
from rayapp.commands import console
from rayapp.commands.bench_inputs import (
    RACE_ROWS,
    AsJson,
    ScenarioOrSynthetic,
    check_peers,
    synthetic_scenario,
)
from rayapp.lab.bench.peers.contender import Setting
from rayapp.lab.bench.train import BUDGET, FIRST, Comparison, Rules, compare


def train(
    scenario: ScenarioOrSynthetic = None,
    contender: Annotated[
        list[str] | None,
        typer.Option(help=f"Race {FIRST} against this one only. May be repeated (default: all)."),
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=1, help="Race this often; the median counts.")
    ] = Rules.rounds,
    flows: Annotated[int, typer.Option(min=1, help="End a turn after this many flows.")] = BUDGET,
    seconds: Annotated[
        float, typer.Option(min=0.1, help="End a turn after this many seconds.")
    ] = Rules.seconds,
    patience: Annotated[
        float, typer.Option(min=0, help="Wait for the bound for this many seconds.")
    ] = Rules.patience,
    trial: Annotated[
        float, typer.Option(min=0.1, help="Try each setting of a peer for this many seconds.")
    ] = Rules.trial_seconds,
    as_json: AsJson = False,
) -> None:
    """Race kirl, stock RLlib, Stable-Baselines3, Vowpal Wabbit and a plain tensor loop.

    All meet the same flows. All but Vowpal Wabbit (a linear model per action over predicted
    class and signature) see the state of eq. 2, kirl ppo-kg that of eq. 4, and learn with the
    same network by Adam. Its advice comes from the graph reader, without a language model.

    Each turn runs in a process of its own. Trials choose the fastest of each peer's settings,
    and the one that is near the bound soonest.
    """
    names = _names(contender)
    rules = Rules(rounds, flows, seconds, patience, trial)
    with tempfile.TemporaryDirectory() as folder:
        where = scenario or synthetic_scenario(Path(folder) / "scenario", RACE_ROWS)
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


def _show(race: Comparison) -> None:
    import pandas as pd

    from rayapp.lab.tables import terminal_table

    for name, ratio in race.ratios.items():
        console.out.print(f"{FIRST} to {name}: {ratio:,.2f} x", soft_wrap=True)
    budget = f"{BUDGET / 1e6:.1f} M flows, s"
    standings = pd.DataFrame.from_dict(
        {
            one.name: {
                "flows/s": one.steps_per_second,
                budget: one.budget_seconds,
                "near the bound, s": one.bound_seconds,
                "peak GiB": one.peak_gib,
                "start, s": one.start_seconds,
            }
            for one in race.standings
        },
        orient="index",
    ).rename_axis("contender")
    about = race.provenance
    table = terminal_table(
        standings,
        formats={
            "flows/s": ",.0f",
            budget: ",.1f",
            "near the bound, s": ",.1f",
            "peak GiB": ".2f",
            "start, s": ".1f",
        },
        title=f"{about.flows:,} flows, {about.signatures:,} signatures, {about.actions} actions, "
        f"{about.processors} processors (medians of {race.rules.rounds})",
        caption="near the bound: 99 % of what acting on the predicted class earns "
        f"({race.bound:.3f}), exploration included",
    )
    console.out.print(table)
    for one in race.standings:
        line = f"{one.name}: {_words(one.setting)}"
        if one.bound_setting != one.setting:
            line += f"; near the bound soonest: {_words(one.bound_setting)}"
        console.out.print(line, soft_wrap=True)


def _words(setting: Setting) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {value:,}" if isinstance(value, int) else f"{name} {value}"
        for name, value in setting.items()
    )
