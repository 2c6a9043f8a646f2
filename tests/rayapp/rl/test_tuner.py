"""The algorithm under plain Ray Tune, as docs/tuning.md shows it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from ray import tune

from envs import Scenario
from rayapp.rl.ppo import KnowledgePPO, KnowledgePPOConfig
from rayapp.rl.schedules import Schedule


@pytest.mark.slow
def test_plain_tune_sweeps_schedules_and_learning_rates(
    ray_local: ModuleType, scenario: Scenario, tmp_path: Path
) -> None:
    space = (
        KnowledgePPOConfig()
        .scenario(scenario.path, hidden=(16,))
        .knowledge(
            total_env_steps=900,
            kl_schedule=tune.grid_search([Schedule("constant", 0.2), Schedule("linear", 1.0, 0.0)]),
        )
        .training(lr=tune.loguniform(1e-3, 1e-2), train_batch_size_per_learner=300)
        .env_runners(num_env_runners=0)
    )

    results = tune.Tuner(
        KnowledgePPO,
        param_space=space,
        tune_config=tune.TuneConfig(metric="env_runners/reward_mean", mode="max"),
        run_config=tune.RunConfig(
            name="sweep",
            storage_path=str(tmp_path),
            stop={"env_runners/num_env_steps_sampled_lifetime": 900},
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=True),
            verbose=0,
        ),
    ).fit()

    assert not results.errors
    assert len(results) == 2
    learnt = [result.metrics["learners"]["default_policy"]["lambda"] for result in results]
    assert sorted(learnt) != [learnt[0]] * 2
    best = results.get_best_result()
    restored = KnowledgePPO.from_checkpoint(best.checkpoint.path)
    try:
        assert restored.flows == 900
        assert restored.graph_state().counts.signature_actual.sum() == 900
    finally:
        restored.stop()
