"""What tests of several algorithms share: counted rows, and small trainings on a real Ray."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from envs import BetaPrior, Counters, InteractionTable, Scenario, Suggestion
from rayapp.rl.algorithm import KnowledgeInfused
from rayapp.rl.config import KnowledgeConfig
from rayapp.rl.counted import counted_rows
from rayapp.rl.memory import Knowledge
from rayapp.rl.reference_term import WEIGHTS

BuildSmall = Callable[..., KnowledgeInfused]


@pytest.fixture
def rows(scenario: Scenario) -> dict[str, np.ndarray]:
    """Counted rows of 500 random interactions on the scenario's signatures."""
    rng = np.random.default_rng(1)
    size = len(scenario.signatures)
    table = InteractionTable.tally(
        rng.integers(0, min(size, 6), 500), rng.integers(0, 4, 500), rng.integers(0, 3, 500)
    )
    counters = Counters(rng.integers(5, 50, size), rng.integers(0, 5, size), BetaPrior())
    suggestion = Suggestion(
        rng.integers(0, 15, size).astype(np.int16), rng.uniform(-5, 5, size).astype(np.float32)
    )
    reference = torch.log_softmax(torch.randn(size, 15), dim=1).numpy()
    knowledge = Knowledge(counters, suggestion, reference, 1, np.zeros(8, int))
    return counted_rows(table, knowledge, scenario.contexts, scenario.catalogue.rewards)


@pytest.fixture
def single_rows(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same experience with one row per flow."""
    counts = np.round(rows[WEIGHTS] * 500 / rows[WEIGHTS].sum()).astype(int)
    repeated = {name: np.repeat(column, counts, axis=0) for name, column in rows.items()}
    return repeated | {WEIGHTS: np.ones(counts.sum(), np.float32)}


@pytest.fixture
def build_small(ray_local: Any, scenario: Scenario) -> Iterator[BuildSmall]:  # noqa: ANN401
    """Builds small algorithms of any kind, and stops them in the end."""
    with contextlib.ExitStack() as stack:

        def build(
            config: KnowledgeConfig,
            *,
            runners: int = 0,
            seed: int = 0,
            infuse: bool = True,
            flows: int = 3_000,
            **training: Any,  # noqa: ANN401
        ) -> KnowledgeInfused:
            config.scenario(scenario.path, infuse=infuse, hidden=(16,), embedding_dim=4)
            config.knowledge(total_env_steps=flows)
            given = {"train_batch_size_per_learner": 600, "num_epochs": 2, **training}
            config.training(**given)
            # Several algorithms share two processors here.
            config.env_runners(num_env_runners=runners, num_cpus_per_env_runner=0.1)
            config.debugging(seed=seed, log_level="ERROR")
            algorithm: KnowledgeInfused = config.build_algo()
            stack.callback(algorithm.stop)
            return algorithm

        yield build


@pytest.fixture
def policy_after() -> Callable[[KnowledgeInfused], np.ndarray]:
    """Trains an algorithm to its end; its policy, float64 [signatures, actions]."""

    def train(algorithm: KnowledgeInfused) -> np.ndarray:
        while algorithm.flows < algorithm.config.total_env_steps:
            algorithm.train()
        return algorithm.saved_policy().probabilities(algorithm.scenario.contexts)

    return train


@pytest.fixture
def class_gap(scenario: Scenario) -> Callable[[np.ndarray], float]:
    """How much less per training flow a policy earns than the best action for what is detected."""

    def gap(policy: np.ndarray) -> float:
        signature, actual = scenario.train
        rewards = scenario.catalogue.rewards
        detected = rewards[scenario.signatures.predicted].argmax(axis=1)
        bound = rewards[actual, detected[signature]].mean()
        return float(bound - rewards[actual, policy.argmax(axis=1)[signature]].mean())

    return gap
