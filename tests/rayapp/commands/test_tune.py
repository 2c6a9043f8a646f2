"""``kirl tune``: what it refuses, and a sweep in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from envs import Scenario
from rayapp import config
from tests.kirl import Done, kirl, kirl_alone

SMALL = (
    *("--flows", "1600", "--trials", "3", "--parallel", "2"),
    *("--set", "learning.flows_per_iteration=100", "--set", "learning.epochs=2"),
)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--over", "kl.begin=[1, 2]"), "begin"),
        (("--search", "guess"), "--search is 'guess'"),
        (("--algo", "dqn"), "dqn has no KL term"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_is_written(
    scenario: Scenario, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    out = tmp_path / "out"

    result = kirl("tune", "--scenario", scenario.path, "--out", out, *words)

    assert result.returncode == 2
    assert message in result.stderr
    assert not out.exists()


@pytest.mark.slow
def test_a_sweep_from_the_command_line_and_its_settings_in_kirl_train(
    scenario: Scenario, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    space = tmp_path / "space.yaml"
    space.write_text("kl:\n  start: 0.1..3 log\nlearning.epochs: 1..4\n")

    def tuned(*more: str) -> Done:
        where = ("--scenario", scenario.path, "--out", out, "--space", space)
        return kirl_alone("tune", *where, *SMALL, "--search", "random", *more)

    result = tuned("--json")

    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)
    assert len(figures["trials"]) == 3
    assert figures["trials"][0]["state"] == "complete"
    assert set(figures["test"]) <= {"best", "given"}
    settings = config.load(out / "best.yaml", (), {})
    assert settings.flows == 1600
    assert figures["kind"] == "synthetic"

    shown = tuned()

    assert shown.returncode == 0, shown.stderr
    assert "as given" in shown.stdout
    assert "Test split, best" in shown.stdout
    again = kirl_alone(
        *("train", "--config", out / "best.yaml", "--scenario", scenario.path),
        *("--out", out / "best", "--json"),
    )
    assert again.returncode == 0, again.stderr
    # The sweep's own last run is just what this command asks for.
    assert "complete already" in again.stderr
