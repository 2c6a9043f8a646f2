from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import PAPER, InputError, InteractionTable
from kg_actor import KnowledgeGraph, MergeKey, to_networkx
from kg_actor.diff import Edge, GraphDiff, RewardChange, SignatureChange, difference
from kg_actor.lessons import Lesson
from kg_actor.queries import to_json

DOS, BENIGN, DDOS, WEB = (PAPER.class_index(n) for n in ("DoS", "Benign", "DDoS", "Web"))
FILTER, NOTHING = (
    PAPER.action_names.index(name) for name in ("Filter Network Traffic", "No Action")
)
PREDICTED = np.array([BENIGN, DDOS, BENIGN, WEB], np.int8)

Row = tuple[int, int, int, int]
"""Signature, action, actual class, count."""

rows = st.tuples(
    st.integers(0, len(PREDICTED) - 1),
    st.sampled_from([FILTER, NOTHING]),
    st.sampled_from([DOS, BENIGN, DDOS, WEB]),
    st.integers(1, 30),
)
lessons = st.builds(
    Lesson,
    traffic=st.sampled_from(["DoS", "Benign", "Web"]),
    action=st.sampled_from(["Filter Network Traffic", "Audit"]),
    reward=st.sampled_from([-5.0, 2.5]),
    weight=st.just(40.0),
    provenance=st.sampled_from(["feed", "analyst"]),
)


@st.composite
def graphs(draw: st.DrawFn) -> KnowledgeGraph:
    parts = draw(st.lists(st.lists(rows, max_size=4), max_size=4))
    merged = draw(st.permutations(range(len(parts))))
    graph = KnowledgeGraph(PREDICTED, PAPER, half_life=draw(st.sampled_from([None, 50.0])))
    for iteration in merged[: draw(st.integers(0, len(parts)))]:
        graph.merge(table_of(parts[iteration]), MergeKey("run", iteration, 0))
    graph.teach(draw(st.lists(lessons, max_size=3)))
    return graph


def table_of(rows: list[Row]) -> InteractionTable:
    return InteractionTable.tally(*np.array(rows, np.int64).reshape(-1, 4).T)


def graph_of(*merges: list[Row]) -> KnowledgeGraph:
    graph = KnowledgeGraph(PREDICTED, PAPER)
    for iteration, rows in enumerate(merges):
        graph.merge(table_of(rows), MergeKey("run", iteration, 0))
    return graph


FIRST: list[Row] = [(0, NOTHING, BENIGN, 8), (1, FILTER, DDOS, 4)]


def test_difference_that_one_merge_made() -> None:
    before = graph_of(FIRST)
    after = graph_of(FIRST, [(0, NOTHING, DDOS, 2), (1, FILTER, DDOS, 1), (3, FILTER, WEB, 1)])

    assert difference(before, after) == GraphDiff(
        version=(1, 2),
        flows=(12, 16),
        merges_gained=(MergeKey("run", 1, 0),),
        merges_lost=(),
        signatures=(
            SignatureChange(3, "Web", (0, 1), (0, 1), (0.5, 2 / 3)),
            SignatureChange(0, "Benign", (8, 10), (8, 8), (9 / 10, 9 / 12)),
            SignatureChange(1, "DDoS", (4, 5), (4, 5), (5 / 6, 6 / 7)),
        ),
        appeared=(
            Edge("earned", "type:Web", "action:Filter Network Traffic"),
            Edge("predicts", "signature:3", "type:Web"),
            Edge("confused", "type:Benign", "type:DDoS", signature=0),
        ),
        vanished=(),
        # 8 x 5 from eight flows, then 2 x -5 from two more.
        rewards=(RewardChange("Benign", "No Action", (5.0, 3.0)),),
        lessons_added=(),
        lessons_withdrawn=(),
    )


def test_difference_that_teaching_and_withdrawing_made() -> None:
    before, after = graph_of(FIRST), graph_of(FIRST)
    kept = Lesson("Benign", "No Action", 1, 2, "analyst")
    old, new = (Lesson("DDoS", "Filter Network Traffic", reward, 4, "feed") for reward in (1, 2))
    gone, more = Lesson("Web", "Audit", 1, 1, "old feed"), Lesson("DoS", "Audit", 3, 1, "feed")
    before.teach([kept, old, gone])
    after.teach([kept, new, more])

    found = difference(before, after)

    assert set(found.lessons_added) == {new, more}
    assert set(found.lessons_withdrawn) == {old, gone}
    assert found.appeared == (Edge("earned", "type:DoS", "action:Audit"),)
    assert found.vanished == (Edge("earned", "type:Web", "action:Audit"),)
    assert found.rewards == (RewardChange("DDoS", "Filter Network Traffic", (3.0, 3.5)),)
    assert (found.flows, found.signatures) == ((12, 12), ())


def test_key_that_stands_for_different_tables_is_gained_and_lost() -> None:
    found = difference(graph_of(FIRST), graph_of([(0, NOTHING, BENIGN, 9)]))

    assert found.merges_gained == found.merges_lost == (MergeKey("run", 0, 0),)


@given(graphs())
def test_a_graph_does_not_differ_from_itself_or_from_its_restored_copy(
    graph: KnowledgeGraph,
) -> None:
    copy = KnowledgeGraph(PREDICTED, PAPER, half_life=graph.half_life)
    copy.restore(graph.state())

    for found in (difference(graph, graph), difference(graph, copy)):
        nothing = ((),) * 8
        assert found.flows[0] == found.flows[1]
        assert found.version == (graph.version, graph.version)
        assert tuple(vars(found).values())[2:] == nothing


@given(graphs(), graphs())
def test_back_is_the_mirror_of_there(before: KnowledgeGraph, after: KnowledgeGraph) -> None:
    there, back = difference(before, after), difference(after, before)

    assert there.flows == back.flows[::-1]
    assert (there.merges_gained, there.merges_lost) == (back.merges_lost, back.merges_gained)
    assert (there.appeared, there.vanished) == (back.vanished, back.appeared)
    assert set(there.lessons_added) == set(back.lessons_withdrawn)
    assert there.rewards == tuple(
        replace(change, mean_reward=change.mean_reward[::-1]) for change in back.rewards
    )
    assert there.signatures == tuple(
        replace(
            change,
            seen=change.seen[::-1],
            correct=change.correct[::-1],
            confidence=change.confidence[::-1],
        )
        for change in back.signatures
    )


@given(graphs(), graphs())
def test_flows_edges_and_rewards_add_up(before: KnowledgeGraph, after: KnowledgeGraph) -> None:
    found = difference(before, after)

    gained = sum(after.merged[key].flows for key in found.merges_gained)
    lost = sum(before.merged[key].flows for key in found.merges_lost)
    assert found.flows[1] - found.flows[0] == gained - lost
    moved = sum(change.seen[1] - change.seen[0] for change in found.signatures)
    assert found.flows[1] - found.flows[0] == moved

    old, new = edges_with_rewards(before), edges_with_rewards(after)
    assert set(found.appeared) == set(new) - set(old)
    assert set(found.vanished) == set(old) - set(new)
    assert {
        (f"type:{change.traffic}", f"action:{change.action}"): change.mean_reward
        for change in found.rewards
    } == {
        (edge.source, edge.target): (old[edge], new[edge])
        for edge in set(old) & set(new)
        if old[edge] != new[edge]
    }


def edges_with_rewards(graph: KnowledgeGraph) -> dict[Edge, float | None]:
    return {
        Edge(data["kind"], source, target, data.get("signature")): data.get("mean_reward")
        for source, target, data in to_networkx(graph).edges(data=True)
    }


@given(graphs(), graphs())
def test_biggest_moves_come_first(before: KnowledgeGraph, after: KnowledgeGraph) -> None:
    found = difference(before, after)

    moves = [abs(change.confidence[1] - change.confidence[0]) for change in found.signatures]
    assert moves == sorted(moves, reverse=True)
    moves = [abs(change.mean_reward[1] - change.mean_reward[0]) for change in found.rewards]
    assert moves == sorted(moves, reverse=True)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (KnowledgeGraph(PREDICTED[:3], PAPER), r"different signatures \(4 and 3 of them\)"),
        (KnowledgeGraph(PREDICTED[::-1], PAPER), r"different signatures \(4 and 4 of them\)"),
        (
            KnowledgeGraph(PREDICTED, replace(PAPER, actions=PAPER.actions[::-1])),
            "different types or actions",
        ),
        (
            KnowledgeGraph(PREDICTED, replace(PAPER, classes=PAPER.classes[:7])),
            "different types or actions",
        ),
    ],
    ids=["fewer-signatures", "other-signatures", "other-actions", "fewer-types"],
)
def test_graphs_of_other_scenarios_are_refused(other: KnowledgeGraph, message: str) -> None:
    with pytest.raises(InputError, match=message):
        difference(graph_of(FIRST), other)


def test_difference_has_a_json_form() -> None:
    found = difference(graph_of(FIRST), graph_of(FIRST, [(0, NOTHING, DDOS, 2)]))

    told = json.loads(json.dumps(to_json(found), allow_nan=False))

    assert told["flows"] == [12, 14]
    assert told["merges_gained"] == [["run", 1, 0]]
    assert told["signatures"][0]["signature"] == 0
    assert told["appeared"][0]["kind"] == "confused"
