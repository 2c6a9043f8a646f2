"""Contexts: a signature together with a second opinion; N, C and B stay the signature's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import (
    Contexts,
    Counters,
    FlowSet,
    InteractionTable,
    Suggestion,
    ThreatMitigationVectorEnv,
    observe,
)
from envs.score import evaluate

# Two signatures; the first is met with two second opinions.
CONTEXTS = Contexts(np.array([0, 0, 1], np.int32), np.array([1, 2], np.int8))


@pytest.fixture
def two_opinions(flow_set: FlowSet) -> FlowSet:
    """Twelve flows in three contexts of two signatures."""
    context = np.array([0, 0, 1, 1, 1, 2, 2, 2, 2, 0, 1, 2], np.int32)
    actual = np.array([1, 1, 2, 2, 1, 2, 2, 2, 3, 1, 2, 2], np.int8)
    return FlowSet(context, actual, CONTEXTS, flow_set.catalogue)


def test_without_a_second_opinion_contexts_are_signatures() -> None:
    contexts = Contexts.of_signatures(np.array([4, 1, 1], np.int8))

    assert contexts.signature.tolist() == [0, 1, 2]
    assert contexts.traffic.tolist() == [4, 1, 1]


def test_an_observation_has_the_signatures_counters_and_the_contexts_advice() -> None:
    counters = Counters(np.array([8, 4]), np.array([6, 1]))
    advice = Suggestion(np.array([3, 5, 7], np.int16), np.array([1.0, 2.0, -3.0], np.float32))

    rows = observe(np.array([1, 0, 2]), CONTEXTS, counters, advice)

    assert rows[:, :5].tolist() == pytest.approx(
        np.array([[1, 0, 8, 6, 0.7], [1, 0, 8, 6, 0.7], [2, 1, 4, 1, 1 / 3]]), abs=1e-6
    )
    assert rows[:, 5:].tolist() == [[5, 2], [3, 1], [7, -3]]


def test_the_environment_counts_flows_by_signature(two_opinions: FlowSet) -> None:
    env = ThreatMitigationVectorEnv(two_opinions, len(two_opinions))
    _, infos = env.reset(seed=3)
    env.step(np.zeros(len(two_opinions), int))

    counters = env.situation.counters
    assert counters.seen.tolist() == [7, 5]
    # Signature 0 predicts class 1, signature 1 class 2.
    assert counters.correct.tolist() == [4, 4]
    assert np.array_equal(infos["signature"], CONTEXTS.signature[infos["context"]])


def test_a_policy_on_contexts_can_earn_more_than_the_best_on_signatures(
    two_opinions: FlowSet,
) -> None:
    best = two_opinions.catalogue.best_actions
    by_context = np.array([best[1], best[2], best[2]])

    card = evaluate(by_context, two_opinions)

    assert card.score.average_reward > card.signature_oracle.average_reward
    assert card.misdetected == 4


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=50
    )
)
def test_counts_by_signature_are_the_sums_over_its_contexts(
    events: list[tuple[int, int, int]],
) -> None:
    table = InteractionTable.tally(*np.array(events).T)
    by_context = np.zeros((3, 4), np.int64)
    np.add.at(by_context, (table.context, table.actual), table.count)

    by_signature = CONTEXTS.by_signature(by_context)

    for signature in range(2):
        for actual in range(4):
            expected = sum(
                CONTEXTS.signature[context] == signature and actual == met
                for context, _, met in events
            )
            assert by_signature[signature, actual] == expected


def test_a_flows_signature_is_that_of_its_context(two_opinions: FlowSet) -> None:
    assert two_opinions.signature.tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 1]
