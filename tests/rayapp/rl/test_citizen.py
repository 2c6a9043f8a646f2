"""What users of RLlib expect of any algorithm: its module, its evaluation, its learner's hook."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from envs import observe
from envs.score import evaluate
from rayapp.rl.learner import ReferencePPOLearner
from rayapp.rl.ppo import KnowledgePPOConfig
from tests.rayapp.rl.conftest import BuildSmall


@pytest.mark.parametrize("runners", [0, 1])
def test_get_module_returns_the_networks_as_they_are_trained(
    build_small: BuildSmall, runners: int
) -> None:
    algorithm = build_small(KnowledgePPOConfig(), runners=runners)
    algorithm.train()
    policy, contexts = algorithm.saved_policy(), algorithm.scenario.contexts

    module = algorithm.get_module()

    known = algorithm.knowledge
    observed = observe(np.arange(len(contexts)), contexts, known.counters, known.suggestion)
    with torch.no_grad():
        logits = module.forward_inference({"obs": torch.from_numpy(observed)})["action_dist_inputs"]
    assert np.allclose(torch.softmax(logits, -1), policy.probabilities(contexts), atol=1e-6)
    assert algorithm.get_module("another") is None


def test_evaluate_scores_the_test_flows_exactly(build_small: BuildSmall) -> None:
    algorithm = build_small(KnowledgePPOConfig().evaluation(evaluation_interval=1))

    result = algorithm.train()

    flows = algorithm.scenario.flow_set("test")
    card = evaluate(algorithm.saved_policy().actions(flows.contexts), flows).score
    told = result["evaluation"]["env_runners"]
    assert told["episode_return_mean"] == card.average_reward
    assert told["class_mean_reward"] == card.class_mean_reward
    assert algorithm.evaluate()["env_runners"]["reward_per_class"] == card.per_class


def test_evaluation_by_runners_is_refused_in_words(build_small: BuildSmall) -> None:
    config = KnowledgePPOConfig().evaluation(evaluation_num_env_runners=1)

    with pytest.raises(ValueError, match="Evaluation is exact and steps no environment"):
        build_small(config)


class Steadier(ReferencePPOLearner):
    """A user's learner, with a loss of its own."""

    calls = 0

    def compute_loss_for_module(self, **given: Any) -> Any:  # noqa: ANN401
        type(self).calls += 1
        return super().compute_loss_for_module(**given)


def test_a_loss_of_the_users_own_is_asked_for(build_small: BuildSmall) -> None:
    plain = build_small(KnowledgePPOConfig())
    own = build_small(KnowledgePPOConfig(), learner_class=Steadier)

    plain.train()
    own.train()

    # Two passes over the rows of one iteration.
    assert Steadier.calls == 2
    ours, theirs = (a.saved_policy().probabilities(a.scenario.contexts) for a in (own, plain))
    assert np.allclose(ours, theirs, atol=1e-5)
