"""``kirl tune``: which settings to train with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
import yaml

from envs import InputError, Scenario
from rayapp import config
from rayapp.cluster import job
from rayapp.commands import console
from rayapp.commands.places import LOCAL, SCENARIO
from rayapp.commands.train import FEW_UPDATES
from rayapp.lab.tuning import space
from rayapp.lab.tuning.outcome import Metric
from rayapp.lab.tuning.request import Request, begin
from rayapp.lab.tuning.space import Search, Space

if TYPE_CHECKING:
    # Running a sweep takes torch and Ray, which --help does without.
    from rayapp.lab.tuning.tuning import Outcome


def tune(
    scenario: Annotated[Path, typer.Option(**SCENARIO, help="Scenario written by kirl prepare.")],
    out: Annotated[
        Path, typer.Option(**LOCAL, help="Folder of the sweep; an interrupted one goes on.")
    ],
    trials: Annotated[
        int, typer.Option(min=2, max=10_000, help="Trainings; a grid has as many as points.")
    ] = 12,
    search: Annotated[
        str,
        typer.Option(
            metavar="|".join(get_args(Search)), help="How their settings are chosen (model: TPE)."
        ),
    ] = "model",
    over: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=RANGE",
            help=r"What to search instead: \[a, b] are choices, 0.1..3 an interval, "
            "'0.1..3 log' one by orders of magnitude; may be repeated.",
        ),
    ] = None,
    space_file: Annotated[
        Path | None, typer.Option("--space", help="YAML file of KEY: RANGE, nested or not.")
    ] = None,
    settings_file: Annotated[
        Path | None, typer.Option("--config", help="YAML file of settings that all trials have.")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One such setting; may be repeated."),
    ] = None,
    algo: Annotated[
        str | None, typer.Option(help="What to train, with a KL term (default ppo-kg).")
    ] = None,
    flows: Annotated[
        int | None, typer.Option(help="Flows to train each on (default 4,000,000).")
    ] = None,
    advisor: Annotated[
        str | None, typer.Option(metavar="NAME", help="As for kirl train; all trials share it.")
    ] = None,
    metric: Annotated[
        str,
        typer.Option(metavar="|".join(get_args(Metric)), help="Reward that counts, held out."),
    ] = "average",
    hold_out: Annotated[
        float, typer.Option(help="Share of the training flows to score trials on.")
    ] = 0.25,
    full: Annotated[
        bool, typer.Option("--full", help="Train all to their end; ASHA stops the worse early.")
    ] = False,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Of trainings, points and held-out flows.")
    ] = 0,
    parallel: Annotated[
        int, typer.Option(min=0, max=1024, help="Trials at a time; 0 is one per processor.")
    ] = 0,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to train on; it must share the folders.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
) -> None:
    """Search settings: by default lambda's schedule, the KL term and the learning rate.

    The first trial has the settings as given. Trials are scored on training flows that are set
    apart. What wins by more than chance is written to best.yaml for kirl train --config,
    trained on all training flows, and compared on the test split once.

    Interrupt it when you like; the same command goes on where it stopped.
    """
    job.check_kept(out)
    options = {"algo": algo, "flows": flows, "seed": seed}
    advice = [f"advice.advisor={advisor}"] if advisor else []
    settings = config.load(settings_file, [*(assignments or []), *advice], options)
    if settings.flows is None and settings.passes is None:
        settings = settings.model_copy(update={"flows": 4_000_000})
    loaded = Scenario.load(scenario)
    settings = settings.model_copy(
        update={"flows": settings.total_flows(len(loaded.train[0])), "passes": None}
    )
    request = Request(
        settings,
        _ranges(space_file, over or []),
        _one_of(search, get_args(Search), "--search"),
        trials,
        _one_of(metric, get_args(Metric), "--metric"),
        hold_out,
        full,
        seed,
        parallel,
    )
    begin(out, request, loaded)
    _warn_of_few_updates(settings)
    console.warn_of_template(settings.advice.spec())
    outcome = _run(loaded, out, request, address)
    if as_json:
        console.print_json(outcome.to_json())
        return
    _show(outcome, out)


def _one_of(given: str, known: tuple[str, ...], option: str) -> Any:  # noqa: ANN401
    if given not in known:
        raise InputError(f"{option} is {given!r}", expected=" or ".join(known))
    return given


def _ranges(file: Path | None, over: list[str]) -> Space:
    content = None
    if file:
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            raise InputError(
                f"not readable as YAML ({' '.join(str(error).split())[:200]})",
                where=str(file),
                mend="Check --space",
            ) from error
        if not isinstance(content, dict):
            raise InputError("holds no settings", where=str(file), expected="KEY: RANGE")
    return space.read_space(content, over)


def _warn_of_few_updates(settings: config.TrainingSettings) -> None:
    updates = -(-settings.total_flows(0) // settings.learning.flows_per_iteration)
    if updates < FEW_UPDATES:
        console.err.print(
            f"Warning: trials have only {updates} updates each, too few to tell settings apart. "
            "Give more --flows.",
            soft_wrap=True,
        )


def _run(scenario: Scenario, out: Path, request: Request, address: str | None) -> Outcome:
    try:
        with console.ray_session(address) as dashboard:
            from rayapp.cluster import capacity
            from rayapp.lab.tuning import tuning

            capacity.ensure(1, console.say, capacity.beside_runners(request.settings))
            with (
                console.Reporter(f"Tuning, {request.number()} trials", "flows") as trials,
                console.Reporter("Training on all training flows", "flows") as runs,
            ):
                outcome = tuning.tune(scenario, out, request, trials.show, runs.show)
            console.publish(dashboard, lambda: _summary(outcome, out))
            return outcome
    except KeyboardInterrupt as interrupt:
        console.err.print("Interrupted; the same command goes on where it stopped.")
        raise typer.Exit(130) from interrupt


def _summary(outcome: Outcome, out: Path) -> dict[str, Any]:
    """What a job's metadata tell of a sweep."""
    return {
        "out": str(out.resolve()),
        "trials": len(outcome.tried),
        "best": outcome.best.point,
        "gain": outcome.gain.mean,
        "average_reward": {name: card.score.average_reward for name, card in outcome.test.items()},
    }


def _show(outcome: Outcome, out: Path) -> None:
    from rayapp.lab.tables import terminal_table

    title = f"Reward on held-out training flows ({outcome.kind})"
    table = outcome.table()
    formats = {"average": ".4f", "class mean": ".4f", "flows": ",.0f"}
    searched = table.columns.difference(list(formats))
    floats = table[searched].select_dtypes("float").columns
    formats |= {str(name): ".3g" for name in floats}
    console.out.print(terminal_table(table, formats=formats, title=title))
    gain = outcome.gain
    if outcome.leader.point:
        console.out.print(
            f"The leader gains {gain.mean:+.4f} (standard error {gain.error:.4f}) over the "
            "settings as given"
            + (", and is taken." if gain.beyond_chance else ": no more than chance; those stay."),
            soft_wrap=True,
        )
    else:
        console.out.print("No trial beat the settings as given; they stay.")
    for name, card in outcome.test.items():
        console.out.print(
            f"Test split, {name}: average {card.score.average_reward:.4f}, "
            f"class mean {card.score.class_mean_reward:.4f}"
        )
    console.out.print(
        f"Settings: {out / 'best.yaml'} (kirl train --config). Picture: {out / 'schedules.png'}",
        soft_wrap=True,
    )
