"""``kirl reproduce``: the paper's experiments, in its settings and in ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from envs import InputError, Scenario
from envs.files import check_writable, write_json
from rayapp.cluster import job
from rayapp.commands import console
from rayapp.commands.places import SCENARIO, WORK
from rayapp.config import load
from rayapp.lab.reproduction.plan import Label, Request
from rayapp.runs.mirrors import mirrored, shown

if TYPE_CHECKING:
    # Reading results takes torch and Ray, which --help does without.
    from rayapp.lab.reproduction.results import Results


class Settings(StrEnum):
    """Whose settings to train with."""

    paper = "paper"
    kirl = "kirl"
    both = "both"


_LABELS: dict[Settings, tuple[Label, ...]] = {
    Settings.paper: ("paper",),
    Settings.kirl: ("kirl",),
    Settings.both: ("paper", "kirl"),
}


def reproduce(
    scenario: Annotated[
        list[Path],
        typer.Option(
            **SCENARIO,
            help="Scenario to train on; several are taken as splits of the same flows.",
        ),
    ],
    out: Annotated[Path, typer.Option(**WORK, help="Folder of page, figures, tables and runs.")],
    settings: Annotated[Settings, typer.Option(help="Whose settings to train with.")] = (
        Settings.both
    ),
    seeds: Annotated[
        int | None,
        typer.Option(min=1, max=100, help="Trainings per system (default: 5; with --quick 1)."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Short trainings: to see that it works, not to quote.")
    ] = False,
    advisor: Annotated[
        str, typer.Option(metavar="NAME", help="Language model of the knowledge-infused systems.")
    ] = "embedded",
    advice: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="advice.KEY=VALUE",
            help="A setting of the language model, such as advice.model or advice.url; repeatable.",
        ),
    ] = None,
    parallel: Annotated[
        int, typer.Option(min=0, max=1024, help="Trainings at a time; 0 is one per processor.")
    ] = 0,
    address: console.Address = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
) -> None:
    """Reproduce the paper's tables and figures, beside the same with kirl's settings.

    Interrupt it when you like; the same command goes on where it stopped. All nodes of a cluster
    must see the folders under the same paths.
    """
    job.check_kept(out)
    check_writable(out)
    advice = advice or []
    _check_advice(advisor, advice)
    seeds = seeds or (1 if quick else 5)
    scenarios = [Scenario.load(path) for path in scenario]
    if len({one.fingerprint for one in scenarios}) < len(scenarios):
        raise InputError("the same scenario is given twice", expected="different splits")
    with _going_on_later(), mirrored(out):
        results, figures, page = _reproduce(
            scenarios,
            out,
            Request(
                labels=_LABELS[settings],
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
    for label in results.labels:
        console.out.print(_table(results, label))
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
def _going_on_later() -> Iterator[None]:
    """Ends an interrupted command with one message."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        console.err.print("Interrupted; the same command goes on from the last checkpoints.")
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
            results, costs = reproduction.run(scenarios, out, request, reporter.show)
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
        f"{label} {name}": round(system.average.mean, 4)
        for (label, part, name), system in results.systems.items()
        if part != "figure 3"
    }
    return {"out": str(out.resolve()), "quick": quick, "average_reward": rewards}


def _table(results: Results, label: str) -> Table:
    from rayapp.lab.reproduction.results import BOUNDS

    table = Table(title=f"Test reward, {label} settings")
    for column in ("system", "average", "95 %", "class mean", "95 %", "s"):
        table.add_column(column, justify="left" if column == "system" else "right")
    for (its, part, name), system in results.systems.items():
        if its != label or part == "figure 3":
            continue
        average, mean = system.average, system.class_mean
        seconds = sum(trial.seconds for trial in system.trials) / len(system.trials)
        table.add_row(
            name,
            f"{average.mean:.4f}",
            f"{average.low:.4f} to {average.high:.4f}",
            f"{mean.mean:.4f}",
            f"{mean.low:.4f} to {mean.high:.4f}",
            f"{seconds:.1f}",
        )
    for name, which in BOUNDS.items():
        average, mean = results.bound(which)
        table.add_row(f"bound: {name}", f"{average.mean:.4f}", "", f"{mean.mean:.4f}", "", "")
    return table
