"""A graph whose contexts are finer than its signatures: N, C and B stay exact sums."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import BetaPrior, Catalogue, Contexts, InteractionTable
from kg_actor import GraphSpec, Keyed, KnowledgeGraph, MergeKey, counters_of, records_of, snapshot
from kg_actor.store import GraphStore, read

PAPER = Catalogue.named("paper")

PREDICTED = np.array([1, 2, 6], np.int8)
# Signature 0 is met with three second opinions, signature 2 with two.
CONTEXTS = Contexts(np.array([0, 0, 0, 1, 2, 2], np.int32), PREDICTED)
SPEC = GraphSpec(
    "3f8a" * 16, "synthetic", PREDICTED, PAPER, BetaPrior(), signature=CONTEXTS.signature
)

OPINIONS = np.array([1, 2, 7, 2, 6, 0], np.int8)
SURE = np.array([0.9995, 0.75, 0.5, 0.9945, 0.945, 0.5], np.float32)
WITH_OPINION = replace(SPEC, opinion=OPINIONS, confidence=SURE, distinct=40)

Event = tuple[int, int, int]
events = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 14), st.integers(0, 7)), min_size=1, max_size=40
)


def table_of(met: list[Event]) -> InteractionTable:
    return InteractionTable.tally(*np.array(met).T)


def by_signature(table: InteractionTable) -> InteractionTable:
    signature = CONTEXTS.signature[table.context]
    return InteractionTable.tally(signature, table.action, table.actual, table.count)


@given(st.lists(events, min_size=1, max_size=4))
def test_it_counts_by_signature_what_a_graph_of_signatures_counts(
    parts: list[list[Event]],
) -> None:
    fine = KnowledgeGraph(PREDICTED, PAPER, contexts=CONTEXTS)
    coarse = KnowledgeGraph(PREDICTED, PAPER)

    for number, part in enumerate(parts):
        fine.merge(table_of(part), MergeKey("run", number, 0))
        coarse.merge(by_signature(table_of(part)), MergeKey("run", number, 0))

    ours, theirs = fine.counts(), coarse.counts()
    assert np.array_equal(ours.signature_actual, theirs.signature_actual)
    assert np.array_equal(ours.type_action, theirs.type_action)
    assert np.array_equal(
        counters_of(ours, BetaPrior()).confidence(), counters_of(theirs, BetaPrior()).confidence()
    )
    assert np.array_equal(fine.changes().signature, coarse.changes().signature)


def test_records_tell_contexts_of_one_signature_apart() -> None:
    graph = KnowledgeGraph(PREDICTED, PAPER, contexts=CONTEXTS)
    graph.merge(table_of([(0, 0, 1)] * 9 + [(1, 0, 2)] * 3), MergeKey("run", 0, 0))

    records = records_of(graph.counts(), PAPER, BetaPrior())

    assert records.predicted.tolist() == [1, 1, 1, 2, 6, 6]
    assert records.context_actual[:2, [1, 2]].tolist() == [[9, 0], [0, 3]]
    # B is the signature's: nine of twelve.
    assert np.allclose(records.confidence[:3], 10 / 14)


@pytest.mark.parametrize("wanted", [SPEC, WITH_OPINION], ids=["alone", "opinion"])
@given(met=events)
def test_store_and_snapshot_keep_contexts(
    tmp_path_factory: pytest.TempPathFactory, wanted: GraphSpec, met: list[Event]
) -> None:
    folder = tmp_path_factory.mktemp("graph")
    store = GraphStore.open(folder / "store", wanted)
    store.merge([Keyed(MergeKey("run", 0, 0), table_of(met))])
    state = store.state()
    store.close()
    snapshot.save(state, wanted, folder / "snapshot")

    stored, of_store = read(folder / "store")
    saved, of_snapshot = snapshot.load(folder / "snapshot")

    assert stored.state().equals(state)
    assert saved.equals(state)
    for spec in (of_store, of_snapshot):
        for name in ("signature", "opinion", "confidence", "distinct"):
            found, given_one = (getattr(one.contexts, name) for one in (spec, wanted))
            assert np.array_equal(found, given_one)
            assert getattr(found, "dtype", None) == getattr(given_one, "dtype", None)


@given(
    st.lists(events, min_size=1, max_size=4),
    st.randoms(use_true_random=False),
)
def test_the_order_of_merges_makes_no_difference(parts: list[list[Event]], chance: Random) -> None:
    tables = [Keyed(MergeKey("run", n, 0), table_of(part)) for n, part in enumerate(parts)]
    shuffled = [*tables, *tables[:1]]
    chance.shuffle(shuffled)
    one, other = WITH_OPINION.new_graph(), WITH_OPINION.new_graph()

    for keyed in tables:
        one.merge(keyed.table, keyed.key)
    for keyed in shuffled:
        other.merge(keyed.table, keyed.key)

    assert one.counts().equals(other.counts())
    ours, theirs = (records_of(graph.counts(), PAPER, BetaPrior()) for graph in (one, other))
    assert np.array_equal(ours.context_actual, theirs.context_actual)
    assert np.array_equal(ours.action_reward, theirs.action_reward, equal_nan=True)


def test_rewards_are_those_of_true_types_where_there_is_a_second_opinion() -> None:
    """What is done under a predicted type depends on the second opinion there."""
    graph = WITH_OPINION.new_graph()
    # Signature 0 predicts type 1; in context 2 its flows are of type 7, and are acted on so.
    graph.merge(table_of([(0, 14, 1)] * 9 + [(2, 3, 7)] * 3), MergeKey("run", 0, 0))

    records = records_of(graph.counts(), PAPER, BetaPrior())

    assert records.contexts is not None
    assert records.action_weight[1, [14, 3]].tolist() == [9, 0]
    assert records.action_weight[7, [14, 3]].tolist() == [0, 3]
    assert records.action_reward[1, 14] == PAPER.rewards[1, 14]
    assert records.action_reward[7, 3] == PAPER.rewards[7, 3]
    assert np.isnan(records.action_reward[1, 3])


@pytest.mark.parametrize(
    "change",
    [
        {"opinion": [0, 0, 0, 0, 0, 8]},
        {"opinion": [0, 0, 0]},
        {"opinion": None},
        {"opinion": "all of them"},
        {"confidence": [0.5, 0.5, 0.5, 0.5, 0.5, 2.0]},
        {"confidence": [True] * 6},
        {"confidence": None},
        {"signature": None},
        {"distinct": 0},
        {"distinct": "many"},
    ],
)
def test_a_second_opinion_that_cannot_be_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        GraphSpec.from_json(WITH_OPINION.to_json() | change, "here")


def test_a_graph_without_a_second_opinion_is_described_as_ever() -> None:
    assert set(WITH_OPINION.to_json()) - set(SPEC.to_json()) == {
        *("opinion", "confidence", "distinct")
    }
