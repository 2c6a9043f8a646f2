"""The language model's process dies while it is asked, and the graph still counts every flow."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from ray.exceptions import RayError

from envs import Scenario
from kg_actor.raykit import NAMESPACE
from rayapp import config
from rayapp.lab.bench.flow_count import expected_counts
from rayapp.runs.folder import RunFolder, begin
from rayapp.runs.training import train

FLOWS = 6_000


class Hand(threading.Thread):
    """Kills the process of the advisor's actor whenever its model is at a batch, so many times.

    The first time is before the first iteration, the others are after some.
    """

    def __init__(self, ray: ModuleType, progress: Path, times: int) -> None:
        super().__init__(daemon=True)
        self._ray, self._progress, self._times = ray, progress, times
        self.asking: list[int] = []
        self.processes: list[int] = []

    def run(self) -> None:
        while len(self.processes) < self._times:
            time.sleep(0.001)
            handle = self._advisor()
            if handle is None or (self.processes and not self._progress.is_file()):
                continue
            try:
                load, process = self._ray.get([handle.metrics.remote(), handle.process.remote()])
            except RayError:
                continue
            if load.asking and process not in self.processes:
                os.kill(process, signal.SIGKILL)
                self.asking.append(load.asking)
                self.processes.append(process)

    def _advisor(self) -> Any:  # noqa: ANN401
        for actor in self._ray.util.list_named_actors(all_namespaces=True):
            if actor["namespace"] == NAMESPACE and actor["name"].startswith("advisor:embedded"):
                try:
                    return self._ray.get_actor(actor["name"], namespace=NAMESPACE)
                except ValueError:
                    return None
        return None


@pytest.mark.slow
def test_no_flow_is_lost_or_counted_twice_when_the_model_dies_in_mid_batch(
    ray_local: ModuleType, scenario: Scenario, tmp_path: Path
) -> None:
    """Training waits for all advice, so each death is in the middle of an iteration."""
    folder = RunFolder(tmp_path / "run")
    given = ["advice.advisor=embedded", "advice.wait=true", "advice.token_budget=128"]
    given += ["learning.flows_per_iteration=600", "network.hidden=[16]"]
    begin(folder, config.load(None, given, {"flows": FLOWS, "seed": 3}), scenario)
    hand = Hand(ray_local, folder.progress_file, times=3)
    hand.start()

    train(folder)

    hand.join(30)
    assert len(set(hand.processes)) == 3
    assert min(hand.asking) > 0
    counted = folder.graph().counts().signature_actual
    assert np.array_equal(counted, expected_counts(scenario, folder, FLOWS))
    assert counted.sum() == FLOWS
    assert [line.advice_age for line in folder.progress()] == [0] * (FLOWS // 600)
