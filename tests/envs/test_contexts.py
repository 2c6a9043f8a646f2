"""Contexts: which one a flow is met in, and scenarios that hold them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import BetaPrior, Contexts, Counters, Flows, InputError, Scenario, ThreatMitigationEnv
from envs.contexts import ContextFinder, contexts_of, keys
from envs.detector import SecondOpinion, Views
from envs.detector.opinion import BUCKETS, CONFIDENCES
from envs.files import sha256
from envs.holdout import hold_out
from envs.scenario_files import _manifest_sha256
from envs.state import observation_space, observe

PREDICTED = np.array([0, 1, 1], np.int8)


def one(*told: tuple[int, int, int]) -> tuple[np.ndarray, Views]:
    """Signature, opinion and bucket of flows."""
    signature, opinion, bucket = np.array(told).T
    return signature.astype(np.int32), Views(opinion.astype(np.int8), bucket.astype(np.int8))


def finder(*told: tuple[int, int, int, int]) -> ContextFinder:
    """A finder that knows the told contexts, each with its number of training flows."""
    known = sorted(told)
    met = one(*(each[:3] for each in known))
    return ContextFinder(
        contexts_of(keys(*met), PREDICTED), np.array([each[3] for each in known], np.int64)
    )


@given(
    st.sets(
        st.tuples(st.integers(0, 2), st.integers(0, 7), st.integers(0, BUCKETS - 1)), min_size=1
    )
)
def test_every_known_context_is_its_own(known: set[tuple[int, int, int]]) -> None:
    found = finder(*((*each, 1) for each in known))
    told = sorted(known)

    assert found.find(*one(*told)).tolist() == list(range(len(told)))
    contexts = found.contexts
    assert contexts.opinion is not None
    assert contexts.confidence is not None
    assert [
        (s, o, CONFIDENCES.index(pytest.approx(c)))
        for s, o, c in zip(contexts.signature, contexts.opinion, contexts.confidence, strict=True)
    ] == told


@pytest.mark.parametrize(
    ("met", "nearest"),
    [
        pytest.param((0, 0, 3), (0, 0, 4), id="nearest bucket"),
        pytest.param((0, 0, 2), (0, 0, 4), id="the surer of two"),
        pytest.param((1, 5, 1), (2, 5, 1), id="another signature of the class"),
        pytest.param((1, 6, 1), (1, 1, 4), id="the signature's most frequent"),
        pytest.param((0, 5, 1), (0, 0, 4), id="no signature of another class"),
    ],
)
def test_a_flow_met_in_no_known_context_goes_to_the_nearest(
    met: tuple[int, int, int], nearest: tuple[int, int, int]
) -> None:
    known = [(0, 0, 0, 3), (0, 0, 4, 50), (1, 1, 4, 20), (1, 2, 2, 5), (2, 5, 1, 2), (2, 1, 4, 9)]
    found = finder(*known)

    [context] = found.find(*one(met)).tolist()

    assert sorted(known)[context][:3] == nearest


def test_a_kind_is_what_both_detectors_say() -> None:
    contexts = finder((1, 5, 1, 1), (2, 5, 1, 1), (2, 5, 2, 1), (0, 5, 1, 1)).contexts

    first, second, third, fourth = contexts.kind.tolist()

    # In order: (0, 5, 1), (1, 5, 1), (2, 5, 1), (2, 5, 2).
    assert second == third
    assert len({first, second, fourth}) == 3


def test_the_second_opinion_stands_behind_the_other_columns() -> None:
    contexts = finder((0, 7, 0, 1), (1, 1, 4, 1)).contexts

    table = observe(np.array([0, 1]), contexts, Counters.zeros(3))

    assert table.shape == (2, 7)
    assert np.allclose(table, [[0, 0, 0, 0, 0.5, 7, 0.5], [1, 1, 0, 0, 0.5, 1, 0.9995]])


# Scenarios.


def test_a_scenario_keeps_its_contexts(opinion_scenario: Scenario, scenario: Scenario) -> None:
    again = Scenario.load(opinion_scenario.path)

    ours, theirs = opinion_scenario.contexts, again.contexts
    for name in ("signature", "predicted", "opinion", "confidence"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name))
    assert again.fingerprint == opinion_scenario.fingerprint != scenario.fingerprint
    # The tree and the split are those of a scenario without.
    assert again.detector().digest() == scenario.detector().digest()
    assert np.array_equal(ours.signature[again.test[0]], scenario.test[0])
    assert np.array_equal(ours.signature[again.train[0]], scenario.train[0])
    about = again.manifest["opinion"]
    assert about["kind"] == "boosted"
    assert about["contexts"] == len(ours)
    assert again.has_opinion
    assert not scenario.has_opinion


def test_every_context_was_met(opinion_scenario: Scenario) -> None:
    met = [opinion_scenario.train[0], opinion_scenario.test[0], *opinion_scenario.cross_fitted]

    assert np.array_equal(np.unique(np.concatenate(met)), np.arange(len(opinion_scenario.contexts)))


def test_training_flows_are_met_as_honestly_as_test_flows(opinion_scenario: Scenario) -> None:
    contexts = opinion_scenario.contexts
    assert contexts.opinion is not None
    for said in (contexts.traffic, contexts.opinion):
        honest = said[opinion_scenario.cross_fitted[0]] != opinion_scenario.train[1]
        unseen = said[opinion_scenario.test[0]] != opinion_scenario.test[1]
        # Fitted trees never err on their own flows; these flows are hard to tell apart.
        assert not (contexts.traffic[opinion_scenario.train[0]] != opinion_scenario.train[1]).any()
        assert honest.mean() == pytest.approx(unseen.mean(), abs=0.12)


def test_training_meets_honest_contexts_once(opinion_scenario: Scenario) -> None:
    flows = opinion_scenario.flow_set("train", matching="cross-fitted")
    fitted = opinion_scenario.flow_set("train", matching="fitted")

    assert np.array_equal(flows.context, opinion_scenario.cross_fitted[0])
    assert np.array_equal(fitted.context, opinion_scenario.train[0])
    assert opinion_scenario.training_counts().sum() == len(flows)


def test_features_lead_to_the_contexts_that_test_flows_have(
    opinion_scenario: Scenario, flows: Flows
) -> None:
    from envs.division import Wishes, divide

    division = divide(flows.actual, Wishes(), flows.catalogue)

    context = opinion_scenario.matcher()(flows.features[division.test])

    assert context.dtype == np.int32
    assert np.array_equal(context, opinion_scenario.test[0])


def test_features_lead_to_signatures_without_a_second_opinion(
    scenario: Scenario, flows: Flows
) -> None:
    matched = scenario.matcher()(flows.features)

    assert np.array_equal(matched, scenario.detector().match(flows.features))


def test_the_same_flows_and_seed_give_the_same_scenario(
    opinion_scenario: Scenario, flows: Flows, tmp_path: Path
) -> None:
    again = Scenario.prepare(flows, tmp_path / "scenario", opinion="boosted")

    assert again.fingerprint == opinion_scenario.fingerprint


def test_a_forest_gives_another_scenario(
    opinion_scenario: Scenario, flows: Flows, tmp_path: Path
) -> None:
    forest = Scenario.prepare(flows, tmp_path / "scenario", opinion="forest", cross_fit=2)

    assert forest.fingerprint != opinion_scenario.fingerprint
    assert Scenario.load(forest.path).matcher()(flows.features).max() < len(forest.contexts)


@pytest.mark.parametrize("wishes", [{"cross_fit": 0}, {"honest": 0.3}])
def test_a_second_opinion_without_folds_is_refused(
    flows: Flows, tmp_path: Path, wishes: dict[str, float]
) -> None:
    with pytest.raises(InputError, match="second opinion is wanted without cross-fitting"):
        Scenario.prepare(flows, tmp_path / "scenario", opinion="boosted", **wishes)  # type: ignore[arg-type]
    assert not any(tmp_path.iterdir())


def test_a_scenario_may_be_prepared_in_the_place_of_one_with_a_second_opinion(
    opinion_scenario: Scenario, flows: Flows, tmp_path: Path
) -> None:
    opinion_scenario.copy_to(tmp_path / "scenario")

    Scenario.prepare(flows, tmp_path / "scenario")

    assert not (tmp_path / "scenario" / SecondOpinion.file).exists()


def test_a_missing_opinion_is_refused(opinion_scenario: Scenario, tmp_path: Path) -> None:
    opinion_scenario.copy_to(tmp_path / "scenario")
    (tmp_path / "scenario" / SecondOpinion.file).unlink()

    with pytest.raises(InputError, match=r"opinion\.safetensors is missing"):
        Scenario.load(tmp_path / "scenario")


@pytest.mark.parametrize(
    ("column", "value"), [("signature", 10**6), ("opinion", 8), ("confidence", 0.7)]
)
def test_contexts_that_lead_nowhere_are_refused(
    opinion_scenario: Scenario, tmp_path: Path, column: str, value: float
) -> None:
    folder = tmp_path / "scenario"
    opinion_scenario.copy_to(folder)
    file = folder / "contexts.parquet"
    table = pq.read_table(file)
    changed = table[column].to_numpy().copy()
    changed[-1] = value
    file.unlink()
    pq.write_table(
        table.set_column(table.column_names.index(column), column, pa.array(changed)), file
    )
    # Whoever changes a scenario on purpose writes the hashes as well.
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"]["contexts.parquet"] = sha256(file)
    manifest["manifest_sha256"] = _manifest_sha256(manifest)
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").write_text(json.dumps(manifest))

    with pytest.raises(InputError, match="holds tables that are no scenario's"):
        Scenario.load(folder)


def test_held_out_flows_are_met_honestly(opinion_scenario: Scenario) -> None:
    remaining, held = hold_out(opinion_scenario, 0.3, seed=0)

    assert len(remaining.train[0]) + len(held) == len(opinion_scenario.train[0])
    assert remaining.contexts is held.contexts or len(remaining.contexts) == len(held.contexts)
    met = np.concatenate([remaining.cross_fitted[0], held.context])
    assert np.array_equal(np.sort(met), np.sort(opinion_scenario.cross_fitted[0]))


def test_the_environment_shows_both_opinions(opinion_scenario: Scenario) -> None:
    env = ThreatMitigationEnv(opinion_scenario.flow_set("train"), augmented=True, seed=3)
    space = observation_space(
        len(opinion_scenario.signatures), opinion_scenario.catalogue, suggestion=True, opinion=True
    )

    observation, info = env.reset(seed=3)

    contexts: Contexts = opinion_scenario.contexts
    assert contexts.opinion is not None
    assert contexts.confidence is not None
    assert env.observation_space == space
    assert space.contains(observation)
    assert observation[7] == contexts.opinion[info["context"]]
    assert observation[8] == contexts.confidence[info["context"]]
    assert observation[1] == info["signature"] == contexts.signature[info["context"]]


def test_counters_of_signatures_are_exact_sums_over_contexts(opinion_scenario: Scenario) -> None:
    flows = opinion_scenario.flow_set("train", matching="cross-fitted")
    counters = Counters.zeros(len(opinion_scenario.signatures), BetaPrior())
    counters.add(flows.signature, flows.contexts.traffic[flows.context] == flows.actual)

    counts = opinion_scenario.training_counts()
    summed = flows.contexts.by_signature(counts)
    assert np.array_equal(counters.seen, summed.sum(axis=1))
    assert np.array_equal(
        counters.correct, summed[np.arange(len(summed)), flows.contexts.predicted]
    )


def test_contexts_that_number_signatures_are_not_taken_for_signatures() -> None:
    contexts = Contexts.of_signatures(PREDICTED)

    assert contexts.are_signatures
    with_opinion = replace(contexts, opinion=PREDICTED, confidence=np.ones(3, np.float32))
    assert not with_opinion.are_signatures
