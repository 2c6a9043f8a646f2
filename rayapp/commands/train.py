"""``kirl train``: a scenario to a trained policy."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any

import typer

from envs import Scenario
from rayapp import config
from rayapp.cluster import job
from rayapp.commands import console
from rayapp.commands.evaluate import scorecard, scorecard_table
from rayapp.commands.places import DISK, SCENARIO, WORK
from rayapp.learning import GradientLearning
from rayapp.runs.folder import RunFolder, RunManifest, TrainingResult, begin
from rayapp.runs.mirrors import Mirror, shown

FEW_UPDATES = 30
"""Below this many updates, trials on real and synthetic flows ended far from the bound."""


def train(
    scenario: Annotated[Path, typer.Option(**SCENARIO, help="Scenario written by kirl prepare.")],
    out: Annotated[
        Path,
        typer.Option(**WORK, help="Folder of the run; an interrupted one is resumed."),
    ],
    algo: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="XX"),
    ] = None,
    settings_file: Annotated[
        Path | None, typer.Option("--config", help="YAML file of settings.")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One of kirl settings; may be repeated."),
    ] = None,
    flows: Annotated[int | None, typer.Option(help="Flows to train on.")] = None,
    passes: Annotated[
        float | None,
        typer.Option(
            help="The same, in passes over the training flows (default 5; dl: supervised.epochs)."
        ),
    ] = None,
    runners: Annotated[
        int | None, typer.Option(help="Remote environment runners; 0 (default) steps in here.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same policy (default 0).")] = None,
    advisor: Annotated[
        str | None,
        typer.Option(
            metavar="graph-reader|embedded|transformers|endpoint",
            help="Who reads the graph, for what asks for advice (default graph-reader).",
        ),
    ] = None,
    graph: Annotated[
        Path | None,
        typer.Option(
            **DISK,
            help="Folder of a knowledge graph to share with other runs (default: own).",
        ),
    ] = None,
    lessons: Annotated[
        list[Path] | None,
        typer.Option(help="Prior experience to teach it first, as kirl graph import takes it."),
    ] = None,
    address: console.Address = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="End with one line of JSON: flows, seconds, rate.")
    ] = False,
) -> None:
    """Train a policy. Interrupt it when you like; the same command goes on where it stopped."""
    options = {
        "algo": algo,
        "flows": flows,
        "passes": passes,
        "runners": runners,
        "seed": seed,
    }
    advice = [f"advice.advisor={advisor}"] if advisor else []
    settings = config.load(settings_file, [*(assignments or []), *advice], options)
    given = {"shared": graph, "lessons": tuple(lessons) if lessons else None}
    update = {name: value for name, value in given.items() if value is not None}
    if update:
        data = settings.model_dump()
        settings = config.parse({**data, "graph": {**data["graph"], **update}}, "settings")
    result = run(settings, scenario, out, address)
    if job.current():
        folder = RunFolder(out)
        table = scorecard_table({settings.algo: scorecard(folder)}, _split(folder.manifest()))
        console.out.print(table)
    if as_json:
        console.print_json(result.to_json())
    else:
        show(settings.algo, result)


def show(algo: str, result: TrainingResult) -> None:
    """Prints what a training took, and what may follow it."""
    console.out.print(
        f"{algo}: {result.flows_trained:,} flows in {result.seconds:.1f} s "
        f"({result.flows_per_second:,.0f} flows/s), written to {result.run}. "
        f"Next: kirl evaluate --run {result.run}",
        soft_wrap=True,
    )


def run(
    settings: config.TrainingSettings, scenario: Path, out: Path, address: str | None = None
) -> TrainingResult:
    """Trains with progress, or goes on with an interrupted training."""
    job.check_kept(out)
    folder = RunFolder(out)
    # Bad input is refused before anything is started.
    manifest = begin(folder, settings, Scenario.load(scenario))
    if manifest.state == "complete" and folder.has_results():
        if mirror := Mirror.of(out):
            mirror.settle()
        console.err.print(f"The run in {shown(out)} is complete already; nothing to do.")
    else:
        _warn_of_few_updates(manifest)
        if settings.algorithm.advised:
            console.warn_of_template(settings.advice.spec())
        manifest = _finish(folder, manifest, address)
    return TrainingResult.of(manifest, out)


def _warn_of_few_updates(manifest: RunManifest) -> None:
    updates = updates_of(manifest.settings)
    if updates is not None and updates < FEW_UPDATES:
        console.err.print(
            f"Warning: {manifest.total:,} flows are only {updates} updates, too few to learn much. "
            "Give more --flows, or --set learning.flows_per_iteration to fewer flows.",
            soft_wrap=True,
        )


def updates_of(settings: config.TrainingSettings) -> int | None:
    """How often the policy is updated, for an algorithm whose iterations are updates."""
    if not isinstance(settings.learning, GradientLearning):
        return None
    return -(-settings.total_flows(0) // settings.learning.flows_per_iteration)


def _split(manifest: RunManifest) -> str:
    return f"test split, {manifest.kind}"


def _finish(folder: RunFolder, manifest: RunManifest, address: str | None) -> RunManifest:
    if manifest.flows:
        console.err.print(f"Resuming after {manifest.flows:,} of {manifest.total:,} flows.")
    # A Ray takes seconds to start, which is more than some of these take to train.
    alone = not manifest.settings.algorithm.keeps_graph and not job.current()
    session = contextlib.nullcontext("") if alone else console.ray_session(address)
    with folder.locked(), session as dashboard:
        try:
            if not alone:
                _check_capacity(manifest)
            finished = _train(folder, manifest.settings.algo)
        except KeyboardInterrupt as interrupt:
            kept = folder.manifest().flows
            console.err.print(
                f"Interrupted; the same command goes on after {kept:,} flows."
                if kept
                else "Interrupted before the first checkpoint; the same command begins again."
            )
            raise typer.Exit(130) from interrupt
        console.publish(dashboard, lambda: job_figures(folder))
        return finished


def _check_capacity(manifest: RunManifest) -> None:
    from rayapp.cluster import capacity

    settings = manifest.settings
    capacity.ensure(settings.runners, console.say, capacity.beside_runners(settings))


def _train(folder: RunFolder, algo: str) -> RunManifest:
    from rayapp.runs import training

    with console.Reporter(f"Training {algo}", "flows") as reporter:
        return training.train(
            folder,
            lambda line, total: reporter.show(
                line.flows, total, f"reward {line.average_reward:.3f}"
            ),
        )


def job_figures(folder: RunFolder) -> dict[str, Any]:
    """What a finished run leaves as job metadata: what it is, and its scorecard."""
    manifest, card = folder.manifest(), scorecard(folder)
    return {
        "name": manifest.name,
        "algo": manifest.settings.algo,
        "kind": manifest.kind,
        **TrainingResult.of(manifest, folder.path.resolve()).to_json(),
        **{name: value for name, value in card.to_json().items() if name != "bounds"},
    }
