"""The paper's DL: the policy network as a classifier of best actions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from envs import BetaPrior, FlowSet, Scenario
from envs.score import evaluate
from rayapp.lab.baselines.supervised import SupervisedTrainee
from rayapp.rl.networks import NetworkSpec


def trainee(flows: FlowSet, epochs: float, seed: int = 0) -> SupervisedTrainee:
    spec = NetworkSpec(len(flows.contexts.predicted), 8, 15, augmented=False, hidden=(16,))
    return SupervisedTrainee(
        flows,
        spec,
        "abc",
        epoch_flows=len(flows),
        total=round(epochs * len(flows)),
        batch_flows=40,
        learning_rate=1e-2,
        prior=BetaPrior(),
        seed=seed,
    )


def test_it_learns_the_best_action_of_what_it_is_shown(scenario: Scenario) -> None:
    flows = scenario.flow_set("train")
    learner = trainee(flows, epochs=60)

    while learner.flows < 60 * len(flows):
        learner.train()

    card = evaluate(learner.saved_policy().actions(flows.contexts), flows)
    assert card.score.average_reward > 0.99 * card.signature_oracle.average_reward
    assert learner.summary is not None
    assert learner.summary.average_reward == card.score.average_reward


def test_a_resumed_training_ends_as_one_that_was_never_stopped(
    scenario: Scenario, tmp_path: Path
) -> None:
    flows = scenario.flow_set("train")
    whole, halted, resumed = (trainee(flows, epochs=4, seed=s) for s in (0, 0, 1))
    for _ in range(4):
        whole.train()
    for _ in range(2):
        halted.train()
    halted.save_to_path(str(tmp_path / "checkpoint"))

    resumed.restore_from_path(str(tmp_path / "checkpoint"))
    for _ in range(2):
        resumed.train()

    one, other = (t.saved_policy().probabilities(flows.contexts) for t in (whole, resumed))
    assert np.array_equal(one, other)
    assert resumed.flows == whole.flows
    assert resumed.training_iteration == 4


def test_the_last_epoch_may_be_a_part_of_one(scenario: Scenario) -> None:
    flows = scenario.flow_set("train")
    learner = trainee(flows, epochs=1.5)

    learner.train()
    learner.train()

    assert learner.flows == len(flows) + len(flows) // 2
