"""The closed form against the textbook's matrices, updated flow by flow."""

from __future__ import annotations

import numpy as np
import pytest

from envs import Catalogue, InteractionTable
from rayapp.lab.baselines.ridge import RewardModel

PAPER = Catalogue.named("paper")

PREDICTED = np.array([2, 2, 2, 1, 1, 6], np.int8)
CLASSES, ACTIONS, SIGNATURES = len(PAPER.classes), len(PAPER.actions), len(PREDICTED)


def context(signature: int) -> np.ndarray:
    """x: one-hot of the predicted class, then of the signature."""
    x = np.zeros(CLASSES + SIGNATURES)
    x[PREDICTED[signature]] = x[CLASSES + signature] = 1.0
    return x


@pytest.mark.parametrize("ridge", [0.3, 1.0, 7.0])
def test_counted_updates_equal_linucb_flow_by_flow(ridge: float) -> None:
    rng = np.random.default_rng(3)
    signature = rng.integers(0, SIGNATURES - 1, 400)
    action, actual = rng.integers(0, 4, 400), rng.integers(0, CLASSES, 400)
    model = RewardModel(PREDICTED, PAPER, ridge)
    for part in np.array_split(np.arange(400), 3):
        model.add(InteractionTable.tally(signature[part], action[part], actual[part]))

    size = CLASSES + SIGNATURES
    matrix = np.stack([ridge * np.eye(size)] * ACTIONS)
    earned = np.zeros((ACTIONS, size))
    for s, a, c in zip(signature, action, actual, strict=True):
        x = context(s)
        matrix[a] += np.outer(x, x)
        earned[a] += PAPER.rewards[c, a] * x

    mean, variance = model.posterior()
    for a in range(ACTIONS):
        inverse = np.linalg.inv(matrix[a])
        for s in range(SIGNATURES):
            x = context(s)
            assert mean[s, a] == pytest.approx(x @ inverse @ earned[a], abs=1e-10)
            assert variance[s, a] == pytest.approx(x @ inverse @ x, abs=1e-12)


def test_the_order_and_size_of_updates_change_nothing() -> None:
    rng = np.random.default_rng(4)
    columns = rng.integers(0, SIGNATURES, 90), rng.integers(0, 15, 90), rng.integers(0, 8, 90)
    at_once, singly = RewardModel(PREDICTED, PAPER, 1.0), RewardModel(PREDICTED, PAPER, 1.0)

    at_once.add(InteractionTable.tally(*columns))
    for row in rng.permutation(90):
        singly.add(InteractionTable.tally(*(column[row : row + 1] for column in columns)))

    for one, other in zip(at_once.posterior(), singly.posterior(), strict=True):
        assert np.array_equal(one, other)


def test_a_signature_never_met_inherits_from_its_class() -> None:
    model = RewardModel(PREDICTED, PAPER, 1.0)
    web = PAPER.class_index("Web")
    model.add(InteractionTable.tally([0], [5], [web], [1000]))

    mean = model.mean()

    assert mean[1, 5] == mean[2, 5] < -2.0
    assert np.all(mean[3:] == 0.0)
