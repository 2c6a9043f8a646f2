from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from envs import Catalogue
from llm_actor import GraphReader, Prompts
from llm_actor.advisor import FLOOR, with_floor

PAPER = Catalogue.named("paper")

DOS, BENIGN, DDOS, WEB = (PAPER.class_index(n) for n in ("DoS", "Benign", "DDoS", "Web"))
FILTER, AUDIT, VALIDATE, NOTHING = (
    PAPER.action_names.index(name)
    for name in ("Filter Network Traffic", "Audit", "Input Validation", "No Action")
)

scores = arrays.arrays(np.float64, (3, 15), elements=st.floats(-1e4, 1e4))
masks = arrays.arrays(np.bool_, (3, 15)).map(lambda mask: mask | (mask.sum(1) == 0)[:, None])


def prompt(
    predicted: int,
    shares: dict[int, float],
    rewards: dict[tuple[int, int], float],
    left_out: tuple[int, ...] = (),
) -> Prompts:
    """One prompt, from shares by class and rewards by predicted class and action."""
    share, reward = np.zeros((1, 8), np.float32), np.full((8, 15), np.nan, np.float32)
    for actual, value in shares.items():
        share[0, actual] = value
    for place, value in rewards.items():
        reward[place] = value
    candidates = np.ones((1, 15), np.bool_)
    candidates[0, list(left_out)] = False
    confidence = np.array([0.9], np.float32)
    return Prompts(np.array([predicted], np.int8), confidence, share, reward, candidates, PAPER)


def advised(prompts: Prompts, temperature: float = 0.25) -> str:
    return PAPER.action_names[GraphReader(temperature).log_probabilities(prompts)[0].argmax()]


@given(scores, masks)
def test_rows_are_normalised_and_no_action_is_forbidden(
    scores: NDArray[np.float64], candidates: NDArray[np.bool_]
) -> None:
    log_probabilities = with_floor(scores, candidates)

    probabilities = np.exp(log_probabilities.astype(np.float64))
    assert log_probabilities.dtype == np.float32
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    # Lifting others to the floor, too, takes at most 14 floors' worth from each action.
    assert (probabilities >= FLOOR * (1 - 15 * FLOOR)).all()
    assert probabilities[~candidates] == pytest.approx(FLOOR, rel=15 * FLOOR)


@given(scores, masks)
def test_better_scores_are_never_less_likely(
    scores: NDArray[np.float64], candidates: NDArray[np.bool_]
) -> None:
    log_probabilities = with_floor(scores, candidates)

    for row in range(3):
        inside = np.flatnonzero(candidates[row])
        by_score = inside[np.argsort(scores[row, inside])]
        assert (np.diff(log_probabilities[row, by_score]) >= 0).all()


def test_candidates_are_weighed_by_the_softmax_of_their_scores() -> None:
    scores = np.log(np.array([[1.0, 3.0, 1000.0]]))

    probabilities = np.exp(with_floor(scores, np.array([[True, True, False]])))

    assert probabilities[0] == pytest.approx(
        [(1 - FLOOR) / 4, 3 * (1 - FLOOR) / 4, FLOOR], rel=1e-5
    )


def test_best_action_on_record_is_advised() -> None:
    question = prompt(DOS, {DOS: 1.0}, {(DOS, FILTER): 5.0, (DOS, AUDIT): 1.0})

    assert advised(question) == "Filter Network Traffic"


def test_misclassification_changes_the_answer_where_it_costs_more() -> None:
    # Benign is said. No Action earns 5 when that is true and -5 when it is DDoS.
    rewards = {
        (BENIGN, NOTHING): 5.0,
        (BENIGN, FILTER): -5.0,
        (DDOS, NOTHING): -5.0,
        (DDOS, FILTER): 5.0,
    }

    mostly_right = prompt(BENIGN, {BENIGN: 0.6, DDOS: 0.4}, rewards)
    mostly_wrong = prompt(BENIGN, {BENIGN: 0.4, DDOS: 0.6}, rewards)

    promised = GraphReader().promised(mostly_wrong)[0]
    assert promised[[NOTHING, FILTER]].tolist() == pytest.approx([-1.0, 1.0])
    assert advised(mostly_right) == "No Action"
    assert advised(mostly_wrong) == "Filter Network Traffic"


def test_action_that_is_good_for_both_beats_the_best_of_either() -> None:
    rewards = {
        (DOS, FILTER): 5.0,
        (DOS, VALIDATE): -5.0,
        (DOS, AUDIT): 3.0,
        (WEB, FILTER): -5.0,
        (WEB, VALIDATE): 5.0,
        (WEB, AUDIT): 3.0,
    }

    assert advised(prompt(DOS, {DOS: 0.5, WEB: 0.5}, rewards)) == "Audit"


def test_promise_is_the_average_by_share_even_if_rounded_shares_do_not_sum_to_one() -> None:
    question = prompt(DOS, {DOS: 0.66, WEB: 0.33}, {(DOS, FILTER): 5.0, (WEB, FILTER): -1.0})

    assert GraphReader().promised(question)[0, FILTER] == pytest.approx((2 * 5 - 1) / 3)


def test_action_without_a_record_promises_nothing() -> None:
    promised = GraphReader().promised(prompt(DOS, {DOS: 1.0}, {(DOS, FILTER): -2.0}))[0]

    assert promised[FILTER] == -2
    assert (np.delete(promised, FILTER) == 0).all()


def test_signature_without_flows_counts_as_never_wrong() -> None:
    rewards = {(WEB, VALIDATE): 4.0, (DOS, FILTER): 5.0}

    unseen, always_right = prompt(WEB, {}, rewards), prompt(WEB, {WEB: 1.0}, rewards)

    reader = GraphReader()
    assert np.array_equal(reader.log_probabilities(unseen), reader.log_probabilities(always_right))
    assert advised(unseen) == "Input Validation"


def test_action_that_was_filtered_out_is_not_advised() -> None:
    question = prompt(DOS, {DOS: 1.0}, {(DOS, FILTER): 5.0, (DOS, AUDIT): 1.0}, (FILTER,))

    log_probabilities = GraphReader().log_probabilities(question)[0]

    assert advised(question) == "Audit"
    assert np.exp(log_probabilities[FILTER]) == pytest.approx(FLOOR, rel=15 * FLOOR)


def test_temperature_is_in_reward_units() -> None:
    question = prompt(DOS, {DOS: 1.0}, {(DOS, FILTER): 5.0, (DOS, AUDIT): 4.0})

    warm = GraphReader(temperature=2.0).log_probabilities(question)[0]
    cold = GraphReader(temperature=0.25).log_probabilities(question)[0]

    assert warm[FILTER] - warm[AUDIT] == pytest.approx(1 / 2.0, abs=1e-5)
    assert cold[FILTER] - cold[AUDIT] == pytest.approx(1 / 0.25, abs=1e-5)


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_temperature_must_be_above_zero(temperature: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        GraphReader(temperature)


def test_name_is_what_reports_show() -> None:
    assert GraphReader().name == "graph-reader"


def test_an_answer_does_not_depend_on_what_else_is_asked() -> None:
    """To the last bit: a resumed run asks in other batches than one that was never stopped."""
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(8), size=200).astype(np.float32)
    rewards = rng.uniform(-5, 5, (8, 15)).astype(np.float32)
    everything = Prompts(
        rng.integers(0, 8, 200).astype(np.int8),
        np.full(200, 0.5, np.float32),
        shares,
        rewards,
        np.ones((200, 15), np.bool_),
        PAPER,
    )

    together = GraphReader().log_probabilities(everything)
    alone = [GraphReader().log_probabilities(everything.take([row]))[0] for row in range(200)]

    assert np.array_equal(together, np.stack(alone))
