"""An actor on a GPU that Ray is told of and that is not there: the model runs on CPU in truth."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = """
import json, logging, threading, sys
from dataclasses import asdict
import numpy as np
import ray
from envs import Catalogue
from kg_actor import raykit
from kg_actor.raykit import ask
from llm_actor import Prompts
from llm_actor.actor import start
from llm_actor.placement import Need
from llm_actor.selection import AdvisorSpec

said = []
class Ear(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())
log = logging.getLogger("llm_actor")
log.addHandler(Ear())
log.setLevel(logging.INFO)
raykit.SECONDS_BETWEEN_WORDS = 0.5

prompt = Prompts(
    np.zeros(1, np.int8), np.full(1, 0.5, np.float32), np.eye(8, dtype=np.float32)[:1],
    np.zeros((8, 15), np.float32), np.ones((1, 15), np.bool_), Catalogue.named("paper"),
)
ray.init(address="local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
spec = AdvisorSpec("embedded")
first = start(spec, Need(gpus=1))
told = first.log_probabilities(prompt)
health = [ask(first.handles[0].health.remote())]
second = start(spec)
health.append(ask(second.handles[0].health.remote()))
threading.Timer(2.0, first.stop).start()
third = start(spec, Need(gpus=1))
health.append(ask(third.handles[0].health.remote()))
print(json.dumps({
    "sum": float(np.exp(told).sum()), "said": said,
    "health": [
        {"place": asdict(h.place), "gpus": h.gpus, "device": h.device, "ready": h.ready}
        for h in health
    ],
}))
ray.shutdown()
"""


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """What a process of its own tells, which has a Ray of its own with one pretended GPU."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def places_of(told: dict[str, Any]) -> list[str]:
    """What was said of where actors run. A slow machine makes the first one wait, too."""
    return [line for line in told["said"] if " runs on " in line]


@pytest.mark.slow
def test_an_actor_gets_the_free_gpu_from_ray_and_answers(told: dict[str, Any]) -> None:
    first = told["health"][0]

    assert first["place"]["gpus"] == 1
    assert first["place"]["reason"] == "as many were asked for"
    assert (first["gpus"], first["ready"]) == (["0"], True)
    # PyTorch finds no GPU here, whatever Ray was told.
    assert first["device"] == "cpu"
    assert told["sum"] == pytest.approx(1, abs=1e-4)
    assert places_of(told)[0] == "embedded runs on 1 GPU: as many were asked for"


@pytest.mark.slow
def test_without_a_free_gpu_it_runs_on_cpu_and_says_why(told: dict[str, Any]) -> None:
    second = told["health"][1]

    assert (second["place"]["gpus"], second["gpus"]) == (0, [])
    assert places_of(told)[1] == "embedded runs on CPU: no node has a free GPU"


@pytest.mark.slow
def test_a_gpu_that_is_asked_for_by_number_is_waited_for_and_it_is_said(
    told: dict[str, Any],
) -> None:
    third = told["health"][2]

    assert (third["place"]["gpus"], third["gpus"]) == (1, ["0"])
    last = "embedded runs on 1 GPU: as many were asked for"
    assert places_of(told)[2] == last
    # The first actor was announced in the same words.
    said_last = len(told["said"]) - told["said"][::-1].index(last)
    waits = told["said"][said_last:]
    assert len(waits) >= 2
    assert all(" s for embedded to start on a GPU; of 1 in the cluster" in each for each in waits)
