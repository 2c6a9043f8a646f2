from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import PAPER, BetaPrior, InputError, InteractionTable
from kg_actor import KnowledgeGraph, MergeKey, neighbourhood, records_of
from kg_actor.lessons import Lesson
from kg_actor.neighbourhood import neighbourhoods, type_neighbourhood
from kg_actor.records import (
    ActionRecord,
    ConfusionRecord,
    Neighbourhood,
    SignatureRecord,
    TypeConfusion,
)

DOS, BENIGN, DDOS, WEB = (PAPER.class_index(n) for n in ("DoS", "Benign", "DDoS", "Web"))
FILTER, PREVENT, NOTHING = (
    PAPER.action_names.index(name)
    for name in ("Filter Network Traffic", "Network Intrusion Prevention", "No Action")
)

PREDICTED = np.array([DOS, BENIGN, WEB, DOS, DDOS, BENIGN], np.int8)

Row = tuple[int, int, int, int]
"""Signature, action, actual class, count."""

Step = list[Row] | list[Lesson] | str
"""Flows to merge, lessons to teach, or a source to withdraw."""

actions = st.sampled_from([FILTER, PREVENT, NOTHING])
types = st.sampled_from([DOS, BENIGN, DDOS, WEB])
rows = st.tuples(st.integers(0, len(PREDICTED) - 1), actions, types, st.integers(1, 30))
lessons = st.builds(
    Lesson,
    traffic=types.map(lambda traffic: PAPER.class_names[traffic]),
    action=actions.map(lambda action: PAPER.action_names[action]),
    reward=st.sampled_from([-5.0, -1.0, 2.5]),
    weight=st.sampled_from([0.5, 40.0]),
    provenance=st.sampled_from(["feed", "analyst"]),
)
steps = st.one_of(
    st.lists(rows, min_size=1, max_size=4),
    st.lists(lessons, min_size=1, max_size=3),
    st.sampled_from(["feed", "analyst"]),
)


def merge(graph: KnowledgeGraph, rows: list[Row]) -> None:
    table = InteractionTable.tally(*np.array(rows).T)
    graph.merge(table, MergeKey("run", len(graph.merged), 0))


def take(graph: KnowledgeGraph, step: Step) -> None:
    if isinstance(step, str):
        graph.withdraw(step)
    elif isinstance(step[0], Lesson):
        graph.teach([lesson for lesson in step if isinstance(lesson, Lesson)])
    else:
        merge(graph, [row for row in step if not isinstance(row, Lesson)])


def left_out(around: Neighbourhood) -> set[str]:
    return {record.action for record in around.actions if record.left_out}


def answers_without_version(around: Iterable[Neighbourhood]) -> dict[int, Neighbourhood]:
    return {each.signature: replace(each, version=0) for each in around}


@pytest.fixture
def graph() -> KnowledgeGraph:
    """As in the paper's Fig. 2, a signature that says Benign meets DDoS 15 % of the time.

    Signature 0 says Benign, 1 says DDoS, 2 says Benign, too, and 3 has met nothing.
    """
    graph = KnowledgeGraph(np.array([BENIGN, DDOS, BENIGN, WEB], np.int8), PAPER)
    rows = [
        (0, NOTHING, BENIGN, 16),
        (0, NOTHING, DDOS, 2),
        (0, FILTER, DDOS, 1),
        (0, FILTER, DOS, 1),
        (1, FILTER, DDOS, 10),
        (1, PREVENT, DDOS, 2),
        (2, NOTHING, BENIGN, 12),
    ]
    graph.merge(InteractionTable.tally(*np.array(rows).T), MergeKey("run", 0, 0))
    return graph


def test_neighbourhood_of_a_signature_that_is_sometimes_wrong(graph: KnowledgeGraph) -> None:
    around = neighbourhood(graph, 0)

    assert around.signature == 0
    assert around.predicted == "Benign"
    assert (around.seen, around.correct) == (20, 16)
    assert around.evidence == 20
    assert around.confidence == pytest.approx((1 + 16) / (2 + 20))
    assert around.version == 1
    # 'No Action' was right 16 + 12 times and wrong twice: 28 x 5 - 2 x 5.
    assert around.actions == (
        ActionRecord("Filter Network Traffic", 2, 10, evidence=2, mean_reward=5),
        ActionRecord("No Action", 30, 130, evidence=30, mean_reward=130 / 30),
    )
    # Nothing was ever predicted as DoS, so no action is on record for it.
    assert around.confusions == (
        ConfusionRecord("DDoS", 3, 3, 0.15, around.confidence, "Filter Network Traffic"),
        ConfusionRecord("DoS", 1, 1, 0.05, around.confidence, best_action=None),
    )


def test_neighbourhood_of_a_signature_that_is_always_right(graph: KnowledgeGraph) -> None:
    around = neighbourhood(graph, 1)

    assert (around.seen, around.correct) == (12, 12)
    assert around.confidence == pytest.approx(13 / 14)
    assert around.confusions == ()
    assert [(record.action, record.mean_reward) for record in around.actions] == [
        ("Filter Network Traffic", 5.0),
        ("Network Intrusion Prevention", 4.0),
    ]


def test_neighbourhood_of_a_signature_that_has_met_nothing(graph: KnowledgeGraph) -> None:
    around = neighbourhood(graph, 3)

    assert (around.predicted, around.seen, around.correct) == ("Web", 0, 0)
    assert around.confidence == 0.5
    assert around.actions == around.confusions == ()


def test_confidence_follows_the_graphs_prior() -> None:
    graph = KnowledgeGraph(np.array([WEB], np.int8), PAPER, BetaPrior(9, 1))

    assert neighbourhood(graph, 0).confidence == 0.9


@pytest.mark.parametrize("signature", [-1, 4, 10**30])
def test_unknown_signature_is_a_key_error_that_names_it(
    graph: KnowledgeGraph, signature: int
) -> None:
    with pytest.raises(KeyError, match=f"no signature {signature}; ids go from 0 to 3"):
        neighbourhood(graph, signature)


# Which actions the filter leaves out.


def test_actions_that_the_filter_leaves_out_are_marked() -> None:
    # Both say Benign, where filtering has failed; the first has met DDoS, where it has not.
    graph = KnowledgeGraph(np.array([BENIGN, BENIGN, DDOS], np.int8), PAPER)
    rows = [
        (0, NOTHING, BENIGN, 90),
        (0, NOTHING, DDOS, 10),
        (1, FILTER, BENIGN, 5),
        (1, PREVENT, BENIGN, 5),
        (2, FILTER, DDOS, 5),
    ]
    merge(graph, rows)

    confused, other, _ = neighbourhoods(graph)

    assert left_out(confused) == {"Network Intrusion Prevention"}
    assert left_out(other) == {"Network Intrusion Prevention", "Filter Network Traffic"}


def test_nothing_is_marked_where_everything_is_open_again() -> None:
    graph = KnowledgeGraph(np.array([DOS], np.int8), PAPER)
    merge(graph, [(0, action, BENIGN, 1) for action in range(15) if action != NOTHING])
    graph.teach([Lesson("DoS", "No Action", -5, 1, "analyst")])

    around = neighbourhood(graph, 0)

    assert {record.mean_reward for record in around.actions} == {-5.0}
    assert left_out(around) == set()


# What was taught.


def test_taught_experience_counts_but_stands_apart(graph: KnowledgeGraph) -> None:
    graph.teach(
        [
            Lesson("Benign", "No Action", reward=-1.0, weight=20, provenance="feed"),
            Lesson("Benign", "No Action", reward=2.0, weight=10, provenance="analyst"),
        ]
    )

    record = next(r for r in neighbourhood(graph, 0).actions if r.action == "No Action")

    assert (record.count, record.reward_sum, record.evidence) == (30, 130, 30)
    assert (record.taught_weight, record.taught_reward_sum) == (30, 0)
    assert record.sources == ("analyst", "feed")
    assert record.mean_reward == pytest.approx((130 + 0) / (30 + 30))


def test_edge_that_is_only_taught_is_a_record_until_it_is_withdrawn(graph: KnowledgeGraph) -> None:
    graph.teach([Lesson("DoS", "Audit", reward=1.5, weight=8, provenance="feed")])

    taught = neighbourhood(graph, 0).confusions[1]
    around = type_neighbourhood(graph, "DoS")

    assert (taught.actual, taught.best_action) == ("DoS", "Audit")
    assert around.actions == (ActionRecord("Audit", 0, 0, 0.0, 1.5, 8.0, 12.0, ("feed",)),)
    graph.withdraw("feed")
    assert type_neighbourhood(graph, "DoS").actions == ()


# Where old flows fade.


def test_forgetting_fades_evidence_and_keeps_whole_flows() -> None:
    graph = KnowledgeGraph(np.array([BENIGN, DOS], np.int8), PAPER, half_life=100)
    merge(graph, [(0, NOTHING, DDOS, 10)])
    merge(graph, [(0, NOTHING, BENIGN, 20), (1, FILTER, DOS, 80)])

    around = neighbourhood(graph, 0)

    # One half-life later, ten flows weigh five.
    assert (around.seen, around.correct, around.evidence) == (30, 20, 25.0)
    assert around.confidence == pytest.approx((1 + 20) / (2 + 25))
    assert around.confusions == (ConfusionRecord("DDoS", 10, 5.0, 5 / 25, around.confidence, None),)
    assert around.actions == (
        ActionRecord("No Action", 30, 50, evidence=25.0, mean_reward=(20 * 5 - 5 * 5) / 25),
    )
    assert type_neighbourhood(graph, "Benign").confusions == (
        TypeConfusion("DDoS", 10, 5.0, 5 / 25, None),
    )


def test_edge_whose_flows_have_faded_to_nothing_is_no_record() -> None:
    graph = KnowledgeGraph(np.array([BENIGN, DOS], np.int8), PAPER, half_life=0.001)
    merge(graph, [(0, NOTHING, DDOS, 10)])
    merge(graph, [(1, FILTER, DOS, 80)])

    around = neighbourhood(graph, 0)

    assert (around.seen, around.evidence, around.confidence) == (10, 0.0, 0.5)
    assert around.actions == around.confusions == ()


# All at once, and since a version.


@st.composite
def taught_and_merged(draw: st.DrawFn) -> KnowledgeGraph:
    half_life = draw(st.sampled_from([None, 50.0]))
    graph = KnowledgeGraph(PREDICTED, PAPER, half_life=half_life)
    for step in draw(st.lists(steps, max_size=8)):
        take(graph, step)
    return graph


@given(taught_and_merged())
def test_all_neighbourhoods_are_those_asked_one_by_one(graph: KnowledgeGraph) -> None:
    seen = np.flatnonzero(graph.counts().signature_actual.sum(axis=1)).tolist()

    assert neighbourhoods(graph) == tuple(neighbourhood(graph, i) for i in seen)


@given(taught_and_merged())
def test_sums_over_neighbourhoods_are_the_graphs_totals(graph: KnowledgeGraph) -> None:
    counts, everything = graph.counts(), neighbourhoods(graph)
    types = [type_neighbourhood(graph, name) for name in PAPER.class_names]
    flows = int(counts.signature_actual.sum())
    wrong = sum(around.seen - around.correct for around in everything)

    assert sum(around.seen for around in everything) == flows
    assert sum(c.count for around in everything for c in around.confusions) == wrong
    assert sum(around.seen for around in types) == flows
    assert sum(record.count for around in types for record in around.actions) == flows
    assert sum(c.count for around in types for c in around.confusions) == wrong
    assert sum(around.missed for around in types) == wrong
    assert sum(record.reward_sum for around in types for record in around.actions) == int(
        (counts.type_action.sum(axis=0).T * PAPER.rewards.astype(np.int64)).sum()
    )
    for around in types:
        assert sum(record.seen for record in around.signatures) == around.seen
        assert sum(record.correct for record in around.signatures) == around.correct


@given(taught_and_merged(), st.lists(steps, max_size=3))
def test_since_a_version_no_changed_answer_is_missed(
    graph: KnowledgeGraph, later: list[Step]
) -> None:
    before, version = answers_without_version(neighbourhoods(graph)), graph.version
    for step in later:
        take(graph, step)

    changed = {around.signature for around in neighbourhoods(graph, since=version)}

    after = answers_without_version(neighbourhoods(graph))
    assert {i for i in after if after[i] != before.get(i)} <= changed
    changes = graph.changes()
    moved = {PAPER.class_names[t] for t in np.flatnonzero(changes.traffic > version)}
    assert changed == {
        i
        for i, around in after.items()
        if changes.signature[i] > version
        or (graph.half_life is not None and (changes.signature > version).any())
        or around.predicted in moved
        or any(confusion.actual in moved for confusion in around.confusions)
    }


def test_since_a_version_only_what_the_last_merge_touched(graph: KnowledgeGraph) -> None:
    merge(graph, [(1, FILTER, DDOS, 1)])

    # Signature 1 itself, and 0, which was confused with its type; 2 has no part in it.
    assert [around.signature for around in neighbourhoods(graph, since=1)] == [0, 1]
    assert neighbourhoods(graph, since=2) == ()
    assert neighbourhoods(graph, since=0) == neighbourhoods(graph)


def test_where_flows_fade_every_merge_changes_every_signature() -> None:
    graph = KnowledgeGraph(np.array([BENIGN, DOS, WEB], np.int8), PAPER, half_life=100)
    merge(graph, [(0, NOTHING, BENIGN, 10)])
    merge(graph, [(1, FILTER, DOS, 100)])
    graph.teach([Lesson("DoS", "Audit", 1, 1, "feed")])

    assert [around.signature for around in neighbourhoods(graph, since=1)] == [0, 1]
    # Teaching lets nothing fade.
    assert [around.signature for around in neighbourhoods(graph, since=2)] == [1]


def test_version_that_the_graph_has_not_reached_is_refused(graph: KnowledgeGraph) -> None:
    with pytest.raises(InputError, match=r"not reached version 2\. Expected a version up to 1"):
        neighbourhoods(graph, since=2)


# Around a type.


def test_neighbourhood_of_a_type(graph: KnowledgeGraph) -> None:
    around = type_neighbourhood(graph, "Benign")

    assert (around.traffic, around.seen, around.correct, around.missed) == ("Benign", 32, 28, 0)
    assert around.actions == neighbourhood(graph, 0).actions
    assert around.signatures == (
        SignatureRecord(0, 20, 16, 20.0, pytest.approx(17 / 22)),
        SignatureRecord(2, 12, 12, 12.0, pytest.approx(13 / 14)),
    )
    assert around.confusions == (
        TypeConfusion("DDoS", 3, 3.0, 3 / 32, "Filter Network Traffic"),
        TypeConfusion("DoS", 1, 1.0, 1 / 32, None),
    )
    assert around.version == 1


def test_flows_of_a_type_that_were_taken_for_others_are_missed(graph: KnowledgeGraph) -> None:
    assert type_neighbourhood(graph, "DDoS").missed == 3
    assert type_neighbourhood(graph, "DoS").missed == 1
    assert type_neighbourhood(graph, "DoS").signatures == ()


def test_type_lists_signatures_that_have_met_nothing(graph: KnowledgeGraph) -> None:
    assert type_neighbourhood(graph, "Web").signatures == (SignatureRecord(3, 0, 0, 0.0, 0.5),)


def test_type_is_asked_about_without_the_filter_of_any_signature(graph: KnowledgeGraph) -> None:
    merge(graph, [(0, PREVENT, BENIGN, 4)])

    assert left_out(neighbourhood(graph, 0)) == set()  # DDoS supports it
    assert left_out(neighbourhood(graph, 2)) == {"Network Intrusion Prevention"}
    assert not any(record.left_out for record in type_neighbourhood(graph, "Benign").actions)


def test_signatures_of_a_type_come_by_their_flows(graph: KnowledgeGraph) -> None:
    merge(graph, [(2, NOTHING, BENIGN, 30)])

    benign = type_neighbourhood(graph, "Benign")

    assert [(each.signature, each.seen) for each in benign.signatures] == [(2, 42), (0, 20)]


def test_unknown_type_is_a_key_error_that_names_it(graph: KnowledgeGraph) -> None:
    with pytest.raises(KeyError, match="no traffic type 'benign'; there are PortScan, DoS"):
        type_neighbourhood(graph, "benign")


# Arrays for advisors.


def test_records_hold_every_signatures_neighbourhood_as_arrays(graph: KnowledgeGraph) -> None:
    records = records_of(graph.counts(), PAPER, graph.prior)

    assert records.version == 1
    for signature in range(4):
        around = neighbourhood(graph, signature)
        predicted = records.predicted[signature]
        tried = np.flatnonzero(records.action_weight[predicted])
        assert PAPER.class_names[predicted] == around.predicted
        assert records.context_actual[signature].sum() == around.seen
        assert records.context_actual[signature, predicted] == around.correct
        assert records.confidence[signature] == around.confidence
        assert {
            (
                PAPER.action_names[action],
                records.action_weight[predicted, action],
                records.action_reward[predicted, action],
            )
            for action in tried
        } == {(record.action, record.count, record.mean_reward) for record in around.actions}


def test_records_without_experience_are_nan_and_not_zero(graph: KnowledgeGraph) -> None:
    records = records_of(graph.counts(), PAPER, graph.prior)

    assert np.array_equal(np.isnan(records.action_reward), records.action_weight == 0)
    assert np.isnan(records.action_reward[WEB]).all()
