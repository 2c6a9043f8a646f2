"""A sweep: trials through Ray Tune, beside each other; an interrupted one goes on later."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler

from envs import FlowSet, InputError, Scenario
from envs.holdout import hold_out
from llm_actor import actor as advisor_actor
from rayapp.config import TrainingSettings
from rayapp.lab.tuning.outcome import COLUMNS, Tried
from rayapp.lab.tuning.request import Request
from rayapp.lab.tuning.space import Point, Space
from rayapp.lab.tuning.trial import POINT, Task, TuningTrial
from rayapp.rl.sharing import Shared

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

TRIALS = "trials"
"""Ray Tune's folder below the sweep's."""

REPORTS = 16
"""Scores per trial."""

GRACE = 4
"""Reports before a trial can be stopped: a quarter of its training."""

REDUCTION = 2
"""The better half of the trials goes on beyond a quarter, and beyond half of the training."""

Progress = Callable[[int, int, str], None]
"""Called with flows trained on, flows in all if every trial ends, and a note."""


@dataclass(frozen=True)
class Prepared:
    """What trials train on and are scored on.

    Attributes:
        scenario: without the held-out flows, and without the test split.
        held_out: as :func:`envs.holdout.hold_out` gives them.
        distinct: number of different held-out flows.
    """

    scenario: Scenario
    held_out: FlowSet
    distinct: int

    @classmethod
    def of(cls, scenario: Scenario, request: Request) -> Prepared:
        """Parts a scenario's training flows; raises :class:`InputError` where that can't be."""
        remaining, held_out = hold_out(scenario, request.hold_out, request.seed)
        return cls(remaining, held_out, len(remaining.test[1]))


class SparingASHA(ASHAScheduler):
    """ASHA (Li et al. 2020, arXiv 1810.05934) that never stops the settings as given.

    They are what the others are measured against.
    """

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:  # noqa: ANN401
        """Ray's decision, but for the trial that is to be spared."""
        decision: str = super().on_trial_result(controller, trial, result)
        return decision if trial.config[POINT] else self.CONTINUE


_PROGRESS: ContextVar[tuple[str, int, Progress | None]] = ContextVar("progress")
"""What this process reports: by which column, of how many flows, and to whom.

Ray keeps callbacks on disk for resuming, so that they can hold nothing of this process's.
"""


class _Reporter(tune.Callback):
    """Adds up what all trials have reported."""

    def on_trial_result(self, iteration: int, trials: list[Any], *_: Any, **info: object) -> None:  # noqa: ANN401
        """Ray calls it after every report of any trial."""
        column, total, progress = _PROGRESS.get()
        if progress is None:
            return
        results = [trial.last_result or {} for trial in trials]
        # Ray keeps a trial's first result only after this call.
        scores = [result[column] for result in results if column in result]
        best = f"best now {max(scores):.4f}, " if scores else ""
        running = sum(trial.status == "RUNNING" for trial in trials)
        flows = sum(result.get("flows", 0) for result in results)
        progress(flows, total, f"{best}{running} at a time")


def run_trials(
    prepared: Prepared, out: Path, request: Request, progress: Progress | None = None
) -> list[Tried]:
    """Runs or resumes all trials; Ray must be running.

    Raises:
        KeyboardInterrupt: SIGINT or SIGTERM came; the same call goes on.
        InputError: the settings as given could not be trained.
    """
    points = request.points()
    flows = request.number() * request.settings.total_flows(0)
    token = _PROGRESS.set((COLUMNS[request.metric], flows, progress))
    with _language_model(request.settings) as advisors:
        task = _task(prepared, out, request, advisors)
        tuner = _tuner(tune.with_parameters(TuningTrial, task=task), out, request, points)
        # Tune tells of itself on standard output, which is for results, even when told not to.
        with _Interruption() as interruption, contextlib.redirect_stdout(io.StringIO()):
            results = tuner.fit()
    _PROGRESS.reset(token)
    if interruption.came:
        raise KeyboardInterrupt
    # A restored sweep has its trials in another order, which must not decide between equals.
    tried = sorted((_tried(result, request) for result in results), key=lambda one: repr(one.point))
    given = next((one for one in tried if not one.point), None)
    if given is None or given.state == "failed":
        raise InputError(
            f"the settings as given cannot be trained: {given.problem if given else 'no trial'}",
            where=str(out / TRIALS),
            mend="kirl train with the same options says more",
        )
    return tried


def _task(prepared: Prepared, out: Path, request: Request, advisors: tuple[Any, ...]) -> Task:
    matching = request.settings.matching
    flows = ray.put(prepared.scenario.flow_set("train", matching=matching))
    return Task(
        name=out.resolve().name,
        settings=request.settings,
        shared=Shared(prepared.scenario, {matching: flows}, advisors),
        held_out=prepared.held_out,
        reports=REPORTS,
        lessons=request.settings.graph.read_lessons(prepared.scenario.catalogue),
    )


@contextlib.contextmanager
def _language_model(settings: TrainingSettings) -> Iterator[tuple[Any, ...]]:
    """The actors of the language model that all trials ask, while the block lasts."""
    spec = settings.advice.spec()
    if not spec.holds_model:
        yield ()
        return
    advisor = advisor_actor.start(spec, settings.advice.need())
    try:
        yield ((spec, advisor),)
    finally:
        advisor.stop()


def _tuner(
    trainable: Any,  # noqa: ANN401
    out: Path,
    request: Request,
    points: Sequence[Point] | None,
) -> tune.Tuner:
    folder = (out / TRIALS).resolve()
    if tune.Tuner.can_restore(str(folder)):
        return tune.Tuner.restore(str(folder), trainable, resume_errored=True)
    return tune.Tuner(
        trainable,
        param_space={POINT: tune.grid_search(list(points))} if points is not None else {},
        tune_config=tune.TuneConfig(
            metric=COLUMNS[request.metric],
            mode="max",
            num_samples=1 if points is not None else request.trials,
            search_alg=None if points is not None else searcher(request),
            scheduler=_scheduler(request),
            max_concurrent_trials=request.parallel or None,
            reuse_actors=True,
            trial_name_creator=lambda trial: f"trial-{trial.trial_id}",
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name=TRIALS,
            storage_path=str(out.resolve()),
            callbacks=[_Reporter()],
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(
                num_to_keep=1, checkpoint_frequency=GRACE, checkpoint_at_end=True
            ),
            failure_config=tune.FailureConfig(max_failures=1),
        ),
    )


def _scheduler(request: Request) -> FIFOScheduler | SparingASHA:
    if request.full:
        return FIFOScheduler()
    return SparingASHA(max_t=REPORTS, grace_period=GRACE, reduction_factor=REDUCTION)


@dataclass(frozen=True)
class _Proposals:
    """A trial's configuration as optuna proposes it; Ray pickles it, which functions here forbid.

    Attributes:
        space: to search.
    """

    space: Space

    def __call__(self, trial: Any) -> dict[str, Any]:  # noqa: ANN401 (Ray's wrapper of optuna's)
        """The settings as given first, then one value of every range."""
        if trial.number == 0:
            return {POINT: {}}
        return {POINT: {name: one.suggested(name, trial) for name, one in self.space.items()}}


def searcher(request: Request) -> Any:  # noqa: ANN401
    """Optuna's TPE (Bergstra et al. 2011), through Ray Tune; the settings as given come first."""
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # A third of the trials explores before the model is asked.
    sampler = optuna.samplers.TPESampler(
        seed=request.seed, n_startup_trials=max(2, request.trials // 3)
    )
    return OptunaSearch(
        _Proposals(request.ranges()), metric=COLUMNS[request.metric], mode="max", sampler=sampler
    )


def _tried(result: Any, request: Request) -> Tried:  # noqa: ANN401 (Ray's Result)
    point = dict(result.config[POINT])
    metrics = result.metrics or {}
    if result.error is not None or "flows" not in metrics:
        return Tried(point, "failed", problem=str(result.error).strip().splitlines()[-1])
    frame = result.metrics_dataframe
    column = COLUMNS[request.metric]
    # A trial that went on from a checkpoint has told some scores twice.
    history = {} if frame is None else dict(zip(frame["flows"], frame[column], strict=True))
    total = request.settings.total_flows(0)
    return Tried(
        point,
        "complete" if metrics["flows"] >= total else "stopped early",
        int(metrics["flows"]),
        float(metrics["average_reward"]),
        float(metrics["class_mean_reward"]),
        tuple((int(flows), float(score)) for flows, score in sorted(history.items())),
        result.checkpoint.path if result.checkpoint else None,
    )


class _Interruption:
    """Lets Tune save everything at the first SIGINT or SIGTERM, and remembers that one came.

    Tune itself tells nobody. A second signal interrupts at once.
    """

    _OWN = "TUNE_DISABLE_SIGINT_HANDLER"

    def __init__(self) -> None:
        self.came = False
        self._before: dict[signal.Signals, Any] = {}
        self._setting: str | None = None

    def __enter__(self) -> _Interruption:
        if threading.current_thread() is threading.main_thread():
            self._setting = os.environ.get(self._OWN)
            os.environ[self._OWN] = "1"
            self._before = {s: signal.getsignal(s) for s in (signal.SIGUSR1, *_SIGNALS)}
            for one in _SIGNALS:
                signal.signal(one, self._interrupt)
        return self

    def __exit__(self, *exception: object) -> None:
        for one, handler in self._before.items():
            signal.signal(one, handler)
        if self._before:
            del os.environ[self._OWN]
        if self._setting is not None:
            os.environ[self._OWN] = self._setting

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.came:
            raise KeyboardInterrupt
        self.came = True
        # This is how Tune is asked from outside to save and end.
        signal.raise_signal(signal.SIGUSR1)
