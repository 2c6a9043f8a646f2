"""One trial of a sweep as Ray Tune runs it: a training that is scored on held-out flows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ray import tune

from envs import FlowSet
from envs.score import evaluate
from kg_actor import Lesson
from rayapp.config import TrainingSettings
from rayapp.lab.tuning.space import Point, with_point
from rayapp.rl.saved_policy import Policy
from rayapp.rl.sharing import Shared, offered
from rayapp.runs.training import infused_config

POINT = "point"
"""Where a trial's configuration holds its :data:`Point`."""

POLICY = "policy"
_TRAINEE = "trainee"


@dataclass(frozen=True)
class Task:
    """What all trials of a sweep share.

    Attributes:
        name: of the sweep; graphs' actors are called after it.
        settings: as given, before a trial's own values.
        shared: scenario, flows and language model.
        held_out: flows to score on; no trial trains on them.
        reports: how often a trial is scored.
        lessons: prior experience that every trial's graph is taught first.
    """

    name: str
    settings: TrainingSettings
    shared: Shared
    held_out: FlowSet
    reports: int
    lessons: tuple[Lesson, ...] = ()


class TuningTrial(tune.Trainable):
    """Trains with the settings of one point; a step lasts until the next report."""

    def setup(self, config: dict[str, Any], task: Task) -> None:
        """Builds the algorithm; everything but the point comes out of the object store."""
        # The networks are so small that a second thread costs more than it brings.
        torch.set_num_threads(1)
        self._task = task
        self._build(config[POINT])

    def _build(self, point: Point) -> None:
        # Trials run beside each other; remote runners within one would only wait.
        settings = with_point(self._task.settings, point).model_copy(update={"runners": 0})
        self._total = settings.total_flows(0)
        shared = self._task.shared
        with offered(shared):
            configured = infused_config(settings, shared.scenario.path).knowledge(
                run_name=f"{self._task.name}:{self.trial_id}",
                graph_folder=Path(self.logdir) / f"graph-{self.trial_id}",
                lessons=self._task.lessons,
            )
            self._trainee: Any = configured.build_algo()
        self._reported = 0

    def step(self) -> dict[str, Any]:
        """Trains until the next report is due; returns the scores on the held-out flows."""
        trainee, reports = self._trainee, self._task.reports
        self._reported += 1
        goal = self._total * min(self._reported, reports) // reports
        while trainee.flows < goal:
            trainee.train()
        policy: Policy = trainee.saved_policy()
        held_out = self._task.held_out
        score = evaluate(policy.actions(held_out.contexts), held_out).score
        return {
            "flows": trainee.flows,
            "average_reward": score.average_reward,
            "class_mean_reward": score.class_mean_reward,
            "per_class": score.per_class,
            "done": trainee.flows >= self._total,
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Writes everything to go on from, and the policy by itself, without pickle."""
        folder = Path(checkpoint_dir)
        self._trainee.save_to_path(str((folder / _TRAINEE).absolute()))
        self._trainee.saved_policy().save(folder / POLICY)
        (folder / "reported").write_text(str(self._reported), encoding="utf-8")

    def load_checkpoint(self, checkpoint: dict[str, Any] | str | None) -> None:
        """Goes back to what :meth:`save_checkpoint` wrote."""
        folder = Path(str(checkpoint))
        self._trainee.restore_from_path(str((folder / _TRAINEE).absolute()))
        self._reported = int((folder / "reported").read_text(encoding="utf-8"))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Becomes another trial: that is seconds faster than another process."""
        self._trainee.stop()
        self._build(new_config[POINT])
        return True

    def cleanup(self) -> None:
        """Stops the algorithm and its graph's actor."""
        if hasattr(self, "_trainee"):
            self._trainee.stop()
