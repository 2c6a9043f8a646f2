"""``kirl train``: a scenario to a trained policy."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any

import typer

from envs import Scenario
from rayapp import config
from rayapp.algorithms import BUILT_IN
from rayapp.cluster import job
from rayapp.commands import console
from rayapp.commands.evaluate import scorecard, scorecard_table
from rayapp.commands.places import DISK, SCENARIO, WORK
from rayapp.learning import GradientLearning
from rayapp.runs.folder import RunFolder, RunManifest, TrainingResult, begin
from rayapp.runs.mirrors import Mirror, shown

FEW_UPDATES = 30
"""Trainings of fewer updates ended far from the best possible reward, on real flows and others."""


def train(
    scenario: Annotated[
        Path,
        typer.Option(
            **SCENARIO, help="Train on the scenario in this folder, which kirl prepare wrote."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            **WORK, help="Write the run to this folder; if it was interrupted there, it goes on."
        ),
    ],
    algo: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"Train this algorithm: {', '.join(BUILT_IN)}, or one that a package adds, such "
            "as dl, linucb and thompson (default ppo-kg). kirl settings describes all of them.",
        ),
    ] = None,
    settings_file: Annotated[
        Path | None, typer.Option("--config", help="Read settings from this YAML file.")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change one setting (kirl settings lists them); may be repeated.",
        ),
    ] = None,
    flows: Annotated[int | None, typer.Option(help="Train on this many flows.")] = None,
    passes: Annotated[
        float | None,
        typer.Option(
            help="Pass this many times over the training flows instead (default 5; dl: 100)."
        ),
    ] = None,
    runners: Annotated[
        int | None, typer.Option(help="Step flows in this many processes (default 0: in this one).")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Draw all random numbers from this seed (default 0).")
    ] = None,
    advisor: Annotated[
        str | None,
        typer.Option(
            metavar="graph-reader|embedded|transformers|endpoint",
            help="Ask this advisor, if the algorithm takes advice (default graph-reader).",
        ),
    ] = None,
    graph: Annotated[
        Path | None,
        typer.Option(
            **DISK,
            help="Share the knowledge graph in this folder with other runs (default: keep one "
            "in the run).",
        ),
    ] = None,
    lessons: Annotated[
        list[Path] | None,
        typer.Option(
            help="Teach the graph this file of prior experience first (kirl graph import describes "
            "it); may be repeated."
        ),
    ] = None,
    address: console.Address = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="End with one line of JSON: flows, seconds and flows per second."
        ),
    ] = False,
) -> None:
    """Train a policy on a scenario.

    You can interrupt a training (Ctrl-C); the same command goes on from its last checkpoint.
    """
    options = {
        "algo": algo,
        "flows": flows,
        "passes": passes,
        "runners": runners,
        "seed": seed,
    }
    advice = [f"advice.advisor={advisor}"] if advisor else []
    settings = config.load(settings_file, [*(assignments or []), *advice], options)
    given = {"shared": graph, "lessons": lessons}
    update = {name: value for name, value in given.items() if value}
    if update:
        data = settings.model_dump(exclude_unset=True)
        graph_settings = {**data.get("graph", {}), **update}
        settings = config.parse({**data, "graph": graph_settings}, "settings")
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
    """Prints what a training took, and the command that evaluates it."""
    console.out.print(
        f"{algo}: {result.flows_trained:,} flows in {result.seconds:.1f} s "
        f"({result.flows_per_second:,.0f} flows/s), written to {result.run}. "
        f"Next: kirl evaluate --run {result.run}",
        soft_wrap=True,
    )


def run(
    settings: config.TrainingSettings, scenario: Path, out: Path, address: str | None = None
) -> TrainingResult:
    """Trains and shows progress; an interrupted training goes on."""
    job.check_kept(out)
    folder = RunFolder(out)
    # Bad input is refused before anything is started.
    manifest = begin(folder, settings, Scenario.load(scenario))
    if manifest.state == "complete" and folder.has_results():
        if mirror := Mirror.of(out):
            mirror.settle()
        console.say(f"The run in {shown(out)} is complete already; nothing to do.")
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
    """The figures of a finished run for a job's metadata: what it is, and its scorecard."""
    manifest, card = folder.manifest(), scorecard(folder)
    return {
        "name": manifest.name,
        "algo": manifest.settings.algo,
        "kind": manifest.kind,
        **TrainingResult.of(manifest, folder.path.resolve()).to_json(),
        **{name: value for name, value in card.to_json().items() if name != "bounds"},
    }
