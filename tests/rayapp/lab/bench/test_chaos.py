"""The count that chaos is judged by, and a minute of it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from envs import Scenario
from rayapp import config
from rayapp.__main__ import app
from rayapp.cluster.local import descendants, kill
from rayapp.lab.bench import chaos
from rayapp.lab.bench.chaos import KINDS
from rayapp.lab.bench.flow_count import expected_counts, lost_and_doubled
from rayapp.runs import training
from rayapp.runs.folder import RunFolder, begin


def test_the_count_apart_equals_a_trainings_graph_and_sees_one_flow_more_or_less(
    ray_local: Any,  # noqa: ANN401
    scenario: Scenario,
    tmp_path: Path,
) -> None:
    folder, flows = RunFolder(tmp_path / "run"), 3 * len(scenario.train[0]) + 17
    given = ("learning.flows_per_iteration=100", "learning.epochs=1")
    settings = config.load(None, given, {"flows": flows, "seed": 4})
    begin(folder, settings, scenario)
    training.train(folder)

    counted, predicted = folder.graph().counts(), scenario.signatures.predicted
    for others, wrong in ((flows, (0, 0)), (flows + 1, (1, 0)), (flows - 1, (0, 1))):
        expected = expected_counts(scenario, folder, others)
        assert lost_and_doubled(counted, expected, predicted) == wrong
    # A flow that counts with its signature and with no action, or with two.
    expected = expected_counts(scenario, folder, flows)
    for change, wrong in ((-1, (1, 0)), (1, (0, 1))):
        met = counted.type_action.copy()
        met[np.unravel_index(met.argmax(), met.shape)] += change
        other = replace(counted, type_action=met)
        assert lost_and_doubled(other, expected, predicted) == wrong


def test_processes_are_found_below_their_parents() -> None:
    sleeping = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    parent = subprocess.Popen([sys.executable, "-c", sleeping], stdin=subprocess.PIPE)
    try:
        while not (found := descendants(parent.pid)):
            pass
        assert found[0].parent == parent.pid
        assert "input()" in found[0].title
    finally:
        for pid in (*(one.pid for one in descendants(parent.pid)), parent.pid):
            kill(pid)
        parent.wait()
    kill(parent.pid)


@pytest.mark.slow
def test_deaths_of_all_kinds_lose_and_double_nothing() -> None:
    words = ("--minutes", "2", "--flows", "3000000", "--seed", "1", "--json")
    told = subprocess.run(
        [sys.executable, "-m", "rayapp", "bench", "chaos", *words],
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )

    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert found["lost"] == found["doubled"] == 0
    assert found["kills"] >= len(KINDS)
    assert found["flows_without_a_node"] > 0
    assert found["reward"] > found["unhurt_reward"] - 0.01


def test_a_training_that_does_not_go_on_is_one_message_and_exit_code_1(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stuck(*_: object, **__: object) -> None:
        raise chaos.NotRecoveredError("node", 3)

    monkeypatch.setattr(chaos, "measure", stuck)

    done = CliRunner().invoke(app, ["bench", "chaos", "--scenario", str(scenario.path)])

    assert done.exit_code == 1
    assert "no iteration for 300 s after node number 3 died" in " ".join(done.output.split())
    assert "Traceback" not in done.output
