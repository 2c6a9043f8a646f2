from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from envs.datasets.cicflowmeter import SCHEMA
from envs.detector import TreeDetector
from envs.signatures import BetaPrior, SignatureTable

FEATURES = SCHEMA.names

CONDITION = re.compile(r"(?:(?P<low>\S+) < )?(?P<feature>.+?)(?: <= (?P<high>\S+))?")


def meets(rule: str, features: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which flows meet a rule, by nothing but its text."""
    met = np.ones(len(features), dtype=np.bool_)
    if rule == "any flow":
        return met
    for part in rule.split(" and "):
        found = CONDITION.fullmatch(part)
        assert found, part
        values = features[:, FEATURES.index(found["feature"])].astype(np.float64)
        met &= values > float(found["low"] or "-inf")
        met &= values <= float(found["high"] or "inf")
    return met


def assert_each_flow_meets_its_own_rule_only(
    detector: TreeDetector, table: SignatureTable, features: NDArray[np.float32]
) -> None:
    matched = detector.match(features)
    for signature, rule in enumerate(table.rule):
        assert np.array_equal(meets(rule, features), matched == signature), rule


def fitted(
    features: NDArray[np.float32], actual: NDArray[np.int8]
) -> tuple[TreeDetector, SignatureTable]:
    detector = TreeDetector.fit(features, actual, seed=0)
    return detector, detector.signatures(np.bincount(detector.match(features)), SCHEMA)


@given(st.integers(0, 2**32 - 1), st.integers(1, 120), st.integers(1, 8), st.floats(1e-3, 1e9))
def test_every_flow_meets_the_rule_of_its_own_signature_and_no_other(
    seed: int, flows: int, classes: int, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    features = (rng.normal(size=(2 * flows, len(FEATURES))) * scale).astype(np.float32)
    actual = rng.integers(0, classes, flows).astype(np.int8)

    detector, table = fitted(features[:flows], actual)

    assert_each_flow_meets_its_own_rule_only(detector, table, features)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 7, 10, 1000]))
def test_rules_hold_for_flows_that_lie_exactly_on_a_threshold(seed: int, divisor: int) -> None:
    rng = np.random.default_rng(seed)
    features = (rng.integers(0, 5, (80, len(FEATURES))) / divisor).astype(np.float32)
    actual = rng.integers(0, 3, 40).astype(np.int8)

    detector, table = fitted(features[:40], actual)

    assert_each_flow_meets_its_own_rule_only(detector, table, features)


@given(st.integers(0, 2**32 - 1), st.integers(2, 80))
def test_there_is_one_signature_per_leaf_and_support_counts_each_training_flow(
    seed: int, flows: int
) -> None:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(flows, len(FEATURES))).astype(np.float32)
    actual = rng.integers(0, 3, flows).astype(np.int8)

    detector, table = fitted(features, actual)

    assert sorted(set(detector.match(features).tolist())) == list(range(len(table)))
    assert table.support.sum() == flows
    assert len(set(table.rule)) == len(table)


def test_a_rule_names_each_feature_once_and_signatures_go_from_left_to_right() -> None:
    features = np.zeros((4, len(FEATURES)), np.float32)
    features[:, FEATURES.index("Flow Duration")] = [1, 2, 3, 4]
    actual = np.array([2, 0, 1, 1], np.int8)

    _, table = fitted(features, actual)

    assert table.rule == (
        "Flow Duration <= 1.5",
        "1.5 < Flow Duration <= 2.5",
        "2.5 < Flow Duration",
    )
    assert table.predicted.tolist() == [2, 0, 1]
    assert table.predicted.dtype == np.int8
    assert table.support.tolist() == [1, 1, 2]


def test_conditions_on_two_features_are_joined() -> None:
    features = np.zeros((3, len(FEATURES)), np.float32)
    features[:, FEATURES.index("Destination Port")] = [80, 80, 443]
    features[:, FEATURES.index("Flow Duration")] = [10, 20, 10]

    _, table = fitted(features, np.array([0, 1, 2], np.int8))

    assert sorted(rule.count(" and ") for rule in table.rule) == [0, 1, 1]


def test_a_tree_of_one_leaf_matches_any_flow() -> None:
    features = np.zeros((3, len(FEATURES)), np.float32)

    _, table = fitted(features, np.array([4, 4, 4], np.int8))

    assert table.rule == ("any flow",)
    assert table.predicted.tolist() == [4]
    assert len(table) == 1


@pytest.mark.parametrize(
    ("seen", "correct", "expected"), [(0, 0, 1 / 2), (1, 1, 2 / 3), (1, 0, 1 / 3), (8, 5, 6 / 10)]
)
def test_confidence_is_equation_1_with_the_uniform_prior(
    seen: int, correct: int, expected: float
) -> None:
    assert BetaPrior().confidence(seen, correct) == pytest.approx(expected)


def test_confidence_starts_at_the_priors_mean_and_follows_the_evidence() -> None:
    prior = BetaPrior(alpha=9, beta=1)

    confidence = prior.confidence([0, 10, 10**9], [0, 0, 0])

    assert confidence.tolist() == pytest.approx([0.9, 0.45, 0.0], abs=1e-6)
