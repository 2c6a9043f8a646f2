"""A run's curves for TensorBoard, MLflow and Weights & Biases.

Every tracker gets the lines of ``progress.jsonl`` as scalars over flows. Where a run goes on from
a checkpoint, its curves do, too.
"""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from tensorboardX import FileWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

from envs import InputError
from rayapp.config import flat
from rayapp.rl.summary import OPEN
from rayapp.runs.folder import ProgressLine, RunFolder, RunManifest

SECONDS_BETWEEN_SENDS = 5.0
"""A tracking server is a network away: lines are sent together, this far apart."""

EXPERIMENT = "kirl"
"""MLflow's experiment that runs are in."""

RUN_TAG = "kirl.run"


class Tracker(Protocol):
    """Takes a run's lines."""

    def log(self, line: ProgressLine) -> None:
        """Takes one iteration."""
        ...

    def close(self, *, complete: bool) -> None:
        """Sends what it still holds, and whether the run is complete or was interrupted."""
        ...


def trackers(folder: RunFolder, manifest: RunManifest) -> list[Tracker]:
    """The trackers that a run's settings name, and TensorBoard.

    Raises:
        InputError: one is not installed, or its server does not answer.
    """
    settings = manifest.settings.tracking
    chosen: list[Tracker] = []
    if settings.mlflow:
        chosen.append(MLflow(settings.mlflow, manifest))
    if settings.wandb:
        chosen.append(WandB(settings.wandb, folder.path, manifest))
    return [*chosen, TensorBoard(folder.path / "tensorboard", manifest)]


def scalars(line: ProgressLine) -> Iterator[tuple[str, float]]:
    """An iteration's figures by name, as all trackers show them."""
    yield "reward/average", line.average_reward
    for name, reward in line.class_reward.items():
        # MLflow takes no other signs in names.
        plain = "".join(c if c.isalnum() or c in "-_. " else "_" for c in name)
        yield f"reward/class/{plain}", reward
    for name, value in line.learner.items():
        yield f"learner/{name}", value
    yield "graph/version", line.graph_version
    yield "advice/prompts_asked", line.prompts_asked
    yield "advice/age", line.advice_age
    if line.circuit is not None:
        yield "advice/fallbacks", line.fallbacks
        yield "advice/circuit_open", OPEN[line.circuit]
    yield "time/seconds", line.seconds


class TensorBoard:
    """Event files below the run.

    tensorboardX writes them: Ray brings it along, while PyTorch's own writer needs all of
    TensorBoard installed.

    Args:
        folder: where the files are written.
        manifest: the run's; lines later than its last checkpoint come again.
    """

    def __init__(self, folder: Path, manifest: RunManifest) -> None:
        done = manifest.flows
        # Files are named after the second; the suffix tells two sessions of one second apart.
        self._writer = FileWriter(str(folder), filename_suffix=f".{done}")
        # A reader drops what it had read from this step on.
        beginning = SessionLog(status=SessionLog.START)
        self._writer.add_event(Event(session_log=beginning), step=done + 1)

    def log(self, line: ProgressLine) -> None:
        """See :class:`Tracker`."""
        # One event for all of a line's figures, which is ten times as fast as one for each.
        values = [Summary.Value(tag=name, simple_value=value) for name, value in scalars(line)]
        self._writer.add_summary(Summary(value=values), line.flows)

    def close(self, *, complete: bool) -> None:
        """See :class:`Tracker`."""
        self._writer.close()


class MLflow:
    """A run of MLflow's with the same name.

    Args:
        uri: address of the tracking server, or ``sqlite:///FILE``.
        manifest: the run's.
    """

    def __init__(self, uri: str, manifest: RunManifest) -> None:
        mlflow = _imported("mlflow")
        self._problem: type[Exception] = mlflow.exceptions.MlflowException
        try:
            self._client = mlflow.MlflowClient(tracking_uri=uri)
            self._run = self._begun(manifest)
        except self._problem as error:
            raise _refused("MLflow", uri, error) from error
        self._metric = mlflow.entities.Metric
        self._held: list[Any] = []
        self._sent_at = time.monotonic()

    def _begun(self, manifest: RunManifest) -> str:
        client = self._client
        experiment = client.get_experiment_by_name(EXPERIMENT)
        number = experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT)
        found = client.search_runs([number], f"tags.`{RUN_TAG}` = '{manifest.name}'")
        if found:
            name: str = found[0].info.run_id
            client.update_run(name, "RUNNING")
            return name
        run = client.create_run(number, run_name=manifest.name, tags={RUN_TAG: manifest.name})
        settings = flat(manifest.settings.model_dump(mode="json", exclude={"tracking"}))
        for key, value in settings.items():
            client.log_param(run.info.run_id, key, value)
        begun: str = run.info.run_id
        return begun

    def log(self, line: ProgressLine) -> None:
        """See :class:`Tracker`."""
        now = time.time_ns() // 1_000_000
        self._held += [self._metric(name, v, now, line.flows) for name, v in scalars(line)]
        if time.monotonic() - self._sent_at > SECONDS_BETWEEN_SENDS:
            self._send()

    def _send(self) -> None:
        self._sent_at = time.monotonic()
        # A server that is away for a while must not end a training; the lines go out later.
        with contextlib.suppress(self._problem):
            # It takes a thousand at a time.
            while self._held:
                self._client.log_batch(self._run, metrics=self._held[:1000])
                del self._held[:1000]

    def close(self, *, complete: bool) -> None:
        """See :class:`Tracker`."""
        self._send()
        with contextlib.suppress(self._problem):
            self._client.set_terminated(self._run, "FINISHED" if complete else "KILLED")


class WandB:
    """A run of Weights & Biases' with the same name; ``WANDB_MODE=offline`` writes files only.

    Args:
        project: project to put it in.
        folder: the run's; Weights & Biases keeps its files there.
        manifest: the run's.
    """

    def __init__(self, project: str, folder: Path, manifest: RunManifest) -> None:
        wandb = _imported("wandb")
        try:
            self._run = wandb.init(
                project=project,
                id=manifest.name,
                name=manifest.name,
                dir=str(folder),
                resume="allow",
                config=flat(manifest.settings.model_dump(mode="json", exclude={"tracking"})),
                settings=wandb.Settings(silent=True),
            )
        except wandb.errors.Error as error:
            raise _refused("Weights & Biases", project, error) from error

    def log(self, line: ProgressLine) -> None:
        """See :class:`Tracker`."""
        self._run.log(dict(scalars(line)), step=line.flows)

    def close(self, *, complete: bool) -> None:
        """See :class:`Tracker`."""
        self._run.finish(exit_code=0 if complete else 1)


def _imported(package: str) -> Any:  # noqa: ANN401
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise InputError(
            f"tracking.{package} is set, and {package} is not installed",
            mend=f"In kirl's folder: pip install -c constraints.txt -e '.[{package}]'",
        ) from error


def _refused(service: str, where: str, error: Exception) -> InputError:
    return InputError(
        f"{service} cannot be used ({' '.join(str(error).split())[:200]})",
        where=where,
        mend="Check the address and your login, or leave the tracking setting out",
    )
