"""How fast a training recovers from a drift."""

from __future__ import annotations

from pathlib import Path

import pytest

from envs import Catalogue, FlowSet, Scenario
from envs.drift import Drift
from rayapp.lab import online
from rayapp.lab.online import Bounds, Outcome, recovery
from rayapp.runs.folder import ProgressLine

PAPER = Catalogue.named("paper")

DRIFT = Drift(1000, "Web", traffic="DoS")


def lines(*rewards: float) -> list[ProgressLine]:
    return [
        ProgressLine(i + 1, 100 * (i + 1), float(i), reward, {}, i, 0)
        for i, reward in enumerate(rewards)
    ]


def test_recovery_is_when_a_window_of_iterations_is_back() -> None:
    met = lines(*[0.0] * 5, *[5.0] * 5, *[1.0] * 6, *[4.0] * 10)

    found = recovery(met, DRIFT, bound=4.0)

    assert (found.before, found.lowest, found.end) == (5.0, 1.0, 4.0)
    # Six bad iterations, then a whole window of five good ones.
    assert found.flows == 1100


def test_one_lucky_iteration_is_no_recovery() -> None:
    met = lines(*[5.0] * 10, *([1.0, 5.0] * 5))

    assert recovery(met, DRIFT, bound=5.0).flows is None


def test_a_drift_needs_iterations_on_both_sides() -> None:
    with pytest.raises(ValueError, match="fewer than 5 iterations"):
        recovery(lines(*[5.0] * 12), DRIFT, bound=5.0)


def test_bounds_are_those_of_the_flows_before_and_after(scenario: Scenario) -> None:
    # Nobody can tell a DoS flow that became 'Benign' from one that was it before the drift.
    found = online.bounds(scenario, Drift(1000, "Benign", signature=0))

    assert found.before == 5.0
    assert 4.0 < found.after <= 5.0


def test_the_picture_is_drawn(flow_set: FlowSet, tmp_path: Path) -> None:
    met = lines(*[5.0] * 10, *[1.0] * 10)
    outcome = Outcome(
        DRIFT, Bounds(5.0, 4.9), {"ppo": met}, {"ppo": recovery(met, DRIFT, bound=4.9)}
    )

    path = online.draw(tmp_path / "online.png", {"class changes": outcome})

    assert path.read_bytes().startswith(b"\x89PNG")
    assert outcome.to_json()["systems"]["ppo"]["flows"] is None
    assert PAPER.class_index("Web") >= 0
