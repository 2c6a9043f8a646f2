"""The graph reader where signatures are the rules of an IDS, which are often wrong."""

from __future__ import annotations

import numpy as np

from envs import BetaPrior, Catalogue, InteractionTable
from kg_actor import GraphSpec, MergeKey, records_of
from llm_actor.advisor import GraphReader
from llm_actor.prompts import compose

PAPER = Catalogue.named("paper")


def test_what_an_action_earns_is_learnt_by_the_classes_that_flows_truly_were_of() -> None:
    """All rules predict one class; one of them is always wrong, and met far more often."""
    benign, attack = PAPER.benign, PAPER.class_index("PortScan")
    best = PAPER.best_actions
    spec = GraphSpec(
        "0" * 64, "suricata-alerts", np.full(2, attack, np.int8), PAPER, BetaPrior(), of_rules=True
    )
    graph = GraphSpec.from_json(spec.to_json(), "here").new_graph()
    for rule, actual, flows in ((0, benign, 90), (1, attack, 9)):
        actions = np.array([best[attack], best[benign]])
        met = InteractionTable.tally(
            np.full(2, rule), actions, np.full(2, actual), np.full(2, flows)
        )
        graph.merge(met, MergeKey("run", rule, 0))

    records = records_of(graph.counts(), PAPER, BetaPrior())
    promised = GraphReader().promised(compose(records, PAPER))

    assert promised.argmax(axis=1).tolist() == [best[benign], best[attack]]
    assert np.flatnonzero(~np.isnan(records.action_reward[benign])).tolist() == sorted(
        {int(best[benign]), int(best[attack])}
    )
