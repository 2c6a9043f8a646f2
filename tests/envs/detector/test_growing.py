"""Trees grown by counting are those that scikit-learn grows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeClassifier

from envs.detector import binned
from envs.detector.binned import Binned
from envs.detector.growing import grow
from envs.detector.splitting import Splitter


def overlapping(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three classes that six features tell apart only in part; the last feature is constant."""
    rng = np.random.default_rng(seed)
    actual = rng.choice([0, 2, 7], rows, p=[0.7, 0.2, 0.1])
    features = rng.normal(actual[:, None] * [1, 0.5, 0.2, 0, 0, 0], 2.0).astype(np.float32)
    features[:, 5] = 3
    return features, actual.astype(np.int8)


def large_nodes(tree: DecisionTreeClassifier, least: int) -> list[tuple[float, ...]]:
    inner = tree.tree_
    columns = (inner.n_node_samples, inner.feature, inner.threshold, inner.impurity)
    return [
        tuple(float(round(value, 9)) for value in node)
        for node in zip(*columns, strict=True)
        if node[0] >= least
    ]


@pytest.mark.parametrize("pieces", [3, 40, 1_000_000])
def test_the_same_splits_as_scikit_learn(pieces: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binned, "_PIECES", pieces)
    features, actual = overlapping(4_000)

    ours = grow(features, actual, seed=1, counted_from=300)
    theirs = DecisionTreeClassifier(random_state=1).fit(features, actual)

    assert large_nodes(ours, 300) == large_nodes(theirs, 300)
    assert len(large_nodes(ours, 300)) > 20
    assert np.array_equal(ours.predict(features), actual)
    # Below, many splits are equally good, and chance decides.
    unseen, truly = overlapping(4_000, seed=1)
    assert ours.score(unseen, truly) == pytest.approx(theirs.score(unseen, truly), abs=0.02)
    assert ours.get_n_leaves() == pytest.approx(theirs.get_n_leaves(), rel=0.05)


def test_a_tree_grown_by_counting_alone_is_whole() -> None:
    features, actual = overlapping(500)

    tree = grow(features, actual, seed=0, counted_from=2)

    inner = tree.tree_
    parents = np.flatnonzero(inner.children_left >= 0)
    children = np.concatenate([inner.children_left[parents], inner.children_right[parents]])
    assert sorted(children) == list(range(1, inner.node_count))
    for node in parents:
        both = inner.children_left[node], inner.children_right[node]
        assert inner.n_node_samples[node] == sum(inner.n_node_samples[child] for child in both)
    assert tree.get_depth() == DecisionTreeClassifier().fit(features, actual).get_depth()
    assert tree.classes_.tolist() == [0, 2, 7]
    assert np.array_equal(tree.predict(features), actual)


def test_flows_that_are_alike_share_a_leaf_whatever_their_classes() -> None:
    features = np.zeros((6, 2), np.float32)
    actual = np.array([0, 0, 0, 1, 1, 2], np.int8)

    tree = grow(features, actual, seed=0, counted_from=2)

    assert tree.tree_.node_count == 1
    assert tree.predict_proba(features[:1])[0].tolist() == pytest.approx([1 / 2, 1 / 3, 1 / 6])


def test_the_same_seed_grows_the_same_tree() -> None:
    features, actual = overlapping(1_000)
    features = np.hstack([features, features])

    digests = [
        grow(features, actual, seed=seed, counted_from=100).tree_.feature.tolist()
        for seed in (3, 3, 4)
    ]

    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def worth_of(values: np.ndarray, actual: np.ndarray, threshold: float) -> float:
    left, right = actual[values <= threshold], actual[values > threshold]
    return sum(float((np.bincount(side) ** 2).sum() / len(side)) for side in (left, right))


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 2), st.integers(0, 3)),
        min_size=2,
        max_size=80,
    ),
    st.integers(2, 30),
)
def test_no_threshold_is_better_than_the_one_that_is_found(
    flows: list[tuple[int, int, int]], pieces: int
) -> None:
    table = np.array(flows)
    features, actual = table[:, :2].astype(np.float32), table[:, 2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(binned, "_PIECES", pieces)
        splitter = Splitter(features, Binned.of(features, actual, 4))

    split, varying = splitter.best(np.arange(len(flows), dtype=np.int32), range(2))

    assert varying == [i for i in range(2) if len(np.unique(features[:, i])) > 1]
    possible = [
        worth_of(features[:, i], actual, threshold)
        for i in range(2)
        for threshold in np.unique(features[:, i])[:-1]
    ]
    if split is None:
        assert not possible
    else:
        assert split.worth == pytest.approx(max(possible))
        found = worth_of(features[:, split.feature], actual, split.threshold)
        assert found == pytest.approx(split.worth)
