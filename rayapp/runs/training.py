"""Trains one run to its end: checkpoints on the way, leaves policy and graph."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from envs import InputError, Scenario
from envs.files import replacing
from rayapp import config
from rayapp.lab.baselines.selection import bandit_trainee
from rayapp.lab.baselines.supervised import SupervisedTrainee
from rayapp.rl.config import KnowledgeConfig
from rayapp.rl.networks import NetworkSpec
from rayapp.rl.summary import IterationSummary
from rayapp.runs.folder import ProgressLine, RunFolder, RunManifest, shared_name
from rayapp.runs.learners import learner_config
from rayapp.runs.mirrors import Mirror
from rayapp.runs.tracking import Tracker, trackers
from rayapp.runs.trainee import Trainee

Listener = Callable[[ProgressLine, int], None]
"""Called after each iteration with its line and the total number of flows."""


def train(folder: RunFolder, on_iteration: Listener | None = None) -> RunManifest:
    """Trains a begun run to its end, from its last checkpoint on.

    Ray must be running, but for systems that do without (:data:`rayapp.config.WITHOUT_RAY`).

    Args:
        folder: of a run that :func:`rayapp.runs.folder.begin` began.
        on_iteration: called after each iteration.

    Returns:
        The manifest of the finished run.

    Raises:
        KeyboardInterrupt: SIGINT or SIGTERM came; a checkpoint was written.
    """
    manifest = folder.manifest()
    # Refuses a copy that is damaged or another scenario's.
    folder.scenario()
    # The networks are so small that a second thread costs more than it brings.
    torch.set_num_threads(1)
    with contextlib.ExitStack() as stack:
        told = trackers(folder, manifest)
        for tracker in told:
            stack.callback(_close, tracker, manifest)
        trainee = build_trainee(manifest, folder)
        stack.callback(trainee.stop)
        _Session(folder, manifest, trainee, told).run(manifest.total, on_iteration)
    if mirror := Mirror.of(folder.path):
        mirror.push()
    return manifest


def _close(tracker: Tracker, manifest: RunManifest) -> None:
    tracker.close(complete=manifest.state == "complete")


def build_trainee(manifest: RunManifest, folder: RunFolder) -> Trainee:
    """The system that a run trains, at its beginning."""
    if manifest.settings.algo == "dl":
        return _supervised(manifest, folder.scenario())
    if manifest.settings.algo in config.BANDITS:
        return bandit_trainee(manifest.settings, folder.scenario())
    algorithm: Trainee = algorithm_config(manifest, folder).build_algo()
    return algorithm


def _supervised(manifest: RunManifest, scenario: Scenario) -> SupervisedTrainee:
    settings, catalogue = manifest.settings, scenario.catalogue
    network = settings.network
    spec = NetworkSpec(
        signatures=len(scenario.signatures),
        classes=len(catalogue.classes),
        actions=len(catalogue.actions),
        augmented=False,
        encoder=network.encoder,
        embedding_dim=network.embedding_dim,
        hidden=network.hidden,
    )
    return SupervisedTrainee(
        scenario.flow_set("train", matching=settings.matching),
        spec,
        scenario.fingerprint,
        epoch_flows=len(scenario.train[0]),
        total=manifest.total,
        batch_flows=settings.supervised.batch_flows,
        learning_rate=settings.supervised.learning_rate,
        prior=config.beta_prior(settings.prior),
        seed=settings.seed,
    )


def algorithm_config(manifest: RunManifest, folder: RunFolder) -> KnowledgeConfig:
    """RLlib's configuration for a run.

    Raises:
        InputError: a file of lessons cannot be read.
    """
    graph = manifest.settings.graph
    # A run that is resumed was taught at its beginning.
    lessons = () if manifest.flows else graph.read_lessons(folder.scenario().catalogue)
    return infused_config(manifest.settings, folder.scenario_folder).knowledge(
        run_name=manifest.name,
        graph_folder=folder.graph_folder,
        shared_graph=shared_name(graph.shared) if graph.shared else None,
        graph_resource=graph.resource,
        lessons=lessons,
    )


def infused_config(settings: config.TrainingSettings, scenario: Path) -> KnowledgeConfig:
    """RLlib's configuration by settings alone: without a run's name, graph and lessons."""
    kl, advice = settings.kl, settings.advice
    algorithm: KnowledgeConfig = (
        learner_config(settings)
        .scenario(
            scenario,
            encoder=settings.network.encoder,
            hidden=settings.network.hidden,
            embedding_dim=settings.network.embedding_dim,
            infuse=settings.algo in config.INFUSED,
            matching=settings.matching,
        )
        .knowledge(
            half_life=settings.graph.half_life,
            total_env_steps=settings.total_flows(0),
            prior=config.beta_prior(settings.prior),
            advisor=advice.spec(),
            advice_wait=advice.wait or advice.advisor == "graph-reader",
            advice_max_age=advice.max_age,
            advisor_need=advice.need(),
            advisor_limits=advice.limits(),
            kl_direction=kl.direction,
            kl_schedule=kl.schedule_of_lambda(),
            reference=kl.reference_of_advice(),
            reference_flows=_reference_flows(settings),
            cloning_steps=settings.cloning.steps if settings.algo == "ppo-kg-pt" else 0,
            class_balance=settings.learning.class_balance,
            class_weight_limit=settings.learning.class_weight_limit,
        )
        .online(
            feedback_delay=settings.online.delay,
            drift=settings.online.drift.drift(),
        )
        .env_runners(num_env_runners=settings.runners)
        .fault_tolerance(restart_failed_env_runners=True)
        .debugging(seed=settings.seed, log_level="ERROR")
    )
    return algorithm


def _reference_flows(settings: config.TrainingSettings) -> int:
    total = settings.total_flows(0)
    if settings.algo == "ppo-kg-pt":
        return min(settings.cloning.flows, total)
    return total if settings.algo == "llm-kg" else 0


class StopRequest:
    """Turns the first SIGINT or SIGTERM into a request to stop between two iterations.

    In the middle of one, weights and graph would be of different ages. A second signal
    interrupts at once; the last checkpoint counts then.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        # Only the main thread may handle signals; elsewhere whoever owns it decides.
        if threading.current_thread() is threading.main_thread():
            self._before = {sign: signal.signal(sign, self._request) for sign in self._SIGNALS}
        return self

    def __exit__(self, *exception: object) -> None:
        for sign, handler in self._before.items():
            signal.signal(sign, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


class _Session:
    """One process's share of a run."""

    def __init__(
        self,
        folder: RunFolder,
        manifest: RunManifest,
        trainee: Trainee,
        told: Sequence[Tracker] = (),
    ) -> None:
        self._folder, self._manifest, self._trainee = folder, manifest, trainee
        self._told = told
        self._mirror = Mirror.of(folder.path)
        if manifest.flows:
            checkpoint = folder.checkpoint(manifest.flows)
            if not checkpoint.is_dir():
                raise InputError(
                    "the checkpoint is missing",
                    where=str(checkpoint),
                    mend="Train the run again from the start, with another --out",
                )
            _restore(trainee, checkpoint)
        folder.rewind_progress(manifest.flows)
        self._begun, self._before = time.perf_counter(), manifest.seconds
        self._saved_at = self._begun

    def run(self, total: int, on_iteration: Listener | None) -> None:
        trainee = self._trainee
        with StopRequest() as stop:
            while trainee.flows < total:
                trainee.train()
                line = self._log(trainee.summary)
                if on_iteration:
                    on_iteration(line, total)
                if stop.requested:
                    self._checkpoint()
                    raise KeyboardInterrupt
                waited = time.perf_counter() - self._saved_at
                if waited > self._manifest.settings.checkpoint_seconds:
                    self._checkpoint()
        self._checkpoint()
        self._finish()

    def _elapsed(self) -> float:
        return self._before + time.perf_counter() - self._begun

    def _log(self, summary: IterationSummary | None) -> ProgressLine:
        if summary is None:
            raise RuntimeError("an iteration ended without a summary")
        line = ProgressLine(
            iteration=self._trainee.training_iteration,
            flows=summary.flows,
            seconds=round(self._elapsed(), 3),
            average_reward=summary.average_reward,
            class_reward=summary.class_reward,
            graph_version=summary.graph_version,
            prompts_asked=summary.prompts_asked,
            advice_age=summary.advice_age,
            fallbacks=summary.fallbacks,
            circuit=summary.circuit,
            learner=summary.results,
        )
        self._folder.append_progress(line)
        for tracker in self._told:
            tracker.log(line)
        return line

    def _checkpoint(self) -> None:
        elapsed, flows = self._elapsed(), self._trainee.flows
        # Never touches the checkpoint that the manifest names: a crash would leave none.
        if flows != self._manifest.flows:
            with replacing(self._folder.checkpoint(flows)) as temporary:
                self._trainee.save_to_path(str(temporary.resolve()))
        # The manifest says which checkpoint counts; it changes in one step.
        self._manifest.flows = flows
        self._manifest.seconds = elapsed
        self._folder.write(self._manifest)
        self._folder.forget_checkpoints(except_for=flows)
        if self._mirror:
            self._mirror.try_push()
        self._saved_at = time.perf_counter()

    def _finish(self) -> None:
        self._trainee.saved_policy().save(self._folder.policy_folder)
        self._manifest.state = "complete"
        self._folder.write(self._manifest)


def _restore(trainee: Trainee, checkpoint: Path) -> None:
    try:
        trainee.restore_from_path(str(checkpoint.resolve()))
    except InputError:
        raise
    except Exception as error:
        # Damaged pickles fail in as many ways as there are bytes.
        raise InputError(
            f"the checkpoint cannot be read ({type(error).__name__})",
            where=str(checkpoint),
            mend="Train the run again from the start, with another --out",
        ) from error
