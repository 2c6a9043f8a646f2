"""``kirl reproduce``: the paper's experiments, in its settings and in ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from envs import InputError, Scenario
from envs.files import check_writable, write_json
from rayapp.cluster import job
from rayapp.commands import console
from rayapp.commands.places import SCENARIO, WORK
from rayapp.config import load
from rayapp.lab.reproduction.plan import Preset, Request
from rayapp.runs.mirrors import mirrored, shown

if TYPE_CHECKING:
    import pandas as pd

    # Reading results takes torch and Ray, which --help does without.
    from rayapp.lab.reproduction.results import Results


class Settings(StrEnum):
    """Whose settings to train with."""

    paper = "paper"
    kirl = "kirl"
    both = "both"


_PRESETS: dict[Settings, tuple[Preset, ...]] = {
    Settings.paper: ("paper",),
    Settings.kirl: ("kirl",),
    Settings.both: ("paper", "kirl"),
}


def reproduce(
    scenario: Annotated[
        list[Path],
        typer.Option(
            **SCENARIO,
            help="Train on this scenario. Several are taken as splits of the same flows.",
        ),
    ],
    out: Annotated[
        Path, typer.Option(**WORK, help="Write page, figures, tables and runs to this folder.")
    ],
    settings: Annotated[Settings, typer.Option(help="Train with these settings.")] = (
        Settings.both
    ),
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1, max=100, help="Train every system this often (default: 5, with --quick 1)."
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Train shortly, to see that it works. Do not quote the figures."
        ),
    ] = False,
    advisor: Annotated[
        str, typer.Option(metavar="NAME", help="Ask this advisor in knowledge-infused systems.")
    ] = "embedded",
    advice: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="advice.KEY=VALUE",
            help="Change a setting of the advisor, such as advice.model. May be repeated.",
        ),
    ] = None,
    parallel: Annotated[
        int,
        typer.Option(
            min=0, max=1024, help="Run this many trainings at a time; 0 means one per processor."
        ),
    ] = 0,
    address: console.Address = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all figures as one JSON object.")
    ] = False,
) -> None:
    """Reproduce the paper's tables and figures, and the same with kirl's settings.

    You can interrupt it at any time; the same command continues where it stopped. All nodes of a
    cluster must see the folders under the same paths.
    """
    job.check_kept(out)
    check_writable(out)
    advice = advice or []
    _check_advice(advisor, advice)
    seeds = seeds or (1 if quick else 5)
    scenarios = [Scenario.load(path) for path in scenario]
    if len({one.fingerprint for one in scenarios}) < len(scenarios):
        raise InputError("the same scenario is given twice", expected="different splits")
    with _explained_interruption(), mirrored(out):
        results, figures, page = _reproduce(
            scenarios,
            out,
            Request(
                presets=_PRESETS[settings],
                seeds=seeds,
                quick=quick,
                advice=(f"advice.advisor={advisor}", *advice),
                parallel=parallel,
            ),
            address,
        )
    if as_json:
        console.print_json(figures)
        return
    from rayapp.lab.tables import terminal_table

    for preset in results.presets:
        title = f"Test reward, {preset} settings"
        formats = {"average": ".4f", "class mean": ".4f", "s": ".1f"}
        table = terminal_table(_rewards(results, preset), formats=formats, title=title)
        console.out.print(table)
    console.out.print(f"All tables and figures: {shown(out)}/{page.name}", soft_wrap=True)


def _check_advice(advisor: str, assignments: Sequence[str]) -> None:
    """Refuses settings that are none of the language model's, and a model that cannot be asked."""
    for assignment in assignments:
        if not assignment.startswith("advice."):
            raise InputError(
                f"--set {assignment!r} is no setting of the language model",
                expected="advice.KEY=VALUE; all else follows from --settings",
                mend="kirl settings shows them all",
            )
    given = [*assignments, f"advice.advisor={advisor}"]
    load(None, given, {}).advice.spec()


@contextlib.contextmanager
def _explained_interruption() -> Iterator[None]:
    """Ends an interrupted command with one message and exit code 130."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        console.err.print("Interrupted; the same command continues from the last checkpoints.")
        raise typer.Exit(130) from interrupt


def _reproduce(
    scenarios: Sequence[Scenario], out: Path, request: Request, address: str | None
) -> tuple[Results, dict[str, Any], Path]:
    """Trains what is missing; writes and returns the results, also as JSON, and the page."""
    with console.ray_session(address) as dashboard:
        from rayapp.cluster import capacity
        from rayapp.lab.reproduction import reproduction

        capacity.ensure(1, console.say)
        with console.Reporter("Training", "flows") as reporter:
            results, costs = reproduction.reproduce(scenarios, out, request, reporter.show)
        figures = results.to_json() | {"costs": costs.to_json(), "quick": request.quick}
        write_json(out / "results.json", figures)
        console.publish(dashboard, lambda: _summary(results, out, quick=request.quick))
    with console.working("Drawing the page"):
        from rayapp.lab.reproduction.page import write_page

        page = write_page(out, results, costs, quick=request.quick, advice=request.advice[1:])
        return results, figures, page


def _summary(results: Results, out: Path, *, quick: bool) -> dict[str, Any]:
    """What a job's metadata tell of a reproduction."""
    rewards = {
        f"{preset} {name}": round(system.average.mean, 4)
        for (preset, experiment, name), system in results.systems.items()
        if experiment != "figure 3"
    }
    return {"out": str(out.resolve()), "quick": quick, "average_reward": rewards}


def _rewards(results: Results, preset: Preset) -> pd.DataFrame:
    """What every system earned on the test flows, below it the bounds; a row each."""
    import pandas as pd

    from rayapp.lab.reproduction.results import BOUNDS

    rows = {
        name: {
            "average": system.average.mean,
            "class mean": system.class_mean.mean,
            "s": sum(trial.seconds for trial in system.trials) / len(system.trials),
        }
        for (its, experiment, name), system in results.systems.items()
        if its == preset and experiment != "figure 3"
    }
    for name, which in BOUNDS.items():
        average, mean = results.bound(which)
        bound = f"bound: {name.replace('_', ' ')}"
        rows[bound] = {"average": average.mean, "class mean": mean.mean, "s": float("nan")}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("system")
