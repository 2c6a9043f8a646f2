"""The scorecard, worked out by hand on ten flows."""

from __future__ import annotations

import numpy as np
import pytest

from envs import Catalogue, Contexts, FlowSet
from envs.score import Part, best_actions, evaluate

PAPER = Catalogue.named("paper")

FILTER, NO_ACTION, VALIDATE = (
    PAPER.action_names.index(name)
    for name in ("Filter Network Traffic", "No Action", "Input Validation")
)

# The fixture's flows: signature 0 predicts DoS (3 right), 1 Benign (3 right, 1 DDoS),
# 2 Web (1 right, 2 Infiltration).


def test_rewards_of_a_policy(flow_set: FlowSet) -> None:
    card = evaluate(np.array([FILTER, NO_ACTION, FILTER]), flow_set)

    # Filtering earns 5 on DoS and Infiltration and -5 on Web; nothing done earns -5 on DDoS.
    assert card.score.per_class == {
        "DoS": 5.0,
        "Benign": 5.0,
        "DDoS": -5.0,
        "Web": -5.0,
        "Infiltration": 5.0,
    }
    assert card.score.average_reward == pytest.approx((8 * 5 - 2 * 5) / 10)
    assert card.score.class_mean_reward == pytest.approx((3 * 5 - 2 * 5) / 5)


def test_share_of_top_actions_by_detection(flow_set: FlowSet) -> None:
    card = evaluate(np.array([FILTER, NO_ACTION, FILTER]), flow_set)

    assert card.flows == 10
    assert card.misdetected == 3
    assert card.correct_action.all == pytest.approx(8 / 10)
    # Right: 3 DoS, 3 Benign of 7; wrong: both Infiltration of 3.
    assert card.correct_action.detected_correctly == pytest.approx(6 / 7)
    assert card.correct_action.misdetected == pytest.approx(2 / 3)


def test_second_best_actions_earn_but_do_not_count_as_correct(flow_set: FlowSet) -> None:
    intrusion_prevention = PAPER.action_names.index("Network Intrusion Prevention")

    card = evaluate(np.array([intrusion_prevention, NO_ACTION, VALIDATE]), flow_set)

    assert card.score.per_class["DoS"] == 4.0
    assert card.correct_action.detected_correctly == pytest.approx(4 / 7)


def test_bounds(flow_set: FlowSet) -> None:
    card = evaluate(np.array([0, 0, 0]), flow_set)

    dos, benign = 3 * 5, 3 * 5 - 5
    # Acting on the predicted class: Web gets validation, Infiltration's two flows with it.
    assert card.predicted_class.average_reward == (dos + benign + 5 - 2 * 5) / 10
    # Knowing the labels, multi-factor authentication earns 4 on Web and 3 on Infiltration.
    assert card.signature_oracle.average_reward == (dos + benign + 4 + 2 * 3) / 10


def test_no_policy_beats_the_signature_oracle_on_average(flow_set: FlowSet) -> None:
    bound = evaluate(np.zeros(3, int), flow_set).signature_oracle.average_reward

    every = [
        evaluate(np.array([a, b, c]), flow_set).score.average_reward
        for a in range(15)
        for b in range(15)
        for c in range(15)
    ]

    assert max(every) == pytest.approx(bound)


def test_classes_that_do_not_occur_have_no_reward(flow_set: FlowSet) -> None:
    card = evaluate(np.array([FILTER, NO_ACTION, VALIDATE]), flow_set)

    assert "PortScan" not in card.score.per_class
    assert card.flows_per_class == {"DoS": 3, "Benign": 3, "DDoS": 1, "Web": 1, "Infiltration": 2}


def test_json_has_the_documented_fields(flow_set: FlowSet) -> None:
    data = evaluate(np.array([FILTER, NO_ACTION, VALIDATE]), flow_set).to_json()

    assert {
        "average_reward",
        "class_mean_reward",
        "per_class",
        "correct_action",
        "bounds",
        "flows",
        "misdetected",
    } <= set(data)
    assert set(data["correct_action"]) == {"all", "detected_correctly", "misdetected"}
    for bound in ("predicted_class", "signature_oracle"):
        assert set(data["bounds"][bound]) == {"average_reward", "class_mean_reward", "per_class"}


def test_no_misdetections_means_no_share_of_them() -> None:
    flows = FlowSet(
        np.zeros(2, np.int32),
        np.zeros(2, np.int8),
        Contexts.of_signatures(np.zeros(1, np.int8)),
        PAPER,
    )

    assert evaluate(np.array([FILTER]), flows).correct_action.misdetected is None


def test_an_empty_set_has_no_scorecard() -> None:
    flows = FlowSet(
        np.zeros(0, np.int32),
        np.zeros(0, np.int8),
        Contexts.of_signatures(np.zeros(1, np.int8)),
        PAPER,
    )

    with pytest.raises(ValueError, match="at least one flow"):
        evaluate(np.array([FILTER]), flows)


def test_best_actions_weigh_every_class_by_its_flows() -> None:
    counts = np.zeros((2, 8), np.int64)
    counts[0, [PAPER.class_index("Benign"), PAPER.class_index("DoS")]] = [3, 1]
    counts[1, [PAPER.class_index("SSH-Patator"), PAPER.class_index("Web")]] = [1, 1]

    multi_factor = PAPER.action_names.index("Multi-factor Authentication")
    # Multi-factor authentication earns 4 on both; each one's own best earns -5 on the other.
    assert best_actions(counts, PAPER).tolist() == [NO_ACTION, multi_factor]


def two_opinions() -> FlowSet:
    """Nine flows in four contexts of two signatures: 'Benign' and 'DoS', each doubted once."""
    benign, dos, web = (PAPER.class_index(name) for name in ("Benign", "DoS", "Web"))
    met = [
        *[(0, benign)] * 3,  # both say Benign
        *[(1, web)] * 2,  # the second opinion says Web
        (1, benign),
        *[(2, web)] * 2,  # both say DoS
        (3, benign),  # the second opinion says Benign
    ]
    contexts = Contexts(
        np.array([0, 0, 1, 1], np.int32),
        np.array([benign, dos], np.int8),
        np.array([benign, web, dos, benign], np.int8),
        np.array([0.9995, 0.75, 0.9995, 0.5], np.float32),
    )
    context, actual = np.array(met).T
    return FlowSet(context.astype(np.int32), actual.astype(np.int8), contexts, PAPER)


def test_results_by_what_both_detectors_say() -> None:
    card = evaluate(np.array([NO_ACTION, VALIDATE, VALIDATE, FILTER]), two_opinions())

    told = card.opinions
    assert told is not None
    assert card.misdetected == 5
    # Tree wrong: contexts 1 (twice), 2 (twice), 3; right but in the last.
    assert told.tree_wrong == Part(5, (4 * 5 - 5) / 5, 4 / 5)
    assert told.tree_wrong.correct_action == card.correct_action.misdetected
    # Second opinion wrong: a flow of context 1, and both of context 2.
    assert told.opinion_wrong == Part(3, (2 * 5 - 5) / 3, 2 / 3)
    assert told.differ == Part(4, (2 * 5 - 2 * 5) / 4, 2 / 4)
    assert told.wrong_alike == Part(2, 5.0, 1.0)


def test_bounds_of_both_detectors() -> None:
    flows = two_opinions()
    training = np.zeros((4, len(PAPER.classes)), np.int64)
    # Where both say DoS, training flows were of Web.
    training[2, PAPER.class_index("Web")] = 3

    told = evaluate(np.zeros(4, int), flows, training).opinions

    assert told is not None
    # Right: 3 of context 0, 2 of 3 of context 1, none of context 2, the one of context 3.
    assert told.opinion_class.average_reward == pytest.approx((6 * 5 - 3 * 5) / 9)
    assert told.likeliest_class.average_reward == pytest.approx((8 * 5 - 5) / 9)
    assert told.context_oracle.average_reward == pytest.approx((8 * 5 - 5) / 9)
    untold = evaluate(np.zeros(4, int), flows).opinions
    assert untold is not None
    assert untold.likeliest_class == told.opinion_class


def test_there_are_no_results_by_both_where_there_is_one(flow_set: FlowSet) -> None:
    card = evaluate(np.zeros(3, int), flow_set)

    assert card.opinions is None
    assert "second_opinion" not in card.to_json()
    assert set(evaluate(np.zeros(4, int), two_opinions()).to_json()["second_opinion"]) == {
        *("tree_wrong", "opinion_wrong", "differ", "wrong_alike"),
        *("opinion_class", "likeliest_class", "context_oracle"),
    }
