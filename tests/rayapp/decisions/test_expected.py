"""Expected rewards: the graph's flows and the prior, or the policy's own counters."""

from __future__ import annotations

import numpy as np
import pytest

from envs import BetaPrior, Scenario
from rayapp.decisions.decider import Decider
from rayapp.decisions.expected import class_shares, expected_rewards
from rayapp.decisions.knowledge import RunKnowledge
from rayapp.runs.folder import RunFolder


def test_shares_are_flows_and_the_prior_of_eq_1() -> None:
    # Two contexts of class 0: one that has met no flow, one that was wrong once in three.
    evidence = np.array([[0, 0, 0], [2, 1, 0], [0, 3, 1]])

    shares = class_shares(evidence, np.array([0, 0, 1], np.int8), BetaPrior(1, 1))

    # Of the other classes, 1 was met four times and 2 once: the prior's one flow is spread so.
    assert shares[0].tolist() == pytest.approx([1 / 2, 0.8 / 2, 0.2 / 2])
    assert shares[1].tolist() == pytest.approx([3 / 5, 1.8 / 5, 0.2 / 5])
    assert shares.sum(axis=1).tolist() == pytest.approx([1, 1, 1])


def test_without_any_flow_the_prior_is_spread_evenly() -> None:
    shares = class_shares(np.zeros((1, 3), np.int64), np.array([2], np.int8), BetaPrior(2, 1))

    assert shares[0].tolist() == pytest.approx([1 / 6, 1 / 6, 4 / 6])
    one_class = class_shares(np.zeros((1, 1), np.int64), np.array([0], np.int8), BetaPrior())
    assert one_class.tolist() == [[1]]


def test_the_class_detected_has_the_confidence_of_eq_1(decider: Decider) -> None:
    known = decider.knowledge
    rows = np.arange(len(known.contexts))
    shares = class_shares(known.counted.evidence, known.contexts.traffic, BetaPrior())

    assert shares[rows, known.contexts.traffic] == pytest.approx(known.counted.confidence)
    assert known.expected == pytest.approx(expected_rewards(shares, known.catalogue))
    assert (known.counted.evidence.sum(axis=1) == known.counted.seen).all()


def test_a_run_without_graph_has_the_policys_counters(
    plain: RunFolder, prepared: Scenario, decider: Decider
) -> None:
    known, infused = RunKnowledge.of(plain, prepared), decider.knowledge

    counters = plain.policy().counters  # type: ignore[attr-defined]
    assert known.graph is None
    assert known.counted.seen.tolist() == counters.seen.tolist()
    assert known.counted.correct.tolist() == counters.correct.tolist()
    # Both runs have met the same flows: what is known exactly is the same.
    assert known.counted.confidence == pytest.approx(infused.counted.confidence)
    assert known.counted.evidence.sum(axis=1) == pytest.approx(known.counted.seen)
    told = known.explanation(0)
    assert told["records"] is None
    assert told["advised"] is None


def test_a_policy_without_counters_has_those_of_its_training_flows(
    plain: RunFolder, prepared: Scenario, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from rayapp import config
    from rayapp.rl.saved_policy import TablePolicy
    from rayapp.runs.folder import begin

    folder = RunFolder(tmp_path_factory.mktemp("table") / "run")
    begin(folder, config.load(None, (), {"algo": "linucb", "flows": 100}), prepared)
    table = np.full((len(prepared.signatures), 14), 1 / 14)
    TablePolicy(table, prepared.fingerprint).save(folder.policy_folder)

    known = RunKnowledge.of(folder, prepared)

    flows = prepared.flow_set("train", matching="cross-fitted")
    assert known.counted.seen.sum() == len(flows)
    assert (
        known.counted.correct.sum() == (flows.contexts.traffic[flows.context] == flows.actual).sum()
    )
    assert (known.ranking[:, 0] == folder.policy().actions(prepared.contexts)).all()
