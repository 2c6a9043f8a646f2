"""Trains one run: begins or resumes it, checkpoints on the way, leaves policy and graph."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from envs import InputError, Scenario
from envs.files import replacing
from kg_actor import KnowledgeGraph, store
from llm_actor import GraphReader
from rayapp import config
from rayapp.config import TrainingSettings
from rayapp.experiments.runs import ProgressLine, RunFolder, RunManifest
from rayapp.rl.algorithm import IterationSummary, KnowledgePPO, KnowledgePPOConfig
from rayapp.rl.schedules import Schedule


@dataclass(frozen=True)
class TrainingResult:
    """The line that ``kirl train --json`` ends with.

    Attributes:
        episodes: flows trained on, over all sessions of the run.
        seconds: time that took, learning, graph and advice included, start-up excluded.
        env_steps_per_second: their ratio.
        run: the run's folder.
    """

    episodes: int
    seconds: float
    env_steps_per_second: float
    run: str

    def to_json(self) -> dict[str, Any]:
        """JSON-able fields."""
        return asdict(self)


Listener = Callable[[ProgressLine, int], None]
"""Called after each iteration with its line and the total number of episodes."""


def train(
    settings: TrainingSettings,
    scenario_path: Path,
    out: Path,
    *,
    on_start: Callable[[int, int], None] | None = None,
    on_iteration: Listener | None = None,
) -> TrainingResult:
    """Begins a run, or resumes one that was interrupted. Ray must be running.

    Args:
        settings: of the run.
        scenario_path: a prepared scenario.
        out: the run's folder; one with an unfinished run of the same settings and scenario
            is resumed from its last checkpoint, a finished one is left as it is.
        on_start: called with the episodes already done and the total.
        on_iteration: called after each iteration.

    Raises:
        InputError: ``out`` holds something else, or a run of other settings or scenario.
        KeyboardInterrupt: passed on after a checkpoint was written.
    """
    folder = RunFolder(out)
    manifest = _begin(folder, settings, Scenario.load(scenario_path))
    total = manifest.settings.total_episodes(0)
    if on_start:
        on_start(manifest.episodes, total)
    if manifest.state == "complete":
        return _result(manifest, out)
    # The networks are so small that a second thread costs more than it brings.
    torch.set_num_threads(1)
    algorithm = algorithm_config(manifest.settings, folder.scenario_folder, manifest.name)
    session = _Session(folder, manifest, algorithm.build_algo())
    try:
        session.run(total, on_iteration)
    finally:
        session.close()
    return _result(manifest, out)


def algorithm_config(settings: TrainingSettings, scenario: Path, name: str) -> KnowledgePPOConfig:
    """RLlib's configuration for a run's settings (``episodes`` must be set)."""
    ppo, kl = settings.ppo, settings.kl
    algorithm: KnowledgePPOConfig = (
        KnowledgePPOConfig()
        .scenario(
            scenario,
            encoder=settings.network.encoder,
            hidden=settings.network.hidden,
            embedding_dim=settings.network.embedding_dim,
            infuse=settings.algo == "ppo-kg",
        )
        .knowledge(
            run_name=name,
            total_env_steps=settings.total_episodes(0),
            prior=config.beta_prior(settings.prior),
            advisor=GraphReader(settings.advice.temperature),
            kl_direction=kl.direction,
            kl_schedule=Schedule(kl.schedule, kl.start, kl.end, kl.length),
        )
        .env_runners(num_env_runners=settings.runners)
        .fault_tolerance(restart_failed_env_runners=True)
        .training(
            train_batch_size_per_learner=ppo.flows_per_iteration,
            num_epochs=ppo.epochs,
            minibatch_size=ppo.minibatch_rows,
            lr=ppo.learning_rate,
            clip_param=ppo.clip,
            vf_loss_coeff=ppo.value_coefficient,
            vf_clip_param=ppo.value_clip,
            entropy_coeff=ppo.entropy_coefficient,
            grad_clip=ppo.gradient_clip,
        )
        .debugging(seed=settings.seed, log_level="ERROR")
    )
    return algorithm


class _Session:
    """One process's share of a run."""

    def __init__(self, folder: RunFolder, manifest: RunManifest, algorithm: KnowledgePPO) -> None:
        self._folder, self._manifest, self._algorithm = folder, manifest, algorithm
        if manifest.episodes:
            checkpoint = folder.checkpoint(manifest.episodes)
            algorithm.restore_from_path(str(checkpoint.resolve()))
        folder.rewind_progress(manifest.episodes)
        self._begun, self._before = time.perf_counter(), manifest.seconds
        self._saved_at = self._begun

    def run(self, total: int, on_iteration: Listener | None) -> None:
        algorithm = self._algorithm
        try:
            while algorithm.episodes < total:
                algorithm.train()
                line = self._log(algorithm.summary)
                if on_iteration:
                    on_iteration(line, total)
                waited = time.perf_counter() - self._saved_at
                if waited > self._manifest.settings.checkpoint_seconds:
                    self._checkpoint()
        except KeyboardInterrupt:
            self._checkpoint()
            raise
        self._manifest.seconds = self._elapsed()
        self._checkpoint()
        self._finish()

    def close(self) -> None:
        self._algorithm.stop()

    def _elapsed(self) -> float:
        return self._before + time.perf_counter() - self._begun

    def _log(self, summary: IterationSummary | None) -> ProgressLine:
        if summary is None:
            raise RuntimeError("an iteration ended without a summary")
        line = ProgressLine(
            iteration=self._algorithm.training_iteration,
            episodes=summary.episodes,
            seconds=round(self._elapsed(), 3),
            average_reward=summary.average_reward,
            class_reward=summary.class_reward,
            graph_version=summary.graph_version,
            prompts_asked=summary.prompts_asked,
            learner=summary.results,
        )
        self._folder.append_progress(line)
        return line

    def _checkpoint(self) -> None:
        elapsed, episodes = self._elapsed(), self._algorithm.episodes
        with replacing(self._folder.checkpoint(episodes)) as temporary:
            self._algorithm.save_to_path(str(temporary.resolve()))
        # The manifest says which checkpoint counts; it changes in one step.
        self._manifest.episodes = episodes
        self._manifest.seconds = elapsed
        self._folder.write(self._manifest)
        self._folder.forget_checkpoints(except_for=episodes)
        self._saved_at = time.perf_counter()

    def _finish(self) -> None:
        policy = self._algorithm.saved_policy()
        policy.save(self._folder.policy_folder)
        store.save(_graph_of(self._algorithm), self._folder.graph_folder, policy.fingerprint)
        self._manifest.state = "complete"
        self._folder.write(self._manifest)


def _graph_of(algorithm: KnowledgePPO) -> KnowledgeGraph:
    counts, merged = algorithm.graph_snapshot()
    graph = KnowledgeGraph(
        algorithm.scenario.signatures.predicted,
        algorithm.scenario.catalogue,
        algorithm.config.prior,
    )
    graph.restore(counts, merged)
    return graph


def _begin(folder: RunFolder, settings: TrainingSettings, scenario: Scenario) -> RunManifest:
    total = settings.total_episodes(len(scenario.train[0]))
    resolved = settings.model_copy(update={"episodes": total, "passes": None})
    if folder.exists():
        manifest = folder.manifest()
        _check_same(folder, manifest, resolved, scenario)
        return manifest
    if folder.path.exists() and (not folder.path.is_dir() or any(folder.path.iterdir())):
        raise InputError(
            "exists and is not a training run",
            where=str(folder.path),
            expected="a new folder, an empty one or an interrupted run",
            mend="Choose another --out",
        )
    scenario.copy_to(folder.scenario_folder)
    manifest = RunManifest(
        # Unique, so that runs of one name never share a graph on one cluster.
        name=f"{folder.path.resolve().name}-{uuid.uuid4().hex[:8]}",
        settings=resolved,
        fingerprint=scenario.fingerprint,
        kind=scenario.kind,
    )
    folder.write(manifest)
    return manifest


def _check_same(
    folder: RunFolder, manifest: RunManifest, settings: TrainingSettings, scenario: Scenario
) -> None:
    if manifest.fingerprint != scenario.fingerprint:
        raise InputError(
            f"holds a run on scenario {manifest.fingerprint[:12]}",
            where=str(folder.path),
            expected=f"a run on scenario {scenario.fingerprint[:12]}",
            mend="Choose another --out, or resume with the run's own scenario",
        )
    # Runners and checkpoints change speed and safety, never the result.
    free = {"runners", "checkpoint_seconds"}
    before = manifest.settings.model_dump(exclude=free)
    after = settings.model_dump(exclude=free)
    changed = [key for key in before if before[key] != after[key]]
    if changed:
        told = ", ".join(f"{key}: {before[key]} there, {after[key]} now" for key in changed[:3])
        raise InputError(
            f"holds a run with other settings ({told})",
            where=str(folder.path),
            mend="Choose another --out, or resume with the run's own settings",
        )


def _result(manifest: RunManifest, out: Path) -> TrainingResult:
    rate = manifest.episodes / manifest.seconds if manifest.seconds else 0.0
    return TrainingResult(manifest.episodes, round(manifest.seconds, 3), round(rate, 1), str(out))
