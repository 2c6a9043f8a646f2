from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import PAPER, BetaPrior, InputError, InteractionTable
from kg_actor import KnowledgeGraph, MergeKey, neighbourhood, to_networkx
from kg_actor.graph import Keyed
from kg_actor.lessons import Lesson
from kg_actor.queries import (
    ConfidencePoint,
    EdgeCounts,
    ErrorProne,
    GraphStats,
    NodeCounts,
    confidence_history,
    error_prone,
    stats,
    to_json,
    top_actions,
)

DOS, BENIGN, DDOS, WEB = (PAPER.class_index(n) for n in ("DoS", "Benign", "DDoS", "Web"))
FILTER, PREVENT, NOTHING = (
    PAPER.action_names.index(name)
    for name in ("Filter Network Traffic", "Network Intrusion Prevention", "No Action")
)
PREDICTED = np.array([BENIGN, DDOS, BENIGN, WEB, BENIGN], np.int8)

Row = tuple[int, int, int, int]
"""Signature, action, actual class, count."""

rows = st.tuples(
    st.integers(0, len(PREDICTED) - 1),
    st.sampled_from([FILTER, PREVENT, NOTHING]),
    st.sampled_from([DOS, BENIGN, DDOS, WEB]),
    st.integers(1, 30),
)
merges = st.lists(st.lists(rows, max_size=4), max_size=8)


def table_of(rows: list[Row]) -> InteractionTable:
    return InteractionTable.tally(*np.array(rows, np.int64).reshape(-1, 4).T)


def graph_of(*merges: list[Row], half_life: float | None = None) -> KnowledgeGraph:
    graph = KnowledgeGraph(PREDICTED, PAPER, half_life=half_life)
    for iteration, rows in enumerate(merges):
        graph.merge(table_of(rows), MergeKey("run", iteration, 0))
    return graph


@pytest.fixture
def graph() -> KnowledgeGraph:
    """Signatures 0 and 4 err three times each, 1 once, 2 never; 3 has met nothing."""
    return graph_of(
        [
            (0, NOTHING, BENIGN, 16),
            (0, NOTHING, DDOS, 2),
            (0, FILTER, DOS, 1),
            (1, FILTER, DDOS, 10),
            (1, PREVENT, DDOS, 2),
            (1, FILTER, WEB, 1),
            (2, NOTHING, BENIGN, 12),
            (4, NOTHING, DOS, 3),
            (4, NOTHING, BENIGN, 1),
        ]
    )


# The best actions.


def test_top_actions_of_each_type_are_those_of_best_mean_reward(graph: KnowledgeGraph) -> None:
    top = {each.traffic: each.actions for each in top_actions(graph, 1)}

    assert tuple(top) == PAPER.class_names
    assert [record.action for record in top["Benign"]] == ["Filter Network Traffic"]
    assert [record.action for record in top["DDoS"]] == ["Filter Network Traffic"]
    assert top["Web"] == ()
    assert [len(each.actions) for each in top_actions(graph) if each.actions] == [2, 2]


def test_what_was_taught_can_be_on_top(graph: KnowledgeGraph) -> None:
    graph.teach([Lesson("Web", "Audit", 2, 5, "feed"), Lesson("Web", "No Action", -3, 5, "feed")])

    best = next(each for each in top_actions(graph, 1) if each.traffic == "Web").actions

    assert [(record.action, record.sources) for record in best] == [("Audit", ("feed",))]


# The worst signatures.


def test_error_prone_signatures_come_by_misdetected_flows(graph: KnowledgeGraph) -> None:
    # Three errors each; 4 made them in four flows, 0 in nineteen.
    assert error_prone(graph) == (
        ErrorProne(4, "Benign", 4, 3, pytest.approx(2 / 6), "DoS"),
        ErrorProne(0, "Benign", 19, 3, pytest.approx(17 / 21), "DDoS"),
        ErrorProne(1, "DDoS", 13, 1, pytest.approx(13 / 15), "Web"),
    )
    assert [each.signature for each in error_prone(graph, 2)] == [4, 0]


def test_errors_count_for_the_whole_life_while_confidence_fades() -> None:
    graph = graph_of([(0, NOTHING, DDOS, 10)], [(1, FILTER, DDOS, 1000)], half_life=100)

    (worst,) = error_prone(graph)

    assert (worst.seen, worst.wrong) == (10, 10)
    assert worst.confidence == pytest.approx(1 / (2 + 10 / 2**10))


@pytest.mark.parametrize("number", [0, -1])
def test_fewer_than_one_answer_cannot_be_asked_for(graph: KnowledgeGraph, number: int) -> None:
    for query in (top_actions, error_prone):
        with pytest.raises(InputError, match="Expected at least 1"):
            query(graph, number)


# How big it is.


def test_stats_of_a_graph(graph: KnowledgeGraph) -> None:
    graph.merge_all(
        [
            Keyed(MergeKey("run", 1, 0), table_of([(2, NOTHING, DDOS, 1)])),
            Keyed(MergeKey("other", 0, 0), table_of([(2, NOTHING, BENIGN, 1)])),
        ]
    )
    graph.teach(
        [
            Lesson("Web", "Audit", 2, 5, "feed"),
            Lesson("Benign", "No Action", 5, 5, "feed"),
            Lesson("Web", "Audit", 3, 5, "analyst"),
        ]
    )

    assert stats(graph) == GraphStats(
        version=3,
        flows=50,
        merges=3,
        runs=2,
        nodes=NodeCounts(type=4, action=4, signature=4),
        # Benign is taken for DDoS by signatures 0 and 2, for DoS by 0 and 4: one pair each.
        edges=EdgeCounts(earned=5, predicts=4, confused=5),
        pairs=EdgeCounts(earned=5, predicts=4, confused=3),
        lessons=3,
        sources=("analyst", "feed"),
        half_life=None,
        seen=4,
        unseen=1,
    )
    assert (stats(graph).nodes.total, stats(graph).edges.total) == (12, 14)


@given(merges, st.booleans(), st.sampled_from([None, 20.0, 0.01]))
def test_nodes_and_edges_are_counted_as_the_view_has_them(
    parts: list[list[Row]], taught: bool, half_life: float | None
) -> None:
    graph = graph_of(*parts, half_life=half_life)
    if taught:
        graph.teach([Lesson("Infiltration", "Audit", 1, 1, "feed")])

    view, counted = to_networkx(graph), stats(graph)

    nodes = Counter(kind for _, kind in view.nodes(data="kind"))
    edges = Counter(kind for *_, kind in view.edges(data="kind"))
    pairs = Counter(kind for *_, kind in {(a, b, k) for a, b, k in view.edges(data="kind")})
    assert to_json(counted.nodes) == {k: nodes[k] for k in ("type", "action", "signature")}
    assert to_json(counted.edges) == {k: edges[k] for k in ("earned", "predicts", "confused")}
    assert to_json(counted.pairs) == {k: pairs[k] for k in ("earned", "predicts", "confused")}
    assert counted.nodes.total == len(view)
    assert counted.edges.total == view.number_of_edges()


def test_stats_of_an_empty_graph_are_all_zero() -> None:
    counted = stats(graph_of(half_life=7.5))

    assert (counted.flows, counted.merges, counted.runs, counted.lessons) == (0, 0, 0, 0)
    assert (counted.nodes.total, counted.edges.total, counted.pairs.total) == (0, 0, 0)
    assert (counted.seen, counted.unseen, counted.half_life) == (0, 5, 7.5)


# How confidence moved.


def test_history_has_a_point_where_the_signature_matched() -> None:
    tables = [
        (1, table_of([(0, NOTHING, BENIGN, 3), (1, FILTER, DDOS, 5)])),
        (2, table_of([(1, FILTER, DDOS, 5)])),
        (3, table_of([(0, NOTHING, DDOS, 4)])),
    ]

    history = list(confidence_history(tables, BENIGN, BetaPrior(), 0))

    assert history == [
        ConfidencePoint(version=1, flows=8, seen=3, correct=3, confidence=4 / 5),
        ConfidencePoint(version=3, flows=17, seen=7, correct=3, confidence=4 / 9),
    ]


def test_tables_of_one_version_make_one_point() -> None:
    tables = [(1, table_of([(0, NOTHING, BENIGN, 3)])), (1, table_of([(0, FILTER, BENIGN, 2)]))]

    (point,) = confidence_history(tables, BENIGN, BetaPrior(9, 1), 0)

    assert point == ConfidencePoint(1, 5, 5, 5, 14 / 15)


def test_history_goes_on_from_faded_counts() -> None:
    graph = graph_of([(0, NOTHING, DDOS, 8)], [(1, FILTER, DDOS, 100)], half_life=100)
    later = table_of([(0, NOTHING, BENIGN, 100)])

    first, then = confidence_history(
        [(3, later)], BENIGN, BetaPrior(), 0, start=graph.counts(), half_life=100
    )

    # Eight flows weigh four after the first hundred others and two after the second.
    assert first == ConfidencePoint(2, 108, seen=8, correct=0, confidence=1 / (2 + 4))
    assert then == ConfidencePoint(3, 208, seen=108, correct=100, confidence=101 / (2 + 102))


@given(merges, st.integers(0, 8), st.sampled_from([None, 40.0]))
def test_history_is_what_the_graph_answered_after_each_merge(
    parts: list[list[Row]], folded: int, half_life: float | None
) -> None:
    graph, start, answered, tables = graph_of(half_life=half_life), None, [], []
    for iteration, part in enumerate(parts):
        table = table_of(part)
        graph.merge(table, MergeKey("run", iteration, 0))
        around = neighbourhood(graph, 0)
        point = (graph.version, around.seen, around.correct, pytest.approx(around.confidence))
        if iteration < folded:
            start, answered = graph.counts(), [point] if around.seen else []
        else:
            tables.append((graph.version, table))
            answered += [point] if 0 in table.context else []

    history = list(
        confidence_history(tables, BENIGN, graph.prior, 0, start=start, half_life=half_life)
    )

    assert [(p.version, p.seen, p.correct, p.confidence) for p in history] == answered
    flows = np.cumsum([table_of(part).flows for part in parts]).tolist()
    assert [p.flows for p in history] == [flows[p.version - 1] for p in history]


# As JSON.


def test_every_answer_has_a_json_form_that_keeps_its_numbers(graph: KnowledgeGraph) -> None:
    graph.teach([Lesson("DDoS", "Audit", 2, 5, "feed")])

    for answer in (
        top_actions(graph),
        error_prone(graph),
        stats(graph),
        neighbourhood(graph, 0),
        list(confidence_history([(1, table_of([(0, 0, 0, 1)]))], BENIGN, graph.prior, 0)),
    ):
        told = to_json(answer)
        assert json.loads(json.dumps(told, allow_nan=False)) == untupled(told)
    assert to_json(error_prone(graph, 1)) == [
        {
            "signature": 4,
            "predicted": "Benign",
            "seen": 4,
            "wrong": 3,
            "confidence": pytest.approx(2 / 6),
            "actual": "DoS",
        }
    ]


def untupled(value: object) -> object:
    if isinstance(value, dict):
        return {key: untupled(each) for key, each in value.items()}
    return [untupled(each) for each in value] if isinstance(value, tuple | list) else value
