from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from sklearn.metrics import precision_recall_fscore_support
from sklearn.tree import DecisionTreeClassifier

from envs.catalogue import Catalogue
from envs.datasets.cicflowmeter import SCHEMA
from envs.detector import TreeDetector, detection_report, report_to_json
from envs.detector.nodes import TreeNodes
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
    detector = TreeDetector(TreeNodes.of(tree))

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
    detector.save(tmp_path / "detector.safetensors")

    loaded = TreeDetector.load(tmp_path / "detector.safetensors")

    assert np.array_equal(loaded.match(unseen), detector.match(unseen))
    assert loaded.digest() == detector.digest()
    assert loaded.signatures(support, SCHEMA).rule == detector.signatures(support, SCHEMA).rule


def test_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file") as caught:
        TreeDetector.load(tmp_path / "detector.safetensors")

    assert caught.value.where == str(tmp_path / "detector.safetensors")


def test_pickle_file_is_refused_and_not_run(tmp_path: Path) -> None:
    path, trace = tmp_path / "detector.safetensors", tmp_path / "trace"
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
    path = tmp_path / "detector.safetensors"
    detector.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])

    with pytest.raises(InputError, match="not a readable detector"):
        TreeDetector.load(path)


def test_other_arrays_are_refused(tmp_path: Path) -> None:
    save_file({"weights": np.zeros(3)}, tmp_path / "detector.safetensors")

    with pytest.raises(InputError, match=r"not a readable detector.*other arrays than a tree's"):
        TreeDetector.load(tmp_path / "detector.safetensors")


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a readable detector"):
        TreeDetector.load(tmp_path)


def test_missing_features_are_refused_rather_than_matched(detector: TreeDetector) -> None:
    for value in (np.nan, np.inf, -np.inf):
        features = np.zeros((2, len(FEATURES)), np.float32)
        features[1, 3] = value
        with pytest.raises(ValueError, match="missing or infinite"):
            detector.match(features)

    assert detector.match(np.zeros((0, len(FEATURES)), np.float32)).shape == (0,)


def test_digest_is_that_of_scikit_learns_tree(tree: DecisionTreeClassifier) -> None:
    inner = tree.tree_
    digest = hashlib.sha256(np.asarray(tree.classes_, np.int64).tobytes())
    for part in (inner.children_left, inner.feature, inner.threshold, inner.value):
        digest.update(np.ascontiguousarray(part).tobytes())

    assert TreeDetector(TreeNodes.of(tree)).digest() == digest.hexdigest()


def test_reading_and_writing_a_detector_imports_neither_scikit_learn_nor_torch(
    detector: TreeDetector, tmp_path: Path
) -> None:
    detector.save(tmp_path / "detector.safetensors")
    code = (
        "import sys; from pathlib import Path; from envs.detector import TreeDetector;"
        f"detector = TreeDetector.load(Path({str(tmp_path / 'detector.safetensors')!r}));"
        f"detector.save(Path({str(tmp_path / 'again')!r})); print(detector.digest());"
        "print(sorted({'sklearn', 'torch', 'ray', 'pandas', 'scipy'} & set(sys.modules)))"
    )

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert said.stdout.split("\n")[:2] == [detector.digest(), "[]"]
    assert (tmp_path / "again").read_bytes() == (tmp_path / "detector.safetensors").read_bytes()


def test_flows_with_another_number_of_features_are_refused(tmp_path: Path) -> None:
    features = np.arange(10, dtype=np.float32).reshape(5, 2)
    detector = TreeDetector.fit(features, np.array([0, 1, 0, 1, 0], np.int8), seed=0)
    detector.save(tmp_path / "detector.safetensors")

    loaded = TreeDetector.load(tmp_path / "detector.safetensors")

    assert np.array_equal(loaded.match(features), detector.match(features))
    with pytest.raises(InputError, match=r"the flows have 3 features\. Expected 2, as the"):
        loaded.match(np.zeros((4, 3), np.float32))


Arrays = dict[str, NDArray[Any]]


def set_at(name: str, number: int, value: float) -> Callable[[Arrays], None]:
    def harm(arrays: Arrays) -> None:
        arrays[name][number] = value

    return harm


def put(name: str, make: Callable[[NDArray[Any]], NDArray[Any]]) -> Callable[[Arrays], None]:
    def harm(arrays: Arrays) -> None:
        arrays[name] = np.ascontiguousarray(make(arrays[name]))

    return harm


def leaf_whose_children_lie_before_the_start(arrays: Arrays) -> None:
    # Compiled code takes -1 alone for 'a leaf'.
    leaf = int(np.flatnonzero(arrays["children_left"] == -1)[0])
    arrays["children_left"][leaf] = arrays["children_right"][leaf] = -7


def half_a_leaf(arrays: Arrays) -> None:
    leaf = int(np.flatnonzero(arrays["children_left"] == -1)[0])
    arrays["children_right"][leaf] = len(arrays["children_left"]) - 1


def child_that_leads_back(arrays: Arrays) -> None:
    arrays["children_right"][np.flatnonzero(arrays["children_left"] != -1)[1]] = 0


def two_parents_of_one_child(arrays: Arrays) -> None:
    arrays["children_right"][0] = arrays["children_left"][0]


def no_node(arrays: Arrays) -> None:
    for name in ("children_left", "children_right", "feature", "threshold", "value"):
        arrays[name] = arrays[name][:0]


def one_array_less(arrays: Arrays) -> None:
    del arrays["threshold"]


@pytest.mark.parametrize(
    "harm",
    [
        set_at("children_left", 0, 10**4),
        set_at("children_right", 0, 10**9),
        set_at("children_right", 0, -7),
        set_at("children_left", 0, 0),
        leaf_whose_children_lie_before_the_start,
        half_a_leaf,
        child_that_leads_back,
        two_parents_of_one_child,
        no_node,
        one_array_less,
        set_at("feature", 0, len(FEATURES)),
        set_at("feature", 0, -3),
        set_at("threshold", 0, np.nan),
        set_at("threshold", 0, np.inf),
        set_at("value", -1, np.nan),
        set_at("width", 0, 0),
        set_at("width", 0, 2**40),
        set_at("classes", 0, -1),
        set_at("classes", -1, 127),
        put("classes", lambda classes: classes[::-1]),
        put("classes", lambda classes: classes[:1]),
        put("classes", lambda classes: np.zeros(0, np.int64)),
        put("value", lambda value: value[:, :1]),
        put("value", lambda value: value[:, :, None]),
        put("threshold", lambda threshold: threshold[:-1]),
        put("threshold", lambda threshold: threshold.astype(np.float32)),
        put("feature", lambda feature: feature.astype(np.int32)),
        put("children_left", lambda left: left.reshape(1, -1)),
        put("width", lambda width: np.zeros((), np.int64)),
    ],
)
def test_hostile_tree_is_refused_before_it_is_walked(
    detector: TreeDetector, tmp_path: Path, harm: Callable[[Arrays], None]
) -> None:
    path = tmp_path / "detector.safetensors"
    detector.save(path)
    arrays = {name: array.copy() for name, array in load_file(path).items()}
    harm(arrays)
    save_file(arrays, path)

    with pytest.raises(InputError, match="not a readable detector"):
        TreeDetector.load(path)


def test_a_header_that_claims_more_than_the_file_holds_is_refused(
    detector: TreeDetector, tmp_path: Path
) -> None:
    path = tmp_path / "detector.safetensors"
    detector.save(path)
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    for entry in header.values():
        entry["shape"][0] = 2**45
    claimed = json.dumps(header).encode()
    path.write_bytes(len(claimed).to_bytes(8, "little") + claimed + content[8 + size :])

    with pytest.raises(InputError, match="not a readable detector"):
        TreeDetector.load(path)


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=60))
def test_report_equals_scikit_learns_to_the_bit(pairs: list[tuple[int, int]]) -> None:
    predicted, actual = np.array(pairs, np.int8).T
    present = np.union1d(predicted, actual)
    precision, recall, f1, support = precision_recall_fscore_support(
        actual, predicted, labels=present, zero_division=0.0
    )

    report = detection_report(predicted, actual, PAPER)

    assert [(row.precision, row.recall, row.f1, row.support) for row in report.values()] == list(
        zip(precision, recall, f1, support, strict=True)
    )
    assert list(report) == [PAPER.class_names[index] for index in present]


def test_report_knows_classes_that_were_only_predicted_or_never() -> None:
    report = report_to_json(
        detection_report(np.array([0, 0], np.int8), np.array([0, 1], np.int8), PAPER)
    )

    assert report == {
        "PortScan": {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "support": 1},
        "DoS": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1},
    }
