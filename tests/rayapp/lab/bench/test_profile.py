"""RLlib's own loop, the short way and the tensor loop learn the same, iteration by iteration."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from envs import Scenario
from rayapp.lab.bench import profile
from rayapp.lab.bench.peers.contender import Work
from rayapp.lab.bench.peers.lap import settings_of
from rayapp.lab.bench.peers.tensor_loop import TensorLoop
from rayapp.rl.ppo import KnowledgePPOConfig


def test_learning_curves_of_the_fast_and_the_plain_path_coincide(
    ray_local: ModuleType, scenario: Scenario
) -> None:
    told: list[tuple[int, int]] = []

    found = profile.measure_profile(
        scenario.path, 65_536 * 15, lambda done, total: told.append((done, total))
    )

    plain, fast = (np.array(one.rewards) for one in found.values())
    assert len(plain) == len(fast) == 15
    assert fast[-1] > fast[0] + 2
    # A probability's last bit picks another action for a flow in a million.
    assert np.abs(plain - fast).max() < 0.005
    assert told[-1] == (15 * 65_536, 15 * 65_536)
    for one in found.values():
        assert sum(one.parts.values()) == pytest.approx(one.milliseconds)
        assert min(one.parts.values()) > 0


def test_the_tensor_loop_learns_what_kirls_ppo_learns(
    ray_local: ModuleType, scenario: Scenario, tmp_path: Path
) -> None:
    iterations, flows = 15, 65_536 * 15
    loop = TensorLoop(Work(scenario.path, flows, tmp_path, settings_of("tensor loop")[0]))
    algorithm = (
        KnowledgePPOConfig()
        .scenario(scenario.path, infuse=False)
        .knowledge(graph_folder=tmp_path / "graph", total_env_steps=flows)
        .debugging(seed=0, log_level="ERROR")
        .build_algo()
    )
    try:
        # From the same beginning.
        begun = algorithm.learner_group.get_weights()["default_policy"]
        for name, network in {"policy.": loop.policy, "value.": loop.value}.items():
            network.load_state_dict(
                {
                    key.removeprefix(name): torch.as_tensor(value)
                    for key, value in begun.items()
                    if key.startswith(name)
                }
            )
        kirls, loops = [], []
        for _ in range(iterations):
            algorithm.train()
            kirls.append(algorithm.summary.average_reward)
            loops.append(loop.train().reward)
    finally:
        algorithm.stop()

    assert loops[-1] > loops[0] + 2
    # Numbers are added in another order, and Adam makes whole steps of small gradients.
    assert np.abs(np.array(kirls) - loops).max() < 0.02
