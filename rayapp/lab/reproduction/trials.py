"""Runs trials through Ray, side by side where there are cores; interrupted ones go on later."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayTaskError

from envs import InputError, Scenario
from llm_actor import actor as advisor_actor
from llm_actor.actor import RemoteAdvisor
from llm_actor.selection import AdvisorSpec
from rayapp.cluster import capacity
from rayapp.lab.reproduction.plan import Trial
from rayapp.rl import sharing
from rayapp.runs.folder import RunFolder, begin
from rayapp.runs.training import train

Progress = Callable[[int, int, str], None]
"""Called with flows trained on, flows in all, and the names of what is being trained."""

Models = tuple[tuple[AdvisorSpec, RemoteAdvisor], ...]
"""Language models that trials share."""

_POLL_SECONDS = 1.0

_STOP_SECONDS = 20.0
"""How long an interrupted reproduction waits for checkpoints."""


@dataclass(frozen=True)
class TrialRun:
    """A trial and the run that it is, begun or finished."""

    trial: Trial
    folder: RunFolder

    def flows(self) -> int:
        """Flows trained on so far, by the last line of its log."""
        if self.folder.manifest().state == "complete":
            return self.folder.manifest().total
        lines = self.folder.progress()
        return lines[-1].flows if lines else 0


def begin_trials(trials: Sequence[Trial], scenario: Scenario, out: Path) -> list[TrialRun]:
    """Begins every trial's run under ``out``, or finds the one begun before.

    Raises:
        InputError: a folder holds something else, or a run of other settings or scenario.
    """
    runs = []
    for trial in trials:
        folder = RunFolder(out / trial.folder)
        try:
            begin(folder, trial.settings, scenario)
        except InputError as error:
            raise InputError(
                f"was begun with other settings or flows: {error.what}",
                where=str(folder.path),
                mend="Give the same options as before, or another --out",
            ) from error
        runs.append(TrialRun(trial, folder))
    return runs


def train_all(
    runs: Sequence[TrialRun], progress: Progress | None = None, parallel: int = 0
) -> None:
    """Trains what is not finished, in processes of their own. Ray must be running.

    Trials ask one language model, which remembers what it answered to any of them: equal records
    are worded equally, whoever gathered them. All nodes of a cluster must see the folders under
    the same paths.

    Args:
        runs: the trials.
        progress: called every second.
        parallel: trials at a time; 0 means as many as Ray has processors, which may become more.
    """
    waiting = [one for one in runs if not _finished(one.folder)]
    total = sum(one.folder.manifest().total for one in runs)
    done = sum(one.folder.manifest().total for one in runs if _finished(one.folder))
    active: dict[Any, TrialRun] = {}
    with _models(waiting) as models, capacity.asking(), _interrupted(active):
        while waiting or active:
            left = len(waiting) + len(active)
            capacity.ask_for(min(parallel or left, left))
            # Ray would begin more by itself: whoever waits for a graph lends out its processor.
            most = parallel or max(1, int(ray.cluster_resources().get("CPU", 1)))
            while waiting and len(active) < most:
                one = waiting.pop(0)
                active[_train.remote(str(one.folder.path.resolve()), models)] = one
            ready, _ = ray.wait(list(active), timeout=_POLL_SECONDS)
            for reference in ready:
                one = active.pop(reference)
                _ended(reference, one)
                done += one.folder.manifest().total
            if progress:
                names = ", ".join(f"{o.trial.preset} {o.trial.name}" for o in active.values())
                progress(done + sum(one.flows() for one in active.values()), total, names)


def _ended(reference: Any, one: TrialRun) -> None:  # noqa: ANN401
    try:
        ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, InputError):
            raise error.cause from None
        # Which of many trainings it was is not in the error.
        error.add_note(f"while {one.trial.preset} {one.trial.name} trained in {one.folder.path}")
        raise


@contextlib.contextmanager
def _models(runs: Sequence[TrialRun]) -> Iterator[Models]:
    """Actors of all language models that trials ask, for as long as they train."""
    asked = [one.trial.settings.advice for one in runs if one.trial.settings.algorithm.advised]
    started: dict[AdvisorSpec, RemoteAdvisor] = {}
    try:
        for advice in asked:
            spec = advice.spec()
            if spec.holds_model and spec not in started:
                started[spec] = advisor_actor.start(spec, advice.need())
        yield tuple(started.items())
    finally:
        for model in started.values():
            model.stop()


@contextlib.contextmanager
def _interrupted(active: Mapping[Any, TrialRun]) -> Iterator[None]:
    """Lets trials that are being trained write a checkpoint, as far as there is time.

    Also when another one fails: what ends the whole is no reason to lose what they learnt.
    """
    try:
        yield
    except BaseException:
        for reference in active:
            # To a training this is Ctrl-C. Its own calls to its graph are to be answered still.
            ray.cancel(reference, recursive=False)
        if active:
            ray.wait(list(active), num_returns=len(active), timeout=_STOP_SECONDS)
        raise


def _finished(folder: RunFolder) -> bool:
    return folder.manifest().state == "complete" and folder.has_results()


# Starting a process takes longer than a short training; a new one now and then bounds what
# trials leave in memory.
@ray.remote(num_cpus=1, max_calls=4)  # type: ignore[untyped-decorator]
def _train(path: str, models: Models) -> float:
    begun = time.perf_counter()
    folder = RunFolder(Path(path))
    shared = sharing.Shared(folder.scenario(), advisors=models)
    with folder.locked(), sharing.offered(shared):
        train(folder)
    return time.perf_counter() - begun
