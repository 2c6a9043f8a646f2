"""``kirl online``: what it refuses, and both drifts in processes of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from envs import Scenario
from tests.kirl import kirl, kirl_alone


@pytest.mark.slow
def test_all_systems_go_through_both_drifts(scenario: Scenario, tmp_path: Path) -> None:
    where = ("online", "--scenario", scenario.path, "--out", tmp_path / "online")
    options = ("--flows", "200000", "--delay", "16384", "--becomes", "Web", "--json")

    done = kirl_alone(*where, *options)
    again = kirl_alone(*where, *options)

    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert set(figures) == {"class changes", "signature goes stale"}
    for drift in figures.values():
        assert set(drift["systems"]) == {"ppo", "ppo-kg", "ppo-kg, forgetting"}
        for met in drift["systems"].values():
            assert met["lowest"] <= met["end"]
    assert (tmp_path / "online" / "online.png").stat().st_size > 10_000
    # What is finished is not trained again, and says the same.
    assert json.loads(again.stdout) == figures


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--becomes", "DoS"), "no training flow changes by this drift"),
        (("--traffic", "Worm"), "there is no class 'Worm'"),
        (("--signature", "99999"), "there is no signature 99999"),
        (("--flows", "150000"), "75,000 flows before the drift and 75,000 after it"),
    ],
)
def test_what_cannot_drift_is_refused(
    scenario: Scenario, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    out = tmp_path / "online"

    refused = kirl("online", "--scenario", scenario.path, "--out", out, *options)

    assert refused.returncode == 2
    assert message in refused.stderr
    assert not out.exists()
