from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from envs import PAPER, BetaPrior, InteractionTable
from kg_actor import KnowledgeGraph, MergeKey, Records, records_of
from llm_actor import Prompts, compose

DOS, BENIGN, DDOS, WEB = (PAPER.class_index(n) for n in ("DoS", "Benign", "DDoS", "Web"))
FILTER, PREVENT, AUDIT, VALIDATE, NOTHING = (
    PAPER.action_names.index(name)
    for name in (
        "Filter Network Traffic",
        "Network Intrusion Prevention",
        "Audit",
        "Input Validation",
        "No Action",
    )
)

Row = tuple[int, int, int, int]
"""Signature, action, actual class, count."""


def prompts_of(predicted: list[int], rows: list[Row]) -> Prompts:
    graph = KnowledgeGraph(np.array(predicted, np.int8), PAPER)
    table = InteractionTable.tally(*np.array(rows, np.int64).reshape(-1, 4).T)
    graph.merge(table, MergeKey("run", 0, 0))
    return compose(records_of(graph.counts(), PAPER, BetaPrior()), PAPER)


def chosen_from(prompts: Prompts, row: int) -> set[str]:
    return {PAPER.action_names[action] for action in np.flatnonzero(prompts.candidates[row])}


# What a prompt tells.


def test_prompt_tells_the_records_of_a_signature() -> None:
    rows = [(0, NOTHING, BENIGN, 17), (0, NOTHING, DDOS, 3), (1, FILTER, DDOS, 10)]

    prompts = prompts_of([BENIGN, DDOS], rows)

    assert len(prompts) == 2
    assert prompts.predicted.tolist() == [BENIGN, DDOS]
    assert prompts.confidence.tolist() == pytest.approx([0.82, 0.92])  # 18/22 and 11/12
    assert prompts.shares[0, [BENIGN, DDOS]].tolist() == pytest.approx([0.85, 0.15])
    assert prompts.rewards[BENIGN, NOTHING] == 3.5  # (17 x 5 - 3 x 5) / 20
    assert prompts.rewards[DDOS, FILTER] == 5.0
    assert np.isnan(prompts.rewards).sum() == 8 * 15 - 2


def test_signature_that_has_met_nothing_has_no_shares() -> None:
    prompts = prompts_of([DOS], [])

    assert prompts.shares.tolist() == [[0.0] * 8]
    assert prompts.confidence.tolist() == [0.5]


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(-5, 5))
def test_numbers_are_told_to_the_promised_precision(wrong: int, right: int, reward: float) -> None:
    seen = max(wrong + right, 1)
    records = by_hand(context_actual={BENIGN: right, DDOS: wrong}, action_reward=reward)

    prompts = compose(records, PAPER)

    assert prompts.shares[0, BENIGN] == np.float32(round(100 * right / seen)) / np.float32(100)
    assert abs(prompts.shares[0, DDOS] - wrong / seen) <= 0.005 + 1e-6
    assert abs(prompts.confidence[0] - (1 + right) / (2 + wrong + right)) <= 0.005 + 1e-6
    assert abs(prompts.rewards[BENIGN, NOTHING] - reward) <= 0.05 + 1e-6
    for told, step in (
        (prompts.shares[0, DDOS], 0.01),
        (prompts.confidence[0], 0.01),
        (prompts.rewards[BENIGN, NOTHING], 0.1),
    ):
        assert told / step == pytest.approx(round(told / step), abs=1e-4)


def by_hand(context_actual: dict[int, int], action_reward: float) -> Records:
    """Records of one signature that says Benign, of which one action is on record."""
    counts = np.zeros((1, 8), np.int64)
    counts[0, list(context_actual)] = list(context_actual.values())
    count, reward = np.zeros((8, 15)), np.full((8, 15), np.nan)
    count[BENIGN, NOTHING], reward[BENIGN, NOTHING] = 1, action_reward
    confidence = BetaPrior().confidence(counts.sum(axis=1), counts[:, BENIGN])
    return Records(np.array([BENIGN], np.int8), counts, confidence, count, reward, version=1)


# Which prompts are the same question.


def test_signatures_with_equal_records_share_one_key() -> None:
    rows = [(0, FILTER, DOS, 9), (0, FILTER, WEB, 1), (1, FILTER, DOS, 9), (1, FILTER, WEB, 1)]

    one, other = prompts_of([DOS, DOS], rows).keys()

    assert one == other


def test_records_that_round_to_the_same_share_one_key() -> None:
    almost = [(0, NOTHING, BENIGN, 100_000), (1, NOTHING, BENIGN, 100_001)]

    one, other = prompts_of([BENIGN, BENIGN], almost).keys()

    assert one == other


def test_a_mean_reward_just_below_zero_is_told_as_zero() -> None:
    below, above = (
        compose(by_hand({BENIGN: 1}, action_reward=reward), PAPER) for reward in (-0.01, 0.01)
    )

    assert below.keys() == above.keys()


BEFORE: list[Row] = [
    (0, NOTHING, BENIGN, 80),
    (0, NOTHING, DDOS, 20),
    (1, FILTER, DDOS, 10),
    (2, FILTER, WEB, 10),
]


@pytest.mark.parametrize(
    "more",
    [(0, NOTHING, DDOS, 9), (3, NOTHING, DDOS, 9), (3, FILTER, BENIGN, 1), (1, PREVENT, DDOS, 1)],
    ids=["own-share", "own-types-reward", "own-types-new-action", "confused-types-new-action"],
)
def test_key_changes_with_what_the_prompt_shows(more: Row) -> None:
    predicted = [BENIGN, DDOS, WEB, BENIGN]

    before, after = prompts_of(predicted, BEFORE), prompts_of(predicted, [*BEFORE, more])

    assert before.keys()[0] != after.keys()[0]


@pytest.mark.parametrize(
    "more",
    [(2, VALIDATE, WEB, 5), (2, FILTER, DOS, 50), (3, PREVENT, DOS, 7)],
    ids=["unrelated-reward", "unrelated-share", "unrelated-type"],
)
def test_key_stays_when_only_unrelated_classes_learn(more: Row) -> None:
    predicted = [BENIGN, DDOS, WEB, DOS]

    before, after = prompts_of(predicted, BEFORE), prompts_of(predicted, [*BEFORE, more])

    assert before.keys()[0] == after.keys()[0]


def test_key_changes_with_the_predicted_class_and_with_the_confidence() -> None:
    keys = prompts_of([DOS, DDOS, DOS], [(2, FILTER, DOS, 10)]).keys()

    assert len(set(keys)) == 3


@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.sampled_from([FILTER, NOTHING, AUDIT]),
            st.sampled_from([DOS, BENIGN, WEB]),
            st.integers(1, 3),
        ),
        max_size=12,
    )
)
def test_prompts_with_equal_keys_are_equal_in_all_they_show(rows: list[Row]) -> None:
    prompts = prompts_of([DOS, DOS, DOS, BENIGN, BENIGN, BENIGN], rows)
    keys = prompts.keys()

    for one in range(6):
        for other in range(6):
            assert (keys[one] == keys[other]) == (shown(prompts, one) == shown(prompts, other))
            if keys[one] == keys[other]:
                assert chosen_from(prompts, one) == chosen_from(prompts, other)


def shown(prompts: Prompts, row: int) -> tuple[Any, ...]:
    types = {int(prompts.predicted[row]), *np.flatnonzero(prompts.shares[row]).tolist()}
    return (
        int(prompts.predicted[row]),
        float(prompts.confidence[row]),
        prompts.shares[row].tolist(),
        {t: np.nan_to_num(prompts.rewards[t], nan=99).tolist() for t in types},
    )


# Which actions may be chosen (section III-C).


def test_nothing_is_filtered_out_without_records() -> None:
    assert prompts_of([DOS], []).candidates.all()


def test_actions_with_negative_records_are_filtered_out() -> None:
    rows = [(0, FILTER, DOS, 5), (0, NOTHING, DOS, 5), (0, VALIDATE, DOS, 1)]

    prompts = prompts_of([DOS], rows)

    everything = set(PAPER.action_names)
    assert chosen_from(prompts, 0) == everything - {"No Action", "Input Validation"}


def test_actions_of_a_type_it_was_confused_with_stay() -> None:
    # Both say Benign. Only the first one has met DDoS, for which filtering has earned well.
    rows = [
        (0, NOTHING, BENIGN, 90),
        (0, NOTHING, DDOS, 10),
        (1, FILTER, BENIGN, 5),
        (1, AUDIT, BENIGN, 5),
        (2, FILTER, DDOS, 5),
    ]

    prompts = prompts_of([BENIGN, BENIGN, DDOS], rows)

    assert "Filter Network Traffic" in chosen_from(prompts, 0)
    assert "Filter Network Traffic" not in chosen_from(prompts, 1)
    assert "Audit" not in chosen_from(prompts, 0)
    assert "Audit" not in chosen_from(prompts, 1)


def test_being_right_does_not_rescue_what_the_own_type_refutes() -> None:
    # Of the type DoS itself, No Action has a negative record; being met as DoS is no confusion.
    prompts = prompts_of([DOS], [(0, NOTHING, DOS, 10), (0, FILTER, DOS, 10)])

    assert "No Action" not in chosen_from(prompts, 0)


@pytest.mark.parametrize(
    ("flows", "kept"), [(10, True), (1, False)], ids=["ten-in-a-thousand", "one-in-a-thousand"]
)
def test_confusion_that_rounding_hides_decides_nothing(flows: int, kept: bool) -> None:
    rows = [
        (0, NOTHING, BENIGN, 1000 - flows),
        (0, FILTER, BENIGN, 1),
        (0, NOTHING, DDOS, flows),
        (1, FILTER, DDOS, 5),
    ]

    prompts = prompts_of([BENIGN, DDOS], rows)

    assert ("Filter Network Traffic" in chosen_from(prompts, 0)) is kept


def test_everything_is_open_again_when_nothing_is_left() -> None:
    every_action_failed = [(0, action, WEB, 1) for action in range(15)]
    all_fail = [row for row in every_action_failed if PAPER.rewards[WEB, row[1]] < 0]
    rest_fail = [(0, action, BENIGN, 99) for action in range(15) if PAPER.rewards[WEB, action] > 0]

    prompts = prompts_of([DOS], all_fail + rest_fail)

    assert (prompts.rewards[DOS] < 0).all()
    assert chosen_from(prompts, 0) == set(PAPER.action_names)


@pytest.mark.parametrize("rows", [[2, 0], np.array([2, 0])], ids=["list", "array"])
def test_taking_some_prompts_keeps_their_rows_together(rows: list[int] | NDArray[np.int64]) -> None:
    prompts = prompts_of([BENIGN, DDOS, WEB], BEFORE)

    some = prompts.take(rows)

    assert len(some) == 2
    assert some.keys() == [prompts.keys()[2], prompts.keys()[0]]
    assert np.array_equal(some.candidates, prompts.candidates[[2, 0]])
    assert some.catalogue == PAPER
