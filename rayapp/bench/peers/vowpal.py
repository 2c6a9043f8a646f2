"""Vowpal Wabbit's online contextual bandit, as ``kirl train --algo vw`` runs it."""

from __future__ import annotations

from envs import Scenario
from rayapp import config
from rayapp.bench.peers.contender import Stretch, Work
from rayapp.experiments.bandits.selection import bandit_trainee

SETTINGS = ({"flows_per_update": 4_096}, {"flows_per_update": 256})


class Online:
    """A workspace of Vowpal Wabbit, taught flow by flow; no Ray."""

    def __init__(self, work: Work) -> None:
        update = work.setting["flows_per_update"]
        settings = config.TrainingSettings(
            algo="vw",
            episodes=work.flows,
            # Its share of the clock's looks; Vowpal Wabbit itself knows no iterations.
            ppo=config.PPOSettings(flows_per_iteration=max(4_096, update)),
            bandit=config.BanditSettings(flows_per_update=update),
        )
        self._trainee = bandit_trainee(settings, Scenario.load(work.scenario))

    def train(self) -> Stretch:
        """Some thousand flows."""
        before = self._trainee.episodes
        self._trainee.train()
        summary = self._trainee.summary
        assert summary is not None  # noqa: S101 (an iteration leaves one)
        return Stretch(self._trainee.episodes - before, summary.average_reward)

    def stop(self) -> None:
        """Frees the workspace."""
        self._trainee.stop()
