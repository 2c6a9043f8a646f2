"""``kirl online``: measure how fast systems recover from drifting traffic."""

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
"""Fewest flows before and after a drift, enough iterations to average a level over."""


def online(
    scenario: Annotated[
        Path,
        typer.Option(**SCENARIO, help="Stream the training flows of the scenario in this folder."),
    ],
    out: Annotated[
        Path, typer.Option(**LOCAL, help="Write runs, picture and figures to this folder.")
    ],
    flows: Annotated[int, typer.Option(min=1, help="Stream this many flows.")] = 4_000_000,
    at: Annotated[
        int | None,
        typer.Option(
            min=1, help="Change the traffic after this many flows (default: half of them)."
        ),
    ] = None,
    delay: Annotated[
        int, typer.Option(min=0, help="Decide this many flows before the feedback on a flow comes.")
    ] = 65_536,
    traffic: Annotated[str, typer.Option(help="Change the flows of this class.")] = "DoS",
    becomes: Annotated[str, typer.Option(help="Let them be like this class from then on.")] = (
        "SSH-Patator"
    ),
    signature: Annotated[
        int | None,
        typer.Option(
            min=0, help="Let this signature go stale (default: the busiest attack signature)."
        ),
    ] = None,
    stale: Annotated[
        str | None,
        typer.Option(help="Let it match this class from then on (default: the benign class)."),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Draw all random numbers from this seed.")
    ] = 0,
    address: console.Address = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all figures as one JSON object.")
    ] = False,
) -> None:
    """Measure how fast ppo, ppo-kg and a forgetting ppo-kg recover when traffic changes.

    Feedback on flows comes late. In one experiment an attack class changes and begins to need
    another class's mitigations; in the other a signature begins to match other traffic. The
    systems are not told. You can interrupt it (Ctrl-C); the same command goes on where it
    stopped.
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
        "signature goes stale": Drift(
            middle,
            stale or loaded.catalogue.class_names[loaded.catalogue.benign],
            signature=stale_one,
        ),
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
