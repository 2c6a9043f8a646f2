"""Runs that are begun, and in processes of their own interrupted, killed, resumed, finished."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from envs import InputError, Scenario
from kg_actor import GraphCounts
from rayapp.runs.folder import ProgressLine, RunFolder
from rayapp.runs.training import train
from tests.kirl import COMMAND, kirl, kirl_alone, on_the_tests_ray

# So many epochs that a fast machine, too, can be stopped between two checkpoints.
SETTINGS = (
    *("--flows", "12000", "--seed", "5"),
    *("--set", "learning.flows_per_iteration=500", "--set", "learning.epochs=30"),
    *("--set", "network.hidden=[16]", "--set", "checkpoint_seconds=0.05"),
)


def command(scenario: Path, out: Path, *more: str) -> tuple[str, ...]:
    return ("train", "--scenario", str(scenario), "--out", str(out), *SETTINGS, *more)


def stop_midway(scenario: Path, out: Path, sign: signal.Signals) -> int:
    """Starts a run, sends it a signal once a checkpoint exists, returns its exit code."""
    process = subprocess.Popen(
        [*COMMAND, *command(scenario, out, "--json")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    folder = RunFolder(out)
    deadline = time.monotonic() + 120
    while not (folder.exists() and folder.manifest().flows >= 2000):
        assert process.poll() is None, "the run ended before it could be stopped"
        assert time.monotonic() < deadline, "no checkpoint within two minutes"
        time.sleep(0.02)
    os.kill(process.pid, sign)
    return process.wait(timeout=60)


def outcome(out: Path) -> tuple[np.ndarray, GraphCounts, list[ProgressLine]]:
    folder = RunFolder(out)
    contexts = folder.scenario().contexts
    policy = folder.policy().probabilities(contexts)
    return policy, folder.graph().counts(), folder.progress()


@pytest.fixture(scope="module")
def uninterrupted(
    ray_local: ModuleType, scenario: Scenario, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    with on_the_tests_ray():
        result = kirl(*command(scenario.path, out, "--json"))
    assert result.returncode == 0, result.stderr
    assert "too few to learn much" in result.stderr
    line = json.loads(result.stdout.splitlines()[-1])
    assert set(line) == {"flows_trained", "seconds", "flows_per_second", "run"}
    assert line["flows_trained"] == 12_000
    return out


@pytest.mark.parametrize(
    ("sign", "code"),
    [
        pytest.param(signal.SIGKILL, -signal.SIGKILL, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
        (signal.SIGTERM, 130),
    ],
)
def test_a_stopped_run_goes_on_to_the_same_policy_and_graph(
    scenario: Scenario, uninterrupted: Path, tmp_path: Path, sign: signal.Signals, code: int
) -> None:
    out = tmp_path / "run"
    assert stop_midway(scenario.path, out, sign) == code
    assert 0 < RunFolder(out).manifest().flows < 12_000

    result = kirl_alone(*command(scenario.path, out))

    assert result.returncode == 0, result.stderr
    assert "Resuming after" in result.stderr
    policy, counts, progress = outcome(out)
    whole_policy, whole_counts, whole_progress = outcome(uninterrupted)
    assert np.array_equal(policy, whole_policy)
    assert counts.equals(whole_counts)
    assert [line.flows for line in progress] == [line.flows for line in whole_progress]
    assert [line.average_reward for line in progress] == [
        line.average_reward for line in whole_progress
    ]


def test_a_finished_run_is_left_as_it_is(scenario: Scenario, uninterrupted: Path) -> None:
    before = (uninterrupted / "run.json").read_bytes()

    result = kirl(*command(scenario.path, uninterrupted, "--json"))

    assert result.returncode == 0
    assert "complete already" in result.stderr
    assert json.loads(result.stdout)["flows_trained"] == 12_000
    assert (uninterrupted / "run.json").read_bytes() == before


def test_other_settings_are_refused_by_name(scenario: Scenario, uninterrupted: Path) -> None:
    result = kirl(*command(scenario.path, uninterrupted, "--seed", "6"))

    assert result.returncode == 2
    assert "seed: 5 there, 6 now" in " ".join(result.stderr.split())


def test_a_run_does_without_the_folder_it_was_prepared_in(
    scenario: Scenario, uninterrupted: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    uninterrupted.rename(moved)
    try:
        assert RunFolder(moved).scenario().fingerprint == scenario.fingerprint
        assert outcome(moved)[1].signature_actual.sum() == 12_000
    finally:
        moved.rename(uninterrupted)


def test_a_lost_policy_is_written_again(
    ray_local: ModuleType, uninterrupted: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(uninterrupted, out)
    shutil.rmtree(out / "policy")

    train(RunFolder(out))

    assert np.array_equal(outcome(out)[0], outcome(uninterrupted)[0])


def test_a_damaged_checkpoint_is_named(
    ray_local: ModuleType, uninterrupted: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(uninterrupted, out)
    shutil.rmtree(out / "policy")
    for file in (out / "checkpoints").rglob("*state.pkl"):
        file.write_bytes(file.read_bytes()[:50])

    with pytest.raises(InputError, match="checkpoint cannot be read"):
        train(RunFolder(out))
