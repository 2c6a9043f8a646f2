from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import PAPER, BetaPrior, FlowSet, InteractionTable, ThreatMitigationVectorEnv
from kg_actor import (
    GraphCounts,
    Keyed,
    KnowledgeGraph,
    Lesson,
    MergeKey,
    counters_of,
    experience,
    reward_sums,
)

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
    assert set(graph.merged) == {key for _, key in merges}
    assert sum(merged.flows for merged in graph.merged.values()) == sum(t.flows for t in tables)


@given(many_tables)
def test_any_split_of_a_table_gives_the_same_counts(parts: list[list[Row]]) -> None:
    tables = [table_of(part) for part in parts]

    assert graph_of(*tables).counts().equals(graph_of(InteractionTable.total(tables)).counts())


def test_a_key_is_merged_once() -> None:
    graph = KnowledgeGraph(PREDICTED, PAPER)
    table, key = table_of([(0, FILTER, DOS, 7)]), MergeKey("run", 1, 0)

    assert graph.merge(table, key) is True
    assert graph.merge(table, key) is False
    assert graph.merge(table_of([(0, FILTER, DOS, 1)]), MergeKey("run", 1, 1)) is True
    assert graph.merge(table_of([(0, FILTER, DOS, 1)]), MergeKey("run", 2, 0)) is True
    assert graph.merge(table_of([(0, FILTER, DOS, 1)]), MergeKey("other", 1, 0)) is True
    assert graph.counts().signature_actual[0, DOS] == 10


def test_another_table_under_a_merged_key_is_refused() -> None:
    """Dropping it in silence would lose flows that the learner has learnt from."""
    graph = graph_of(table_of([(0, FILTER, DOS, 7)]))
    other = table_of([(0, FILTER, DOS, 8)])

    for tables in ([Keyed(MergeKey("run", 0, 0), other)], keyed(other, table_of([]), run="new")):
        with pytest.raises(ValueError, match="was merged with other content"):
            graph.merge_all([*tables, *keyed(table_of([(1, NOTHING, DDOS, 1)]), run="new")])

    assert graph.version == 1
    assert graph.counts().signature_actual.sum() == 7


def keyed(*tables: InteractionTable, run: str = "run") -> list[Keyed]:
    return [Keyed(MergeKey(run, 5, runner), table) for runner, table in enumerate(tables)]


def test_an_iterations_tables_are_one_version() -> None:
    graph = KnowledgeGraph(PREDICTED, PAPER)
    tables = keyed(table_of([(0, FILTER, DOS, 7)]), table_of([(1, NOTHING, BENIGN, 2)]))

    assert graph.merge_all(tables) == tables
    assert graph.merge_all(tables) == []

    assert graph.version == 1
    assert graph.counts().signature_actual.sum() == 9
    assert graph.changes().signature.tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((4, 0, 0, 1), "context must be in 0 .. 3"),
        ((-1, 0, 0, 1), "context must be in 0 .. 3"),
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

    restored.restore(original.state())

    assert restored.counts().equals(original.counts())
    assert restored.version == 2
    assert restored.merge(second, MergeKey("run", 1, 0)) is False
    assert restored.merge(second, MergeKey("run", 2, 0)) is True
    assert not restored.counts().equals(original.counts())


def test_snapshot_of_another_scenario_is_refused_and_leaves_the_graph_untouched() -> None:
    graph = graph_of(table_of([(0, FILTER, DOS, 7)]))
    before = graph.counts()
    snapshot = KnowledgeGraph(np.zeros(9, np.int8), PAPER).state()

    with pytest.raises(ValueError, match="9 contexts does not fit a graph of 4"):
        graph.restore(snapshot)

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
    graph = KnowledgeGraph(flow_set.contexts.predicted, PAPER)
    env.action_space.seed(0)
    _, info = env.reset(seed=0)

    for iteration in range(9):
        signature, action = info["signature"], env.action_space.sample()
        *_, info = env.step(action)
        table = InteractionTable.tally(signature, action, info["final_info"]["actual"])
        graph.merge(table, MergeKey("run", iteration, 0))

    kept, known = env.situation.counters, graph.counts()
    derived = counters_of(known, BetaPrior())
    assert derived.seen.tolist() == kept.seen.tolist()
    assert derived.correct.tolist() == kept.correct.tolist()
    assert derived.confidence().tolist() == kept.confidence().tolist()


def test_counters_take_the_given_prior() -> None:
    counts = graph_of(table_of([(0, FILTER, DOS, 6)])).counts()

    confidence = counters_of(counts, BetaPrior(3, 1)).confidence()

    assert confidence.tolist() == [0.9, 0.75, 0.75, 0.75]


def test_counts_are_equal_whatever_their_versions() -> None:
    counts = graph_of(table_of([(0, FILTER, DOS, 6)])).counts()
    later = GraphCounts(
        counts.context_actual, counts.type_action, counts.version + 1, counts.contexts
    )
    other = GraphCounts(
        counts.context_actual, counts.type_action + 1, counts.version, counts.contexts
    )

    assert counts.equals(later)
    assert not counts.equals(other)


def forgetful(half_life: float, *batches: list[InteractionTable]) -> KnowledgeGraph:
    graph = KnowledgeGraph(PREDICTED, PAPER, half_life=half_life)
    for iteration, batch in enumerate(batches):
        graph.merge_all([Keyed(MergeKey("run", iteration, i), t) for i, t in enumerate(batch)])
    return graph


def test_with_forgetting_a_flow_weighs_half_after_one_half_life() -> None:
    graph = forgetful(
        10,
        [table_of([(0, FILTER, DOS, 8)])],
        [table_of([(0, FILTER, BENIGN, 10)])],  # ten flows later
    )

    counts = graph.counts()

    assert counts.signature_actual[0, [DOS, BENIGN]].tolist() == [8, 10]
    assert counts.signature_evidence[0, [DOS, BENIGN]].tolist() == [4.0, 10.0]
    assert counters_of(counts, BetaPrior()).confidence()[0] == (1 + 4) / (2 + 14)
    assert reward_sums(counts, PAPER)[DOS, FILTER] == 4.0 * 5 - 10.0 * 5


@given(many_tables, st.integers(1, 1000))
def test_forgetting_does_not_depend_on_how_an_iteration_was_shared_out(
    parts: list[list[Row]], half_life: int
) -> None:
    tables = [table_of(part) for part in parts]
    together, apart = (
        forgetful(half_life, *batches).counts()
        for batches in ([[InteractionTable.total(tables)]], [tables])
    )

    assert np.array_equal(together.signature_evidence, apart.signature_evidence)
    assert np.array_equal(together.type_evidence, apart.type_evidence)


@given(many_tables, st.data())
def test_with_forgetting_a_repeated_merge_changes_nothing(
    parts: list[list[Row]], data: st.DataObject
) -> None:
    once = forgetful(100, *[[table_of(part)] for part in parts])
    twice = KnowledgeGraph(PREDICTED, PAPER, half_life=100)
    for iteration, part in enumerate(parts):
        twice.merge(table_of(part), MergeKey("run", iteration, 0))
        again = data.draw(st.integers(0, iteration))
        twice.merge(table_of(parts[again]), MergeKey("run", again, 0))

    assert twice.counts().equals(once.counts())
    assert np.array_equal(twice.counts().signature_evidence, once.counts().signature_evidence)


def test_forgetting_is_off_by_default_and_wants_a_half_life_above_zero() -> None:
    assert graph_of(table_of([(0, FILTER, DOS, 8)])).counts().recent is None
    for nonsense in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="half_life"):
            KnowledgeGraph(PREDICTED, PAPER, half_life=nonsense)


FEED = Lesson("DoS", "Filter Network Traffic", 5.0, 20.0, "feed")
TEAM = Lesson("DoS", "Filter Network Traffic", 2.0, 10.0, "team")


def test_lessons_are_experience_beside_what_was_learnt() -> None:
    graph = graph_of(table_of([(0, FILTER, BENIGN, 10)]))  # 10 x -5
    graph.teach([FEED, TEAM])

    weight, reward = experience(graph.counts(), PAPER)

    assert weight[DOS, FILTER] == 10 + 20 + 10
    assert reward[DOS, FILTER] == -50 + 100 + 20
    assert reward_sums(graph.counts(), PAPER)[DOS, FILTER] == -50
    assert graph.counts().signature_actual.sum() == 10


def test_withdrawing_a_source_leaves_everything_else() -> None:
    graph = graph_of(table_of([(0, FILTER, DOS, 1)]))
    before = experience(graph.counts(), PAPER)
    graph.teach([TEAM])
    with_team = experience(graph.counts(), PAPER)

    graph.teach([FEED])
    assert graph.withdraw("feed") == 1

    assert graph.lessons == (TEAM,)
    assert np.array_equal(experience(graph.counts(), PAPER), with_team)
    assert graph.withdraw("team") == 1
    assert np.array_equal(experience(graph.counts(), PAPER), before)
    assert graph.withdraw("nobody") == 0


def test_teaching_an_edge_again_replaces_what_its_source_taught() -> None:
    graph = KnowledgeGraph(PREDICTED, PAPER)

    for _ in range(3):
        graph.teach([FEED, TEAM])
    graph.teach([Lesson("DoS", "Filter Network Traffic", -1.0, 4.0, "feed")])

    weight, reward = experience(graph.counts(), PAPER)
    assert weight[DOS, FILTER] == 14
    assert reward[DOS, FILTER] == -4 + 20


def test_what_the_catalogue_does_not_have_cannot_be_taught() -> None:
    graph = KnowledgeGraph(PREDICTED, PAPER)

    for stranger in (Lesson("Worm", "Audit", 1, 1, "x"), Lesson("DoS", "Pray", 1, 1, "x")):
        with pytest.raises(ValueError, match=r"no traffic type 'Worm'|no action 'Pray'"):
            graph.teach([FEED, stranger])

    assert graph.lessons == ()
    assert graph.version == 0


def test_what_was_taught_is_no_new_version_when_it_is_taught_again() -> None:
    graph = graph_of()
    graph.teach([FEED, TEAM])

    graph.teach([TEAM])
    graph.replace_lessons([FEED, TEAM])
    assert graph.version == 1

    graph.replace_lessons([FEED])
    assert (graph.version, graph.lessons) == (2, (FEED,))


def test_every_merge_teaching_and_withdrawal_is_a_version() -> None:
    graph = graph_of(table_of([(0, FILTER, DOS, 1)]))
    graph.teach([FEED])
    graph.withdraw("feed")

    assert graph.version == 3
    assert graph.changes().traffic[DOS] == 3
    assert graph.changes().signature[0] == 1
