"""A graph whose contexts are finer than its signatures: N, C and B stay exact sums."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from envs import PAPER, BetaPrior, Contexts, InteractionTable
from kg_actor import GraphSpec, Keyed, KnowledgeGraph, MergeKey, counters_of, records_of, snapshot
from kg_actor.store import GraphStore, read

PREDICTED = np.array([1, 2, 6], np.int8)
# Signature 0 is met with three second opinions, signature 2 with two.
CONTEXTS = Contexts(np.array([0, 0, 0, 1, 2, 2], np.int32), PREDICTED)
SPEC = GraphSpec(
    "3f8a" * 16, "synthetic", PREDICTED, PAPER, BetaPrior(), signature=CONTEXTS.signature
)

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


@given(events)
def test_store_and_snapshot_keep_contexts(tmp_path_factory: object, met: list[Event]) -> None:
    folder = Path(tmp_path_factory.mktemp("graph"))  # type: ignore[attr-defined]
    store = GraphStore.open(folder / "store", SPEC)
    store.merge([Keyed(MergeKey("run", 0, 0), table_of(met))])
    state = store.state()
    store.close()
    snapshot.save(state, SPEC, folder / "snapshot")

    stored, of_store = read(folder / "store")
    saved, of_snapshot = snapshot.load(folder / "snapshot")

    assert stored.state().equals(state)
    assert saved.equals(state)
    for spec in (of_store, of_snapshot):
        assert np.array_equal(spec.contexts.signature, CONTEXTS.signature)
