"""The head node goes with all that runs, its disk stays: the same command goes on elsewhere."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from envs import Scenario
from rayapp.cluster.local import descendants, kill
from rayapp.lab.bench.flow_count import expected_counts, lost_and_doubled
from rayapp.runs.folder import RunFolder
from tests.rayapp.cluster.conftest import LocalCluster, started
from tests.rayapp.cluster.test_jobs import SUBMIT, train

FLOWS = 400_000
SETTINGS = ("--flows", str(FLOWS), "--runners", "1", "--set", "checkpoint_seconds=0.5")
SMALL = ("--set", "learning.flows_per_iteration=1000", "--set", "learning.epochs=1")


def lose(head: LocalCluster) -> None:
    """Ends a machine as power does that fails: all processes at once, the driver's included."""
    for one in descendants(head.process):
        kill(one.pid)
    kill(head.process)


def wait_for_checkpoint(folder: RunFolder) -> int:
    deadline = time.monotonic() + 120
    while not folder.exists() or not folder.manifest().flows:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return folder.manifest().flows


@pytest.mark.slow
def test_a_run_goes_on_on_another_head_and_ends_as_one_that_lost_none(
    scenario: Scenario, tmp_path: Path
) -> None:
    hurt, unhurt = RunFolder(tmp_path / "hurt"), RunFolder(tmp_path / "unhurt")
    with started("--num-cpus", "2") as first:
        first.ray(
            *(*SUBMIT, "--no-wait", "--submission-id", "first"),
            *train(scenario.path, hurt.path, *SETTINGS, *SMALL),
        ).communicate(timeout=120)
        kept = wait_for_checkpoint(hurt)
        lose(first)
    assert hurt.manifest().state == "training"

    with started("--num-cpus", "2") as second:
        again = second.ray(
            *(*SUBMIT, "--submission-id", "second"),
            *train(scenario.path, hurt.path, *SETTINGS, *SMALL),
        )
        log, _ = again.communicate(timeout=400)

    assert again.returncode == 0, log
    assert "Resuming after" in log
    assert 0 < kept < FLOWS
    counts = hurt.graph().counts()
    expected = expected_counts(scenario, hurt, FLOWS)
    assert lost_and_doubled(counts, expected, scenario.signatures.predicted) == (0, 0)
    where = ("--scenario", str(scenario.path), "--out", str(unhurt.path))
    subprocess.run(
        [sys.executable, "-m", "rayapp", "train", *where, *SETTINGS, *SMALL],
        check=True,
        capture_output=True,
        timeout=400,
    )
    contexts = scenario.contexts
    assert np.array_equal(*(run.policy().probabilities(contexts) for run in (hurt, unhurt)))
    assert counts.equals(unhurt.graph().counts())
