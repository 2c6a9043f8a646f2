from __future__ import annotations

import numpy as np
import pytest

from envs import PAPER, BetaPrior, InteractionTable
from kg_actor import KnowledgeGraph, MergeKey, neighbourhood, records_of
from kg_actor.neighbourhood import ActionRecord, ConfusionRecord

DOS, BENIGN, DDOS, WEB = (PAPER.class_index(n) for n in ("DoS", "Benign", "DDoS", "Web"))
FILTER, PREVENT, NOTHING = (
    PAPER.action_names.index(name)
    for name in ("Filter Network Traffic", "Network Intrusion Prevention", "No Action")
)


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
    assert around.confidence == pytest.approx((1 + 16) / (2 + 20))
    assert around.version == 1
    # 'No Action' was right 16 + 12 times and wrong twice: 28 x 5 - 2 x 5.
    assert around.actions == (
        ActionRecord("Filter Network Traffic", count=2, reward_sum=10),
        ActionRecord("No Action", count=30, reward_sum=130),
    )
    assert around.actions[1].mean_reward == pytest.approx(130 / 30)
    # Nothing was ever predicted as DoS, so no action is on record for it.
    assert around.confusions == (
        ConfusionRecord("DDoS", count=3, share=0.15, best_action="Filter Network Traffic"),
        ConfusionRecord("DoS", count=1, share=0.05, best_action=None),
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


@pytest.mark.parametrize("signature", [-1, 4])
def test_unknown_signature_is_a_key_error_that_names_it(
    graph: KnowledgeGraph, signature: int
) -> None:
    with pytest.raises(KeyError, match=f"no signature {signature}; ids go from 0 to 3"):
        neighbourhood(graph, signature)


def test_records_hold_every_signatures_neighbourhood_as_arrays(graph: KnowledgeGraph) -> None:
    records = records_of(graph.counts(), graph.predicted, PAPER, graph.prior)

    assert records.version == 1
    for signature in range(4):
        around = neighbourhood(graph, signature)
        predicted = records.predicted[signature]
        tried = np.flatnonzero(records.action_count[predicted])
        assert PAPER.class_names[predicted] == around.predicted
        assert records.signature_actual[signature].sum() == around.seen
        assert records.signature_actual[signature, predicted] == around.correct
        assert records.confidence[signature] == around.confidence
        assert {
            (
                PAPER.action_names[action],
                records.action_count[predicted, action],
                records.action_reward[predicted, action],
            )
            for action in tried
        } == {(record.action, record.count, record.mean_reward) for record in around.actions}


def test_records_without_experience_are_nan_and_not_zero(graph: KnowledgeGraph) -> None:
    records = records_of(graph.counts(), graph.predicted, PAPER, graph.prior)

    assert np.array_equal(np.isnan(records.action_reward), records.action_count == 0)
    assert np.isnan(records.action_reward[WEB]).all()
