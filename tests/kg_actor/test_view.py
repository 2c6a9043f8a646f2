from __future__ import annotations

import numpy as np
import pytest

from envs import Catalogue, InteractionTable
from kg_actor import KnowledgeGraph, MergeKey, to_networkx
from kg_actor.lessons import Lesson
from kg_actor.view import edges_of

PAPER = Catalogue.named("paper")

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
        "signature:0": {
            "kind": "signature",
            "label": "0",
            "seen": 20,
            "correct": 17,
            "confidence": pytest.approx(18 / 22),
        },
        "signature:1": {
            "kind": "signature",
            "label": "1",
            "seen": 10,
            "correct": 10,
            "confidence": pytest.approx(11 / 12),
        },
        "type:Benign": {"kind": "type", "label": "Benign", "name": "Benign"},
        "type:DDoS": {"kind": "type", "label": "DDoS", "name": "DDoS"},
        "action:No Action": {
            "kind": "action",
            "label": "No Action",
            "name": "No Action",
            "attack_id": "",
        },
        "action:Filter Network Traffic": {
            "kind": "action",
            "label": "Filter Network Traffic",
            "name": "Filter Network Traffic",
            "attack_id": "M1037",
        },
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
            "evidence": 20.0,
        },
        ("signature:1", "type:DDoS"): {
            "kind": "predicts",
            "confidence": pytest.approx(11 / 12),
            "seen": 10,
            "correct": 10,
            "evidence": 10.0,
        },
        ("type:Benign", "type:DDoS"): {
            "kind": "confused",
            "signature": 0,
            "count": 3,
            "evidence": 3.0,
            "share": pytest.approx(0.15),
            "confidence": pytest.approx(18 / 22),
        },
        ("type:Benign", "action:No Action"): {
            "kind": "earned",
            "reward_sum": 17 * 5 - 3 * 5,
            "count": 20,
            "evidence": 20.0,
            "mean_reward": pytest.approx(3.5),
            "taught": False,
            "taught_weight": 0.0,
            "sources": [],
        },
        ("type:DDoS", "action:Filter Network Traffic"): {
            "kind": "earned",
            "reward_sum": 50,
            "count": 10,
            "evidence": 10.0,
            "mean_reward": pytest.approx(5.0),
            "taught": False,
            "taught_weight": 0.0,
            "sources": [],
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
            {"kind": "predicts", "confidence": 0.5, "seen": 0, "correct": 0, "evidence": 0.0},
        )
    ]


def test_view_of_an_empty_graph_is_empty() -> None:
    view = to_networkx(KnowledgeGraph(np.array([DOS], np.int8), PAPER))

    assert len(view) == 0


def test_taught_edges_are_marked_with_their_sources(graph: KnowledgeGraph) -> None:
    graph.teach(
        [
            Lesson("Benign", "No Action", reward=-0.5, weight=20, provenance="feed"),
            Lesson("Web", "Input Validation", reward=4, weight=3, provenance="feed"),
            Lesson("Web", "Input Validation", reward=5, weight=1, provenance="analyst"),
        ]
    )

    view = to_networkx(graph)

    assert view.edges["type:Benign", "action:No Action", 0] == {
        "kind": "earned",
        "reward_sum": 70,
        "count": 20,
        "evidence": 20.0,
        "mean_reward": pytest.approx((70 - 10) / 40),
        "taught": True,
        "taught_weight": 20.0,
        "sources": ["feed"],
    }
    # No flow was ever taken for Web; what is known of it is taught.
    assert view.edges["type:Web", "action:Input Validation", 0] == {
        "kind": "earned",
        "reward_sum": 0,
        "count": 0,
        "evidence": 0.0,
        "mean_reward": pytest.approx(17 / 4),
        "taught": True,
        "taught_weight": 4.0,
        "sources": ["analyst", "feed"],
    }
    assert view.nodes["action:Input Validation"]["attack_id"] == "M0818"
    assert not view.edges["type:DDoS", "action:Filter Network Traffic", 0]["taught"]


def test_view_of_some_signatures_leaves_out_what_was_taught_of_other_types(
    graph: KnowledgeGraph,
) -> None:
    graph.teach([Lesson("Web", "Input Validation", reward=4, weight=3, provenance="feed")])

    assert "type:Web" not in to_networkx(graph, [0, 1])
    assert set(to_networkx(graph, [2])) == {"signature:2", "type:Web", "action:Input Validation"}


def test_forgetting_fades_shares_and_rewards_but_no_flows() -> None:
    graph = KnowledgeGraph(np.array([BENIGN], np.int8), PAPER, half_life=100)
    old = InteractionTable.tally([0], [NOTHING], [DDOS], [200])
    new = InteractionTable.tally([0], [NOTHING], [BENIGN], [100])
    graph.merge(old, MergeKey("run", 0, 0))
    graph.merge(new, MergeKey("run", 1, 0))

    view = to_networkx(graph)

    # One half-life later, 200 flows weigh as much as the 100 new ones.
    predicts = view.edges["signature:0", "type:Benign", 0]
    assert (predicts["seen"], predicts["correct"], predicts["evidence"]) == (300, 100, 200.0)
    assert predicts["confidence"] == view.nodes["signature:0"]["confidence"] == 0.5
    confused = view.edges["type:Benign", "type:DDoS", "signature:0"]
    assert (confused["count"], confused["evidence"], confused["share"]) == (200, 100.0, 0.5)
    earned = view.edges["type:Benign", "action:No Action", 0]
    assert (earned["count"], earned["reward_sum"], earned["mean_reward"]) == (300, -500, 0.0)


def test_unknown_signature_is_a_key_error(graph: KnowledgeGraph) -> None:
    with pytest.raises(KeyError, match="no signature 3"):
        to_networkx(graph, [0, 3])


def test_edges_as_arrays_are_those_of_the_view(graph: KnowledgeGraph) -> None:
    graph.teach([Lesson("Web", "Input Validation", reward=4, weight=3, provenance="feed")])
    edges = edges_of(graph)

    assert {
        (f"type:{PAPER.class_names[t]}", f"action:{PAPER.action_names[a]}")
        for t, a in np.argwhere(edges.earned)
    } == ends(graph, "earned")
    assert np.flatnonzero(edges.predicts).tolist() == [0, 1]
    assert np.argwhere(edges.confused).tolist() == [[0, DDOS]]


def ends(graph: KnowledgeGraph, kind: str) -> set[tuple[str, str]]:
    edges = to_networkx(graph).edges(data=True)
    return {(source, target) for source, target, data in edges if data["kind"] == kind}


def test_nothing_is_written_back_through_the_view(graph: KnowledgeGraph) -> None:
    before = graph.counts()

    view = to_networkx(graph)
    view.remove_node("type:Benign")

    assert graph.counts().equals(before)
    assert "type:Benign" in to_networkx(graph)
