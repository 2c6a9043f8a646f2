"""``kirl tune``: search for settings to train with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
import yaml

from envs import InputError, Scenario
from envs.files import open_regular
from rayapp import config
from rayapp.cluster import job
from rayapp.commands import console
from rayapp.commands.places import LOCAL, SCENARIO
from rayapp.commands.train import FEW_UPDATES, updates_of

if TYPE_CHECKING:
    # --help does without the lab, which takes torch and Ray.
    from rayapp.lab.tuning.request import Request
    from rayapp.lab.tuning.space import Space
    from rayapp.lab.tuning.tuning import Outcome


def tune(
    scenario: Annotated[
        Path,
        typer.Option(
            **SCENARIO, help="Train on the scenario in this folder, which kirl prepare wrote."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(**LOCAL, help="Write the sweep to this folder; an interrupted one goes on."),
    ],
    trials: Annotated[
        int,
        typer.Option(
            min=2,
            max=10_000,
            help="Run this many trainings; a grid runs one for each of its points.",
        ),
    ] = 12,
    search: Annotated[
        str,
        typer.Option(
            metavar="grid|random|model",
            help="Choose their settings in this way; model is optuna's TPE.",
        ),
    ] = "model",
    over: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=RANGE",
            help=r"Search this setting instead. \[a, b] lists choices, 0.1..3 gives an interval, "
            "'0.1..3 log' searches it by orders of magnitude; may be repeated.",
        ),
    ] = None,
    space_file: Annotated[
        Path | None,
        typer.Option("--space", help="Read KEY: RANGE from this YAML file, nested or not."),
    ] = None,
    settings_file: Annotated[
        Path | None,
        typer.Option("--config", help="Read settings that all trials have from this YAML file."),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change one such setting; may be repeated."
        ),
    ] = None,
    algo: Annotated[
        str | None,
        typer.Option(help="Train this algorithm, which must have a KL term (default ppo-kg)."),
    ] = None,
    flows: Annotated[
        int | None, typer.Option(help="Train each on this many flows (default 4,000,000).")
    ] = None,
    advisor: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Ask this advisor, as kirl train does; all trials share it."
        ),
    ] = None,
    metric: Annotated[
        str,
        typer.Option(
            metavar="average|class-mean",
            help="Compare trials by this reward on the held-out flows.",
        ),
    ] = "average",
    hold_out: Annotated[
        float, typer.Option(help="Set this share of the training flows apart to score trials on.")
    ] = 0.25,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Train all trials to their end; otherwise ASHA stops the worse ones early.",
        ),
    ] = False,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Draw all random numbers from this seed.")
    ] = 0,
    parallel: Annotated[
        int,
        typer.Option(
            min=0, max=1024, help="Run this many trials at a time; 0 runs one per processor."
        ),
    ] = 0,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Train on the Ray cluster at this address; its nodes must share the folders.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all figures as one JSON object.")
    ] = False,
) -> None:
    """Search for better settings: lambda's schedule, the KL term and the learning rate, or others.

    The first trial has the settings as given. Trials are scored on training flows that are set
    apart. Settings that win by more than chance are written to best.yaml for kirl train --config,
    trained on all training flows, and compared on the test split once.

    You can interrupt a sweep (Ctrl-C); the same command goes on where it stopped.
    """
    from rayapp.lab.tuning.outcome import Metric
    from rayapp.lab.tuning.request import Request, begin
    from rayapp.lab.tuning.space import Search

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
    from rayapp.lab.tuning import space

    content = None
    if file:
        try:
            with open_regular(file) as raw:
                content = yaml.safe_load(raw.read().decode("utf-8"))
        except InputError:
            raise
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
    updates = updates_of(settings)
    if updates is not None and updates < FEW_UPDATES:
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
    """A sweep's figures for a job's metadata."""
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
