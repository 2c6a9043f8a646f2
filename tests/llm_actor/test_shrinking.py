"""Counts of contexts, drawn towards those of their kind; and what advice makes of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from envs import BetaPrior, Catalogue, Contexts, InteractionTable
from kg_actor import KnowledgeGraph, MergeKey, Records, records_of
from llm_actor import AdviceDesk, GraphReader, compose
from llm_actor.prompts import recorded_rewards
from llm_actor.shrinking import KIND_STRENGTH, STRENGTH, shrunk

PAPER = Catalogue.named("paper")
BENIGN, WEB = PAPER.class_index("Benign"), PAPER.class_index("Web")
NOTHING, VALIDATE = (PAPER.action_names.index(n) for n in ("No Action", "Input Validation"))

# Two signatures of Benign; the second opinion agrees, or says Web at 0.945.
CONTEXTS = Contexts(
    np.array([0, 0, 1, 1], np.int32),
    np.array([BENIGN, BENIGN], np.int8),
    np.array([BENIGN, WEB, BENIGN, WEB], np.int8),
    np.array([0.9995, 0.945, 0.9995, 0.945], np.float32),
)


def records(*rows: tuple[int, int, int, int]) -> Records:
    """Records of rows, each a context, an action, an actual class and a count."""
    graph = KnowledgeGraph(CONTEXTS.predicted, PAPER, contexts=CONTEXTS)
    table = InteractionTable.tally(*np.array(rows, np.int64).reshape(-1, 4).T)
    graph.merge(table, MergeKey("run", 0, 0))
    return records_of(graph.counts(), PAPER, BetaPrior())


def test_a_context_is_drawn_towards_those_of_its_kind() -> None:
    counts = np.zeros((4, 8), np.int64)
    counts[1, WEB], counts[3, BENIGN] = 30, 10

    met = shrunk(counts, CONTEXTS)

    # 40 flows of the kind, and half a flow that goes by the second opinion's word.
    web = (30 + KIND_STRENGTH * 0.945) / (40 + KIND_STRENGTH)
    assert met[1, WEB] == pytest.approx(30 + STRENGTH * web)
    assert met[3, WEB] == pytest.approx(STRENGTH * web)
    assert met[3, BENIGN] == pytest.approx(10 + STRENGTH * (1 - web))
    assert np.allclose(met.sum(axis=1), counts.sum(axis=1) + STRENGTH)


def test_flows_that_are_met_again_make_nothing_more_certain() -> None:
    counts = np.zeros((4, 8), np.int64)
    counts[1, WEB], counts[3, BENIGN] = 30, 10
    contexts = dataclasses.replace(CONTEXTS, distinct=40)

    once, often = (shrunk(counts * passes, contexts) for passes in (1, 100))

    assert np.allclose(once, shrunk(counts, CONTEXTS))
    assert np.allclose(often, 100 * once)
    # Part of a pass counts as it is.
    assert np.array_equal(shrunk(counts // 10, contexts), shrunk(counts // 10, CONTEXTS))


def test_many_flows_of_a_context_outweigh_its_kind() -> None:
    counts = np.zeros((4, 8), np.int64)
    counts[1, WEB], counts[3, BENIGN] = 100_000, 100_000

    met = shrunk(counts, CONTEXTS)

    assert met[1].argmax() == WEB
    assert met[3].argmax() == BENIGN
    assert met[3, BENIGN] / met[3].sum() > 0.999


def test_where_nothing_was_met_the_second_opinion_is_believed_as_far_as_it_is_sure() -> None:
    met = shrunk(np.zeros((4, 8), np.int64), CONTEXTS)
    shares = met / met.sum(axis=1, keepdims=True)

    assert shares[1, WEB] == pytest.approx(0.945)
    assert shares[1, BENIGN] == pytest.approx(0.055)
    assert shares[0, BENIGN] == pytest.approx(1.0)


def test_there_is_nothing_to_shrink_without_a_second_opinion() -> None:
    with pytest.raises(ValueError, match="no second opinion"):
        shrunk(np.zeros((2, 8), np.int64), Contexts.of_signatures(CONTEXTS.predicted))


def test_advice_on_one_signature_differs_by_the_second_opinion() -> None:
    # Both actions are known on flows of both classes; signature 1 was not met with Web yet.
    known = [(0, NOTHING, BENIGN, 60), (0, VALIDATE, BENIGN, 2), (2, NOTHING, BENIGN, 60)]
    told = records(*known, (1, VALIDATE, WEB, 40), (1, NOTHING, WEB, 4))

    advice = AdviceDesk(GraphReader(), PAPER, wait=True).advise(told)

    assert advice.suggestion.action.tolist() == [NOTHING, VALIDATE, NOTHING, VALIDATE]
    assert advice.distinct == 2 + 2
    assert advice.suggestion.reward[0] == pytest.approx(5.0, abs=0.1)
    assert advice.suggestion.reward[3] > 3.0


def test_rare_classes_weigh_in_advice_as_they_weigh_in_learning() -> None:
    # Three flows in four are Benign, and all actions are known.
    known = [(0, VALIDATE, BENIGN, 1), (0, NOTHING, WEB, 1)]
    told = records((1, NOTHING, BENIGN, 75), (1, VALIDATE, WEB, 25), *known)
    weights = np.ones(8)
    desk = AdviceDesk(GraphReader(), PAPER, wait=True)
    assert desk.advise(told).suggestion.action[1] == NOTHING

    weights[WEB] = 4.0
    advice = desk.advise(told, weights)

    assert advice.suggestion.action[1] == VALIDATE
    # What it earns is told as it is.
    earned = recorded_rewards(told, advice.suggestion.action)
    assert np.array_equal(advice.suggestion.reward, earned.astype(np.float32))
    assert advice.suggestion.reward[1] < 0
    assert desk.advise(told, weights + 0.04).asked == 0


def test_r_llm_is_what_the_action_earned_on_flows_as_the_contexts_are() -> None:
    told = records((0, NOTHING, BENIGN, 60), (1, NOTHING, WEB, 30), (3, NOTHING, BENIGN, 30))

    reward = recorded_rewards(told, np.full(4, NOTHING))

    shares = compose(told, PAPER).shares
    wanted = shares[:, BENIGN] * 5 - shares[:, WEB] * 5
    assert reward == pytest.approx(wanted, abs=0.1)
    assert reward[1] < 0 < reward[0]
