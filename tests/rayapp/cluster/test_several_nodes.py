"""On several nodes everybody but the driver dies once, and nothing is lost by it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from envs import Scenario
from tests.rayapp.cluster import hurt_training
from tests.rayapp.cluster.conftest import REPOSITORY


def test_a_training_whose_parts_die_one_by_one_ends_as_one_that_was_not_hurt(
    scenario: Scenario, tmp_path: Path
) -> None:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}

    done = subprocess.run(
        [sys.executable, hurt_training.__file__, scenario.path, tmp_path],
        env=kept | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["flows"] == hurt_training.FLOWS * hurt_training.ITERATIONS
    assert (told["lost"], told["doubled"]) == (0, 0)
    # One runner went with its node, and came back with another one.
    assert told["runners"][8:11] == [1, 1, 1]
    assert told["runners"][11:] == [2, 2, 2]
    assert told["same_graph"]
    assert told["same_policy"]
