"""kirl itself, exactly as ``kirl train`` sets it up: PPO-KG, and plain PPO."""

from __future__ import annotations

from typing import Any

from envs import Scenario
from rayapp import config
from rayapp.bench.peers.contender import LEARNING_RATE, Stretch, Work
from rayapp.commands import console
from rayapp.config import Algo

SETTINGS = ({"flows_per_iteration": 65_536, "epochs": 8},)


class Kirl:
    """A run of kirl; its graph is merged durably, and advice comes from the graph reader.

    Args:
        work: what to train on.
        algo: ``ppo-kg`` or ``ppo``.
    """

    def __init__(self, work: Work, algo: Algo) -> None:
        self._session = console.ray_session()
        self._session.__enter__()
        # RLlib takes seconds to import.
        from rayapp.experiments import training
        from rayapp.experiments.runs import RunFolder, begin

        settings = config.TrainingSettings(
            algo=algo,
            episodes=work.flows,
            ppo=config.PPOSettings(learning_rate=LEARNING_RATE, **dict(work.setting)),
        )
        folder = RunFolder(work.folder / "run")
        manifest = begin(folder, settings, Scenario.load(work.scenario))
        self._trainee: Any = training.build_trainee(manifest, folder)

    def train(self) -> Stretch:
        """One iteration."""
        before = self._trainee.episodes
        self._trainee.train()
        return Stretch(self._trainee.episodes - before, self._trainee.summary.average_reward)

    def stop(self) -> None:
        """Ends run and Ray."""
        self._trainee.stop()
        self._session.__exit__(None, None, None)


def ppo_kg(work: Work) -> Kirl:
    """Graph, advice and KL term on."""
    return Kirl(work, "ppo-kg")


def ppo(work: Work) -> Kirl:
    """Plain PPO on the same code."""
    return Kirl(work, "ppo")
