from __future__ import annotations

import numpy as np
import pytest

from envs import PAPER, InteractionTable
from kg_actor import KnowledgeGraph, MergeKey, to_networkx

DOS, BENIGN, DDOS, WEB = (PAPER.class_index(n) for n in ("DoS", "Benign", "DDoS", "Web"))
FILTER, NOTHING = (
    PAPER.action_names.index(name) for name in ("Filter Network Traffic", "No Action")
)


@pytest.fixture
def graph() -> KnowledgeGraph:
    """Signature 0 says Benign and is wrong 15 % of the time, 1 says DDoS, 2 has met nothing."""
    graph = KnowledgeGraph(np.array([BENIGN, DDOS, WEB], np.int8), PAPER)
    rows = [
        (0, NOTHING, BENIGN, 17),
        (0, NOTHING, DDOS, 3),
        (1, FILTER, DDOS, 10),
    ]
    graph.merge(InteractionTable.tally(*np.array(rows).T), MergeKey("run", 0, 0))
    return graph


def test_there_are_three_kinds_of_nodes(graph: KnowledgeGraph) -> None:
    view = to_networkx(graph)

    assert dict(view.nodes(data=True)) == {
        "signature:0": {"kind": "signature", "label": "0"},
        "signature:1": {"kind": "signature", "label": "1"},
        "type:Benign": {"kind": "type", "label": "Benign"},
        "type:DDoS": {"kind": "type", "label": "DDoS"},
        "action:No Action": {"kind": "action", "label": "No Action"},
        "action:Filter Network Traffic": {"kind": "action", "label": "Filter Network Traffic"},
    }
    assert view.graph == {"version": 1}


def test_there_are_three_kinds_of_edges(graph: KnowledgeGraph) -> None:
    view = to_networkx(graph)

    edges = {(a, b): data for a, b, data in view.edges(data=True)}
    assert edges == {
        ("signature:0", "type:Benign"): {
            "kind": "predicts",
            "confidence": pytest.approx(18 / 22),
            "seen": 20,
            "correct": 17,
        },
        ("signature:1", "type:DDoS"): {
            "kind": "predicts",
            "confidence": pytest.approx(11 / 12),
            "seen": 10,
            "correct": 10,
        },
        ("type:Benign", "type:DDoS"): {
            "kind": "confused",
            "signature": 0,
            "count": 3,
            "share": pytest.approx(0.15),
            "confidence": pytest.approx(18 / 22),
        },
        ("type:Benign", "action:No Action"): {
            "kind": "earned",
            "reward_sum": 17 * 5 - 3 * 5,
            "count": 20,
            "mean_reward": pytest.approx(3.5),
        },
        ("type:DDoS", "action:Filter Network Traffic"): {
            "kind": "earned",
            "reward_sum": 50,
            "count": 10,
            "mean_reward": pytest.approx(5.0),
        },
    }


def test_two_signatures_that_confuse_the_same_types_have_an_edge_each() -> None:
    graph = KnowledgeGraph(np.array([BENIGN, BENIGN], np.int8), PAPER)
    table = InteractionTable.tally([0, 1], [NOTHING, NOTHING], [DDOS, DDOS], [1, 2])
    graph.merge(table, MergeKey("run", 0, 0))

    edges = to_networkx(graph).get_edge_data("type:Benign", "type:DDoS")

    assert {key: edge["count"] for key, edge in edges.items()} == {
        "signature:0": 1,
        "signature:1": 2,
    }


def test_view_of_some_signatures_holds_them_their_types_and_those_types_actions(
    graph: KnowledgeGraph,
) -> None:
    view = to_networkx(graph, [1])

    assert set(view) == {"signature:1", "type:DDoS", "action:Filter Network Traffic"}


def test_view_of_a_signature_that_has_met_nothing_shows_what_it_predicts(
    graph: KnowledgeGraph,
) -> None:
    view = to_networkx(graph, [2])

    assert list(view.edges(data=True)) == [
        (
            "signature:2",
            "type:Web",
            {"kind": "predicts", "confidence": 0.5, "seen": 0, "correct": 0},
        )
    ]


def test_view_of_an_empty_graph_is_empty() -> None:
    view = to_networkx(KnowledgeGraph(np.array([DOS], np.int8), PAPER))

    assert len(view) == 0


def test_nothing_is_written_back_through_the_view(graph: KnowledgeGraph) -> None:
    before = graph.counts()

    view = to_networkx(graph)
    view.remove_node("type:Benign")

    assert graph.counts().equals(before)
    assert "type:Benign" in to_networkx(graph)
