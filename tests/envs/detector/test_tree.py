from __future__ import annotations

import pickle
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import skops.io
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import classification_report
from sklearn.tree import DecisionTreeClassifier

from envs.catalogue import Catalogue
from envs.datasets.cicflowmeter import SCHEMA
from envs.detector import TreeDetector, detection_report, report_to_json
from envs.errors import InputError
from envs.flows import Flows

PAPER = Catalogue.named("paper")
FEATURES = SCHEMA.names


@pytest.fixture(scope="module")
def detector(flows: Flows) -> TreeDetector:
    return TreeDetector.fit(flows.features, flows.actual, seed=0)


@pytest.fixture
def tree(flows: Flows) -> DecisionTreeClassifier:
    return DecisionTreeClassifier(random_state=0).fit(flows.features, flows.actual)


def test_fully_grown_tree_is_right_on_what_it_was_fitted_to(
    detector: TreeDetector, flows: Flows
) -> None:
    signatures = detector.match(flows.features)
    table = detector.signatures(np.bincount(signatures), SCHEMA)

    assert signatures.dtype == np.int32
    assert np.array_equal(table.predicted[signatures], flows.actual)


def test_signature_predicts_what_the_tree_predicts(
    tree: DecisionTreeClassifier, flows: Flows
) -> None:
    rng = np.random.default_rng(1)
    unseen = rng.normal(2, 5, (500, len(FEATURES))).astype(np.float32)
    detector = TreeDetector(tree)

    table = detector.signatures(np.bincount(detector.match(flows.features)), SCHEMA)

    assert np.array_equal(table.predicted[detector.match(unseen)], tree.predict(unseen))


def test_equal_fits_have_equal_digests_and_other_ones_do_not(flows: Flows) -> None:
    first = TreeDetector.fit(flows.features, flows.actual, seed=3)
    again = TreeDetector.fit(flows.features, flows.actual, seed=3)
    fewer = TreeDetector.fit(flows.features[10:], flows.actual[10:], seed=3)

    assert first.digest() == again.digest()
    assert first.digest() != fewer.digest()


def test_a_saved_detector_matches_as_before(
    detector: TreeDetector, flows: Flows, tmp_path: Path
) -> None:
    rng = np.random.default_rng(2)
    unseen = rng.normal(2, 5, (500, len(FEATURES))).astype(np.float32)
    support = np.bincount(detector.match(flows.features))
    detector.save(tmp_path / "detector.skops")

    loaded = TreeDetector.load(tmp_path / "detector.skops")

    assert np.array_equal(loaded.match(unseen), detector.match(unseen))
    assert loaded.digest() == detector.digest()
    assert loaded.signatures(support, SCHEMA).rule == detector.signatures(support, SCHEMA).rule


def test_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file") as caught:
        TreeDetector.load(tmp_path / "detector.skops")

    assert caught.value.where == str(tmp_path / "detector.skops")


def test_pickle_file_is_refused_and_not_run(tmp_path: Path) -> None:
    path, trace = tmp_path / "detector.skops", tmp_path / "trace"
    path.write_bytes(pickle.dumps(_Touch(trace)))

    with pytest.raises(InputError, match="not a readable detector"):
        TreeDetector.load(path)

    assert not trace.exists()


class _Touch:
    """Makes a file when unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return Path.touch, (self.trace,)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_truncated_file_is_refused(detector: TreeDetector, tmp_path: Path, share: float) -> None:
    path = tmp_path / "detector.skops"
    detector.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])

    with pytest.raises(InputError, match="not a readable detector"):
        TreeDetector.load(path)


def test_foreign_types_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "detector.skops"
    skops.io.dump([Fraction(1, 2)], path)

    with pytest.raises(InputError, match=r"no detector needs: fractions\.Fraction"):
        TreeDetector.load(path)


@pytest.mark.parametrize(
    "content",
    [{"a": "dictionary"}, LogisticRegression(), DecisionTreeClassifier()],
    ids=["dict", "other-model", "unfitted"],
)
def test_harmless_types_that_are_no_fitted_tree_are_refused(
    tmp_path: Path, content: object
) -> None:
    path = tmp_path / "detector.skops"
    skops.io.dump(content, path)

    with pytest.raises(InputError, match="not a readable detector"):
        TreeDetector.load(path)


def test_flows_with_another_number_of_features_are_refused(tmp_path: Path) -> None:
    features = np.arange(10, dtype=np.float32).reshape(5, 2)
    detector = TreeDetector.fit(features, np.array([0, 1, 0, 1, 0], np.int8), seed=0)
    detector.save(tmp_path / "detector.skops")

    loaded = TreeDetector.load(tmp_path / "detector.skops")

    assert np.array_equal(loaded.match(features), detector.match(features))
    with pytest.raises(InputError, match=r"the flows have 3 features\. Expected 2, as the"):
        loaded.match(np.zeros((4, 3), np.float32))


def a_leaf(tree: DecisionTreeClassifier) -> int:
    return int(np.flatnonzero(tree.tree_.children_left == -1)[0])


def child_beyond_the_end(tree: DecisionTreeClassifier) -> None:
    tree.tree_.children_left[0] = tree.tree_.node_count


def right_child_beyond_the_end(tree: DecisionTreeClassifier) -> None:
    tree.tree_.children_right[0] = 10**9


def child_before_the_start(tree: DecisionTreeClassifier) -> None:
    tree.tree_.children_right[0] = -7


def leaf_whose_children_lie_before_the_start(tree: DecisionTreeClassifier) -> None:
    # Compiled code takes -1 alone for 'a leaf'.
    tree.tree_.children_left[a_leaf(tree)] = -7
    tree.tree_.children_right[a_leaf(tree)] = -7


def root_that_is_its_own_child(tree: DecisionTreeClassifier) -> None:
    tree.tree_.children_left[0] = 0


def child_that_leads_back(tree: DecisionTreeClassifier) -> None:
    parent = int(np.flatnonzero(tree.tree_.children_left != -1)[1])
    tree.tree_.children_right[parent] = 0


def half_a_leaf(tree: DecisionTreeClassifier) -> None:
    tree.tree_.children_right[a_leaf(tree)] = tree.tree_.node_count - 1


def question_for_a_feature_that_does_not_exist(tree: DecisionTreeClassifier) -> None:
    tree.tree_.feature[0] = len(FEATURES)


def question_for_a_negative_feature(tree: DecisionTreeClassifier) -> None:
    tree.tree_.feature[0] = -3


@pytest.mark.parametrize(
    "harm",
    [
        child_beyond_the_end,
        right_child_beyond_the_end,
        child_before_the_start,
        leaf_whose_children_lie_before_the_start,
        root_that_is_its_own_child,
        child_that_leads_back,
        half_a_leaf,
        question_for_a_feature_that_does_not_exist,
        question_for_a_negative_feature,
    ],
)
def test_hostile_tree_is_refused_before_it_is_walked(
    tree: DecisionTreeClassifier, tmp_path: Path, harm: Callable[[DecisionTreeClassifier], None]
) -> None:
    harm(tree)
    TreeDetector.save(_holding(tree), tmp_path / "detector.skops")

    with pytest.raises(InputError, match="not a readable detector"):
        TreeDetector.load(tmp_path / "detector.skops")


def _holding(tree: DecisionTreeClassifier) -> TreeDetector:
    detector = TreeDetector.__new__(TreeDetector)
    detector._tree = tree
    return detector


def draw(seed: int, count: int) -> NDArray[np.int8]:
    return np.random.default_rng(seed).choice([0, 2, 5], count).astype(np.int8)


def test_report_equals_scikit_learns() -> None:
    predicted, actual = draw(0, 300), draw(1, 300)
    expected = classification_report(actual, predicted, output_dict=True, zero_division=0.0)

    report = detection_report(predicted, actual, PAPER)

    assert list(report) == ["PortScan", "Benign", "FTP-Patator"]
    for index, name in [(0, "PortScan"), (2, "Benign"), (5, "FTP-Patator")]:
        row = expected[str(index)]
        assert report[name].precision == pytest.approx(row["precision"])
        assert report[name].recall == pytest.approx(row["recall"])
        assert report[name].f1 == pytest.approx(row["f1-score"])
        assert report[name].support == row["support"]


def test_report_knows_classes_that_were_only_predicted_or_never() -> None:
    report = report_to_json(
        detection_report(np.array([0, 0], np.int8), np.array([0, 1], np.int8), PAPER)
    )

    assert report == {
        "PortScan": {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "support": 1},
        "DoS": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1},
    }
