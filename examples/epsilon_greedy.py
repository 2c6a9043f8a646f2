"""An algorithm of one's own for ``kirl train --algo``: epsilon-greedy on contexts.

A package adds it by an entry point in its pyproject.toml::

    [project.entry-points."kirl.algorithms"]
    epsilon-greedy = "epsilon_greedy:ENTRY"
"""

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from rayapp.algorithms import Algorithm
from rayapp.lab.baselines.learning import BanditLearning
from rayapp.lab.baselines.ridge import RewardModel
from rayapp.lab.baselines.trainee import BanditTrainee, Decided
from rayapp.rl.stepping import Slice, pick_actions
from rayapp.runs.folder import RunFolder, RunManifest


class Learning(BanditLearning):
    """Epsilon-greedy on the mean reward of every context's actions."""

    epsilon: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Draw the actions of this share of flows from all evenly."""


class EpsilonGreedy:
    """Mostly plays the action that has earned most, and now and then any other."""

    def __init__(self, rewards: RewardModel, epsilon: float) -> None:
        self.rewards, self.epsilon = rewards, epsilon
        self.state, self.set_state = rewards.state, rewards.set_state

    def greedy(self) -> Any:
        return self.rewards.mean().argmax(axis=1)

    def act(self, context: Any, piece: Slice, noise: Any) -> Any:
        chances = np.full(self.rewards.count.shape, self.epsilon / self.rewards.count.shape[1])
        chances[np.arange(len(chances)), self.greedy()] += 1 - self.epsilon
        return pick_actions(chances, context, noise)

    def learn(self, decided: Decided) -> None:
        self.rewards.add(decided.table)


def trainee(manifest: RunManifest, folder: RunFolder) -> BanditTrainee:
    """The trainee of a run at its beginning."""
    own, scenario = Learning.model_validate(manifest.settings.learning), folder.scenario()
    rewards = RewardModel(scenario.contexts.traffic, scenario.catalogue, own.ridge)
    return BanditTrainee.of_run(EpsilonGreedy(rewards, own.epsilon), manifest, scenario)


ENTRY = Algorithm(
    "epsilon-greedy", "Plays the best action but for a few flows.", Learning, trainee=trainee
)
