"""What a policy would do, by detected class, and why it departs from the usual mitigation."""

from __future__ import annotations

import numpy as np
import pytest

from envs import InteractionTable, Scenario
from kg_actor import GraphSpec, KnowledgeGraph, MergeKey
from rayapp.lab.choices import choices
from rayapp.rl.saved_policy import TablePolicy


def test_a_departure_is_shown_with_what_the_graph_knows_of_it(scenario: Scenario) -> None:
    predicted, catalogue = scenario.signatures.predicted, scenario.catalogue
    busiest = int(np.bincount(scenario.test[0]).argmax())
    usual = catalogue.best_actions[predicted]
    other = int((usual[busiest] + 1) % len(catalogue.actions))
    table = 0.1 * np.eye(len(catalogue.actions))[usual] + 0.9 / len(catalogue.actions)
    table[busiest] = 0.0
    table[busiest, [usual[busiest], other]] = 0.2, 0.8
    graph: KnowledgeGraph = GraphSpec.of(scenario).new_graph()
    right = predicted[busiest]
    wrong = (right + 1) % len(catalogue.classes)
    actual = np.array([right, right, right, wrong], np.int8)
    tally = InteractionTable.tally(np.full(4, busiest), np.zeros(4, np.int64), actual)
    graph.merge(tally, MergeKey("test", 0, 0))

    made = {one.detected: one for one in choices(TablePolicy(table, "x"), scenario, graph)}

    own = made[catalogue.class_names[predicted[busiest]]]
    (departure,) = own.departures
    flows = np.bincount(scenario.test[0], minlength=len(predicted))
    assert sum(one.flows for one in made.values()) == len(scenario.test[0])
    assert departure.signature == busiest
    assert departure.flows == flows[busiest]
    assert own.share == pytest.approx(1 - departure.flows / own.flows)
    assert departure.mitigation == catalogue.action_names[other]
    assert departure.sure == pytest.approx(0.8)
    assert [count for _, count in departure.records] == [3, 1]
    rewards = catalogue.rewards[:, other]
    assert departure.earns == pytest.approx((3 * rewards[right] + rewards[wrong]) / 4)
    assert all(not one.departures for name, one in made.items() if one is not own)
