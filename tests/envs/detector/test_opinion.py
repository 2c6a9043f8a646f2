"""The second opinion: what it says, how it is kept, and what of it is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from envs.detector import OpinionKind, SecondOpinion, Views
from envs.detector.ensemble import TreeEnsemble
from envs.detector.opinion import BUCKETS, CONFIDENCES, CUTS, best_temperature
from envs.errors import InputError
from envs.flows import Flows

KINDS: tuple[OpinionKind, ...] = ("boosted", "forest")


def few(flows: Flows, classes: int) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Some of the flows' features, and those of the first few classes alone."""
    kept = np.isin(flows.actual, np.unique(flows.actual)[:classes])
    return np.ascontiguousarray(flows.features[kept, :6]), flows.actual[kept]


@pytest.fixture(scope="module", params=KINDS)
def opinion(request: pytest.FixtureRequest, flows: Flows) -> SecondOpinion:
    return SecondOpinion.fit(*few(flows, 3), kind=request.param, seed=0)


@pytest.mark.parametrize("classes", [2, 3])
def test_it_says_what_the_fitted_classifier_says(flows: Flows, classes: int) -> None:
    features, actual = few(flows, classes)
    boosted = HistGradientBoostingClassifier(max_iter=9, random_state=0).fit(features, actual)
    forest = RandomForestClassifier(9, random_state=0).fit(features, actual)

    of_boosted, of_forest = TreeEnsemble.of_boosted(boosted), TreeEnsemble.of_forest(forest)

    unseen = np.random.default_rng(1).normal(2, 5, (500, 6)).astype(np.float32)
    for ensemble, fitted in ((of_boosted, boosted), (of_forest, forest)):
        said = ensemble.probabilities(unseen)
        assert np.allclose(said, fitted.predict_proba(unseen), rtol=0, atol=1e-12)
        assert np.array_equal(ensemble.classes, fitted.classes_)


def test_a_saved_one_says_the_same_to_the_bit(
    opinion: SecondOpinion, flows: Flows, tmp_path: Path
) -> None:
    sure = opinion.calibrated(1.5)
    sure.save(tmp_path / "opinion")
    again = SecondOpinion.load(tmp_path / "opinion", 8)

    features, _ = few(flows, 3)
    assert np.array_equal(again.probabilities(features, 8), sure.probabilities(features, 8))
    assert again.digest() == sure.digest() != opinion.digest()
    assert again.temperature == 1.5


def test_classes_that_it_never_saw_have_no_probability(flows: Flows) -> None:
    features, actual = few(flows, 2)
    known = np.unique(actual)

    for kind in KINDS:
        said = SecondOpinion.fit(features, actual, kind=kind, seed=0).probabilities(features, 8)
        assert np.allclose(said.sum(axis=1), 1.0)
        assert not np.delete(said, known, axis=1).any()


def test_of_one_class_alone_it_says_that_class(flows: Flows, tmp_path: Path) -> None:
    features, actual = few(flows, 1)
    opinion = SecondOpinion.fit(features, actual, kind="boosted", seed=0)
    opinion.save(tmp_path / "opinion")

    views = SecondOpinion.load(tmp_path / "opinion", 8).views(features)

    assert (views.opinion == actual[0]).all()
    assert (views.bucket == BUCKETS - 1).all()


def test_other_features_are_refused(opinion: SecondOpinion) -> None:
    with pytest.raises(InputError, match=r"flows have 5 features\. Expected 6"):
        opinion.views(np.zeros((1, 5), np.float32))


def test_buckets_begin_at_their_cuts() -> None:
    sure = np.array([0.5, *CUTS, 1.0])
    views = Views.of(np.stack([1 - sure, sure], axis=1))

    assert views.opinion.tolist() == [0, 1, 1, 1, 1, 1]
    assert views.bucket.tolist() == [0, 1, 2, 3, 4, 4]
    # What stands for a bucket lies in it.
    assert np.searchsorted(CUTS, CONFIDENCES, side="right").tolist() == list(range(BUCKETS))


@pytest.mark.parametrize("heat", [0.5, 2.0])
def test_the_temperature_makes_up_for_too_much_or_too_little_confidence(heat: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4000, 3))
    truth = np.exp(logits)
    truth /= truth.sum(axis=1, keepdims=True)
    actual = (rng.random((4000, 1)) > truth.cumsum(axis=1)).sum(axis=1).astype(np.int8)
    claimed = np.exp(logits * heat)
    claimed /= claimed.sum(axis=1, keepdims=True)

    assert best_temperature(claimed, actual) == pytest.approx(heat, rel=0.1)


def _put(name: str, place: int, value: float) -> Callable[[dict[str, NDArray[Any]]], None]:
    def change(arrays: dict[str, NDArray[Any]]) -> None:
        arrays[name].reshape(-1)[place] = value

    return change


def _drop(name: str) -> Callable[[dict[str, NDArray[Any]]], None]:
    def change(arrays: dict[str, NDArray[Any]]) -> None:
        del arrays[name]

    return change


def _add(arrays: dict[str, NDArray[Any]]) -> None:
    arrays["more"] = np.zeros(1)


def _narrow(arrays: dict[str, NDArray[Any]]) -> None:
    arrays["threshold"] = arrays["threshold"].astype(np.float32)


def _short(arrays: dict[str, NDArray[Any]]) -> None:
    arrays["feature"] = arrays["feature"][:-1]


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(_put("children_left", 0, 10**9), id="child outside"),
        pytest.param(_put("children_left", 0, 0), id="circle"),
        pytest.param(_put("children_right", 0, -1), id="one child"),
        pytest.param(_put("feature", 0, 6), id="no such feature"),
        pytest.param(_put("feature", 0, -3), id="feature below 0"),
        pytest.param(_put("threshold", 0, np.nan), id="no threshold"),
        pytest.param(_put("value", -1, np.inf), id="infinite value"),
        pytest.param(_put("sizes", 0, 10**12), id="sizes"),
        pytest.param(_put("sizes", 0, 0), id="empty tree"),
        pytest.param(_put("column", 0, 3), id="no such class"),
        pytest.param(_put("baseline", 0, np.nan), id="no baseline"),
        pytest.param(_put("classes", 0, 120), id="classes out of order"),
        pytest.param(_put("classes", -1, 120), id="class outside of the catalogue"),
        pytest.param(_put("width", 0, 0), id="no features"),
        pytest.param(_put("temperature", 0, 0), id="no temperature"),
        pytest.param(_put("temperature", 0, np.nan), id="temperature is no number"),
        pytest.param(_drop("sizes"), id="array missing"),
        pytest.param(_add, id="array more"),
        pytest.param(_narrow, id="other type"),
        pytest.param(_short, id="other length"),
    ],
)
def test_a_file_whose_trees_lead_nowhere_is_refused(
    opinion: SecondOpinion, tmp_path: Path, spoil: Callable[[dict[str, NDArray[Any]]], None]
) -> None:
    path = tmp_path / "opinion"
    opinion.save(path)
    arrays = load_file(path)
    spoil(arrays)
    save_file(arrays, path)

    with pytest.raises(InputError, match="not a readable second opinion"):
        SecondOpinion.load(path, 8)


def test_a_file_that_is_cut_off_or_missing_is_refused(
    opinion: SecondOpinion, tmp_path: Path
) -> None:
    path = tmp_path / "opinion"
    with pytest.raises(InputError, match="no such file"):
        SecondOpinion.load(path, 8)
    opinion.save(path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match="not a readable second opinion"):
        SecondOpinion.load(path, 8)
