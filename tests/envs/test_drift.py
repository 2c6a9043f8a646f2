"""Traffic that changes behind the same detections."""

from __future__ import annotations

import numpy as np
import pytest

from envs import PAPER, FlowSet, InputError
from envs.drift import Drift, busiest_attack_signature


def names(flows: FlowSet) -> list[str]:
    return [PAPER.class_names[actual] for actual in flows.actual]


def test_a_class_changes_wherever_it_was_detected(flow_set: FlowSet) -> None:
    after = Drift(100, "Web", traffic="Infiltration").applied(flow_set)

    assert names(after) == [name.replace("Infiltration", "Web") for name in names(flow_set)]
    assert np.array_equal(after.signature, flow_set.signature)
    assert after.contexts is flow_set.contexts


def test_a_stale_signature_matches_other_traffic(flow_set: FlowSet) -> None:
    after = Drift(100, "Benign", signature=2).applied(flow_set)

    assert names(after)[:7] == names(flow_set)[:7]
    assert names(after)[7:] == ["Benign"] * 3


def test_the_busiest_attack_signature_predicts_no_benign_traffic(flow_set: FlowSet) -> None:
    # Signature 1 matches most flows, and predicts 'Benign'.
    assert busiest_attack_signature(flow_set) == 0


@pytest.mark.parametrize(
    ("drift", "message"),
    [
        (Drift(1, "Worm", traffic="DoS"), "no class 'Worm'.*PortScan"),
        (Drift(1, "Web", traffic="Worm"), "no class 'Worm'"),
        (Drift(1, "Web", signature=3), "no signature 3.*0 to 2"),
    ],
)
def test_what_is_not_there_cannot_drift(flow_set: FlowSet, drift: Drift, message: str) -> None:
    with pytest.raises(InputError, match=message):
        drift.applied(flow_set)


@pytest.mark.parametrize(
    "bad", [{}, {"traffic": "DoS", "signature": 1}, {"traffic": "DoS", "at": -1}]
)
def test_nonsense_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"either a class|before the first"):
        Drift(**({"at": 1, "becomes": "Web"} | bad))  # type: ignore[arg-type]
