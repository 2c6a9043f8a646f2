"""Training flows matched without the leaves that rest on their own fold alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeClassifier

from envs.datasets.cicflowmeter import SCHEMA
from envs.detector import TreeDetector
from envs.detector.nodes import TreeNodes
from envs.flows import Flows
from envs.honesty import cross_fitted_nodes, dealt


def overlapping(seed: int, rows: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Flows of two classes that a tree can tell apart only by learning them by heart."""
    rng = np.random.default_rng(seed)
    actual = rng.integers(0, 2, rows)
    return rng.normal(actual[:, None], 1.5, (rows, 4)).astype(np.float32), actual


def grown(features: np.ndarray, actual: np.ndarray) -> TreeNodes:
    return TreeNodes.of(DecisionTreeClassifier(random_state=0).fit(features, actual))


def wrong(tree: TreeNodes, nodes: np.ndarray, actual: np.ndarray) -> float:
    predicted = tree.classes[tree.value[nodes].argmax(axis=1)]
    return float(np.mean(predicted != actual))


def test_a_flow_that_a_leaf_was_made_for_falls_into_its_neighbour() -> None:
    features = np.array([[0], [1], [2], [3], [10]], np.float32)
    actual = np.array([0, 0, 0, 0, 1])
    tree = grown(features, actual)

    nodes = cross_fitted_nodes(tree, features, folds=5, seed=0)

    # One flow a fold: the four keep their leaf, the fifth loses the leaf of its own.
    assert len(set(tree.apply(features))) == 2
    assert set(nodes) == {tree.apply(features[:1])[0]}


@given(seed=st.integers(0, 50), folds=st.integers(2, 10))
def test_a_match_rests_on_flows_of_other_folds(seed: int, folds: int) -> None:
    features, actual = overlapping(seed)
    tree = grown(features, actual)
    own = tree.apply(features)
    fold = np.random.default_rng(seed).permutation(len(own)) % folds

    nodes = cross_fitted_nodes(tree, features, folds=folds, seed=seed)

    for flow, node in enumerate(nodes):
        assert tree.children_left[node] == -1
        assert np.any((own == node) & (fold != fold[flow]))
        stays = np.any((own == own[flow]) & (fold != fold[flow]))
        assert (node == own[flow]) == stays


def test_its_error_rate_leans_towards_that_on_unseen_flows() -> None:
    features, actual = overlapping(0, rows=2000)
    unseen, truth = overlapping(1, rows=2000)
    tree = grown(features, actual)

    by_heart = wrong(tree, tree.apply(features), actual)
    honest = wrong(tree, cross_fitted_nodes(tree, features, folds=3, seed=0), actual)
    real = wrong(tree, tree.apply(unseen), truth)

    # Below the real rate all the same: the thresholds above a leaf have seen its flows.
    assert by_heart == 0
    assert real / 5 < honest < real


def test_the_same_seed_deals_the_same_folds() -> None:
    features, actual = overlapping(0)
    tree = grown(features, actual)

    one, again, other = (
        cross_fitted_nodes(tree, features, folds=3, seed=seed) for seed in (0, 0, 1)
    )

    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("folds", [1, 200])
def test_impossible_folds_are_refused(folds: int) -> None:
    features, actual = overlapping(0)

    with pytest.raises(ValueError, match="folds"):
        cross_fitted_nodes(grown(features, actual), features, folds=folds, seed=0)


# With a second opinion, trees are fitted again without each fold.


@given(st.lists(st.integers(0, 3), min_size=4, max_size=60), st.integers(2, 4), st.integers(0, 9))
def test_folds_share_every_class_evenly(classes: list[int], folds: int, seed: int) -> None:
    actual = np.array(classes, np.int8)

    fold = dealt(actual, folds, seed)

    assert np.ptp(np.bincount(fold, minlength=folds)) <= 1
    for number in np.unique(actual):
        assert np.ptp(np.bincount(fold[actual == number], minlength=folds)) <= 1
    assert np.array_equal(fold, dealt(actual, folds, seed))


def test_more_folds_than_flows_are_refused() -> None:
    with pytest.raises(ValueError, match="5 folds for 4 flows"):
        dealt(np.zeros(4, np.int8), 5, 0)


def test_flows_reach_a_leaf_of_the_class_that_they_are_met_as(flows: Flows) -> None:
    detector = TreeDetector.fit(flows.features, flows.actual, seed=0)
    wanted = np.random.default_rng(0).permutation(flows.actual)

    signature = detector.match_as(flows.features, wanted)

    table = detector.signatures(np.bincount(detector.match(flows.features)), SCHEMA)
    assert np.array_equal(table.predicted[signature], wanted)
    # Where it is their own class, it is their own leaf.
    same = wanted == flows.actual
    assert np.array_equal(signature[same], detector.match(flows.features)[same])


def test_flows_met_as_a_class_without_a_leaf_reach_their_own(flows: Flows) -> None:
    detector = TreeDetector.fit(flows.features, flows.actual, seed=0)
    absent = np.full(len(flows), 7, np.int8)

    assert np.array_equal(detector.match_as(flows.features, absent), detector.match(flows.features))
