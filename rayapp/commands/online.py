"""``kirl online``: late feedback and drifting traffic, and how fast systems recover."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.table import Table

from envs import InputError, Scenario
from envs.drift import Drift, busiest_attack_signature
from envs.files import check_writable, write_json
from rayapp.cluster import job
from rayapp.commands import console
from rayapp.commands.places import LOCAL, SCENARIO

if TYPE_CHECKING:
    from rayapp.lab.online import Outcome


LEAST = 100_000
"""Flows on either side of a drift: enough iterations to speak of a level."""


def online(
    scenario: Annotated[
        Path,
        typer.Option(**SCENARIO, help="Scenario whose training flows are the stream."),
    ],
    out: Annotated[Path, typer.Option(**LOCAL, help="Folder of runs, picture and figures.")],
    flows: Annotated[int, typer.Option(min=1, help="Length of the stream.")] = 4_000_000,
    at: Annotated[
        int | None, typer.Option(min=1, help="Flows before the drift (default: half of them).")
    ] = None,
    delay: Annotated[
        int, typer.Option(min=0, help="Flows decided before a flow's feedback comes.")
    ] = 65_536,
    traffic: Annotated[str, typer.Option(help="Class whose nature changes.")] = "DoS",
    becomes: Annotated[str, typer.Option(help="Class that it is like from then on.")] = (
        "SSH-Patator"
    ),
    signature: Annotated[
        int | None,
        typer.Option(min=0, help="Signature that goes stale (default: the busiest attack's)."),
    ] = None,
    stale: Annotated[str, typer.Option(help="Class that it matches from then on.")] = "Benign",
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of everything.")] = 0,
    address: console.Address = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
) -> None:
    """Two drifts on a stream with late feedback: ppo, ppo-kg, and ppo-kg that forgets.

    In one, an attack class changes and another class's mitigations are what it takes; in the
    other, a signature begins to match other traffic. Nobody tells the systems. Interrupt it
    when you like; the same command goes on where it stopped.
    """
    job.check_kept(out)
    check_writable(out)
    loaded = Scenario.load(scenario)
    middle = at or flows // 2
    stale_one = signature
    if stale_one is None:
        stale_one = busiest_attack_signature(loaded.flow_set("train"))
    drifts = {
        "class changes": Drift(middle, becomes, traffic=traffic),
        "signature goes stale": Drift(middle, stale, signature=stale_one),
    }
    for drift in drifts.values():
        _check(loaded, drift, flows)
    with console.ray_session(address) as dashboard:
        from rayapp.cluster import capacity
        from rayapp.lab import online as experiment

        capacity.ensure(1, console.say)
        with console.Reporter("Training", "flows") as reporter:
            outcomes = experiment.compare_systems(
                loaded, out / "runs", drifts, reporter.show, flows=flows, delay=delay, seed=seed
            )
        figures = {name: outcome.to_json() for name, outcome in outcomes.items()}
        console.publish(dashboard, lambda: {"out": str(out.resolve()), "drifts": figures})
    write_json(out / "online.json", figures)
    picture = experiment.draw(out / "online.png", outcomes)
    if as_json:
        console.print_json(figures)
        return
    for name, outcome in outcomes.items():
        console.out.print(_table(name, outcome))
    console.out.print(f"Curves: {picture}", soft_wrap=True)


def _check(scenario: Scenario, drift: Drift, flows: int) -> None:
    met = scenario.flow_set("train")
    if np.array_equal(drift.applied(met).actual, met.actual):
        raise InputError(
            "no training flow changes by this drift",
            where=str(scenario.path),
            expected="a class or signature that occurs, and becomes another",
            mend="kirl online --help lists the options",
        )
    if min(drift.at, flows - drift.at) < LEAST:
        raise InputError(
            f"{drift.at:,} flows before the drift and {flows - drift.at:,} after it",
            expected=f"at least {LEAST:,} on either side",
            mend="Choose other --flows or --at",
        )


def _table(name: str, outcome: Outcome) -> Table:
    table = Table(
        title=f"Drift: {name}",
        caption=f"Best possible on average: {outcome.bounds.before:.4f} before, "
        f"{outcome.bounds.after:.4f} after",
    )
    for column in ("system", "before", "lowest", "end", "flows to 99 % of the best"):
        table.add_column(column, justify="left" if column == "system" else "right")
    for system, one in outcome.systems.items():
        back = "never" if one.flows is None else f"{one.flows:,}"
        table.add_row(system, f"{one.before:.3f}", f"{one.lowest:.3f}", f"{one.end:.3f}", back)
    return table
