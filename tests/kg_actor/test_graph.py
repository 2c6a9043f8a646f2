from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import PAPER, BetaPrior, FlowSet, InteractionTable, ThreatMitigationVectorEnv
from kg_actor import GraphCounts, KnowledgeGraph, MergeKey, counters_of, reward_sums

DOS, BENIGN, DDOS, WEB = (PAPER.class_index(n) for n in ("DoS", "Benign", "DDoS", "Web"))
FILTER, PREVENT, NOTHING = (
    PAPER.action_names.index(name)
    for name in ("Filter Network Traffic", "Network Intrusion Prevention", "No Action")
)

PREDICTED = np.array([DOS, BENIGN, WEB, DOS], np.int8)

Row = tuple[int, int, int, int]
rows = st.tuples(
    st.integers(0, len(PREDICTED) - 1), st.integers(0, 14), st.integers(0, 7), st.integers(1, 10**9)
)
many_tables = st.lists(st.lists(rows, max_size=8), min_size=1, max_size=6)


def table_of(rows: list[Row]) -> InteractionTable:
    return InteractionTable.tally(*(np.array(rows, np.int64).reshape(-1, 4).T))


def graph_of(*tables: InteractionTable) -> KnowledgeGraph:
    graph = KnowledgeGraph(PREDICTED, PAPER)
    for iteration, table in enumerate(tables):
        graph.merge(table, MergeKey("run", iteration, 0))
    return graph


def test_counts_of_a_hand_made_table() -> None:
    graph = graph_of(
        table_of([(0, FILTER, DOS, 7), (0, FILTER, BENIGN, 2), (3, FILTER, DOS, 1)]),
        table_of([(0, FILTER, DOS, 1), (1, NOTHING, DDOS, 4)]),
    )

    counts = graph.counts()

    assert counts.signature_actual[0, DOS] == 8
    assert counts.signature_actual[0, BENIGN] == 2
    assert counts.signature_actual[3, DOS] == 1
    assert counts.signature_actual[1, DDOS] == 4
    assert counts.type_action[DOS, FILTER, DOS] == 9
    assert counts.type_action[DOS, FILTER, BENIGN] == 2
    assert counts.type_action[BENIGN, NOTHING, DDOS] == 4
    assert counts.signature_actual.sum() == counts.type_action.sum() == 15
    assert counts.version == graph.version == 2


@given(many_tables, st.data(), st.randoms(use_true_random=False))
def test_any_order_repetition_and_interleaving_of_merges_gives_the_same_counts(
    parts: list[list[Row]], data: st.DataObject, random: Random
) -> None:
    tables = [table_of(part) for part in parts]
    merges = [(table, MergeKey("run", i // 2, i % 2)) for i, table in enumerate(tables)]
    repeated = merges + data.draw(st.lists(st.sampled_from(merges), max_size=6))
    random.shuffle(repeated)

    graph = KnowledgeGraph(PREDICTED, PAPER)
    added = [graph.merge(table, key) for table, key in repeated]

    assert graph.counts().equals(graph_of(*tables).counts())
    assert graph.version == sum(added) == len(tables)
    assert graph.merged == {key for _, key in merges}


@given(many_tables)
def test_any_split_of_a_table_gives_the_same_counts(parts: list[list[Row]]) -> None:
    tables = [table_of(part) for part in parts]

    assert graph_of(*tables).counts().equals(graph_of(InteractionTable.total(tables)).counts())


def test_a_key_is_merged_once_whatever_the_table() -> None:
    graph = KnowledgeGraph(PREDICTED, PAPER)
    key = MergeKey("run", 1, 0)

    assert graph.merge(table_of([(0, FILTER, DOS, 7)]), key) is True
    assert graph.merge(table_of([(0, FILTER, DOS, 1)]), key) is False
    assert graph.merge(table_of([(0, FILTER, DOS, 1)]), MergeKey("run", 1, 1)) is True
    assert graph.merge(table_of([(0, FILTER, DOS, 1)]), MergeKey("run", 2, 0)) is True
    assert graph.merge(table_of([(0, FILTER, DOS, 1)]), MergeKey("other", 1, 0)) is True
    assert graph.counts().signature_actual[0, DOS] == 10


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((4, 0, 0, 1), "signature must be in 0 .. 3"),
        ((-1, 0, 0, 1), "signature must be in 0 .. 3"),
        ((0, 15, 0, 1), "action must be in 0 .. 14"),
        ((0, -1, 0, 1), "action must be in 0 .. 14"),
        ((0, 0, 8, 1), "actual must be in 0 .. 7"),
        ((0, 0, -1, 1), "actual must be in 0 .. 7"),
        ((0, 0, 0, 0), "count must be at least 1"),
        ((0, 0, 0, -3), "count must be at least 1"),
    ],
)
def test_table_that_does_not_fit_is_refused_and_leaves_the_graph_untouched(
    row: Row, message: str
) -> None:
    graph = graph_of(table_of([(0, FILTER, DOS, 7)]))
    before, key = graph.counts(), MergeKey("run", 9, 0)
    good = (1, NOTHING, BENIGN, 2)
    signature, action, actual, count = np.array([good, row]).T
    bad = InteractionTable(
        signature.astype(np.int32), action.astype(np.int16), actual.astype(np.int8), count
    )

    with pytest.raises(ValueError, match=message):
        graph.merge(bad, key)

    assert graph.counts().equals(before)
    assert graph.version == 1
    assert graph.merge(table_of([good]), key)


def test_counts_are_a_copy() -> None:
    graph = graph_of(table_of([(0, FILTER, DOS, 7)]))

    graph.counts().signature_actual[:] = 0
    graph.counts().type_action[:] = 0

    assert graph.counts().signature_actual.sum() == graph.counts().type_action.sum() == 7


def test_counts_are_exact_above_two_to_the_53() -> None:
    graph = graph_of(table_of([(0, FILTER, DOS, 2**53)]), table_of([(0, FILTER, DOS, 1)]))

    assert graph.counts().signature_actual[0, DOS] == 2**53 + 1
    assert graph.counts().type_action[DOS, FILTER, DOS] == 2**53 + 1
    assert reward_sums(graph.counts(), PAPER)[DOS, FILTER] == 5 * (2**53 + 1)


def test_restored_graph_goes_on_as_the_one_it_was_taken_from() -> None:
    first, second = table_of([(0, FILTER, DOS, 7)]), table_of([(1, NOTHING, BENIGN, 2)])
    original = graph_of(first, second)
    restored = graph_of(table_of([(3, 4, 5, 6)]))

    restored.restore(original.counts(), original.merged)

    assert restored.counts().equals(original.counts())
    assert restored.version == 2
    assert restored.merge(second, MergeKey("run", 1, 0)) is False
    assert restored.merge(second, MergeKey("run", 2, 0)) is True
    assert not restored.counts().equals(original.counts())


def test_snapshot_of_another_scenario_is_refused_and_leaves_the_graph_untouched() -> None:
    graph = graph_of(table_of([(0, FILTER, DOS, 7)]))
    before = graph.counts()
    snapshot = KnowledgeGraph(np.zeros(9, np.int8), PAPER).counts()

    with pytest.raises(ValueError, match="9 signatures does not fit a graph of 4"):
        graph.restore(snapshot, [])

    assert graph.counts().equals(before)
    assert graph.version == 1


def test_reward_sums_by_hand() -> None:
    graph = graph_of(
        table_of(
            [
                (0, FILTER, DOS, 7),  # 7 x 5
                (3, FILTER, BENIGN, 2),  # 2 x -5, another signature of the same type
                (0, PREVENT, DOS, 3),  # 3 x 4
                (1, NOTHING, BENIGN, 10),  # 10 x 5
                (1, NOTHING, DDOS, 1),  # 1 x -5
            ]
        )
    )
    expected = np.zeros((8, 15), np.int64)
    expected[DOS, FILTER] = 25
    expected[DOS, PREVENT] = 12
    expected[BENIGN, NOTHING] = 45

    assert np.array_equal(reward_sums(graph.counts(), PAPER), expected)


def test_counters_are_those_that_the_environment_kept_for_the_same_flows(
    flow_set: FlowSet,
) -> None:
    env = ThreatMitigationVectorEnv(flow_set, 4)
    graph = KnowledgeGraph(flow_set.predicted, PAPER)
    env.action_space.seed(0)
    _, info = env.reset(seed=0)

    for iteration in range(9):
        signature, action = info["signature"], env.action_space.sample()
        *_, info = env.step(action)
        table = InteractionTable.tally(signature, action, info["final_info"]["actual"])
        graph.merge(table, MergeKey("run", iteration, 0))

    kept, known = env.situation.counters, graph.counts()
    derived = counters_of(known, flow_set.predicted, BetaPrior())
    assert derived.seen.tolist() == kept.seen.tolist()
    assert derived.correct.tolist() == kept.correct.tolist()
    assert derived.confidence().tolist() == kept.confidence().tolist()


def test_counters_take_the_given_prior() -> None:
    counts = graph_of(table_of([(0, FILTER, DOS, 6)])).counts()

    confidence = counters_of(counts, PREDICTED, BetaPrior(3, 1)).confidence()

    assert confidence.tolist() == [0.9, 0.75, 0.75, 0.75]


def test_counts_are_equal_whatever_their_versions() -> None:
    counts = graph_of(table_of([(0, FILTER, DOS, 6)])).counts()
    later = GraphCounts(counts.signature_actual, counts.type_action, counts.version + 1)
    other = GraphCounts(counts.signature_actual, counts.type_action + 1, counts.version)

    assert counts.equals(later)
    assert not counts.equals(other)
