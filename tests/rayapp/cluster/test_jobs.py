"""A real job on a real cluster with authentication: followed, evaluated, stopped, resumed."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient
from typer.testing import CliRunner

from envs import Scenario
from rayapp.__main__ import app
from rayapp.commands.evaluate import scorecard
from rayapp.runs.folder import RunFolder
from tests.rayapp.cluster.conftest import LocalCluster

SUBMIT = ("job", "submit", "--runtime-env", "docs/runtime_env.yaml", "--working-dir", ".")


def train(scenario: Path, out: Path, *more: str) -> list[str]:
    where = ("--scenario", str(scenario), "--out", str(out))
    return ["--", "python", "-m", "rayapp", "train", *where, *more]


def client(cluster: LocalCluster) -> JobSubmissionClient:
    headers = {"Authorization": f"Bearer {cluster.token}"}
    return JobSubmissionClient(cluster.dashboard, headers=headers)


def figures(cluster: LocalCluster, name: str) -> JobDetails:
    """The job that holds a job's figures, once it has ended."""
    jobs, deadline = client(cluster), time.monotonic() + 60
    while jobs.get_job_status(f"{name}-result") is not JobStatus.SUCCEEDED:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    found: JobDetails = jobs.get_job_info(f"{name}-result")
    return found


def test_a_job_is_followed_and_leaves_a_run_that_can_be_evaluated(
    local_cluster: LocalCluster, scenario: Scenario, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    small = ("--set", "learning.flows_per_iteration=2000", "--set", "network.hidden=[16]")

    submitted = local_cluster.ray(
        *(*SUBMIT, "--submission-id", "followed"),
        *train(scenario.path, out, "--flows", "200000", "--runners", "1", *small),
    )
    assert submitted.stdout is not None
    log = list(submitted.stdout)

    assert submitted.wait() == 0, "".join(log)
    assert any(re.search(r"Training ppo-kg: [\d,]+ of 200,000 flows", line) for line in log)
    assert any("Reward per flow (test split, synthetic" in line for line in log)
    assert any("Job 'followed' succeeded" in line for line in log)
    folder = RunFolder(out)
    assert folder.manifest().state == "complete"
    assert folder.graph().counts().signature_actual.sum() == 200_000
    card = scorecard(folder)
    assert card.score.average_reward > card.predicted_class.average_reward - 0.2
    told = figures(local_cluster, "followed")
    assert told.metadata["kirl.job"] == "followed"
    assert told.metadata["kirl.run"] == str(out)
    assert float(told.metadata["kirl.average_reward"]) == card.score.average_reward
    lines = client(local_cluster).get_job_logs("followed-result").splitlines()
    said: dict[str, Any] = json.loads(next(line for line in lines if line.startswith("{")))
    assert said["per_class"] == card.score.per_class


@pytest.mark.slow
def test_a_stopped_job_leaves_a_run_that_goes_on(
    local_cluster: LocalCluster, scenario: Scenario, tmp_path: Path
) -> None:
    out, jobs = tmp_path / "run", client(local_cluster)
    # No checkpoint comes by itself: the one that is left was written when the job was stopped.
    rare = ("--set", "checkpoint_seconds=100000", "--set", "learning.flows_per_iteration=1000")
    command = train(scenario.path, out, "--flows", "600000", *rare)
    begun = local_cluster.ray(*SUBMIT, "--no-wait", "--submission-id", "stopped", *command)
    begun.communicate()
    deadline = time.monotonic() + 120
    while not (out / "progress.jsonl").is_file() or len(RunFolder(out).progress()) < 20:
        assert time.monotonic() < deadline, jobs.get_job_logs("stopped")
        time.sleep(0.1)

    stopped = local_cluster.ray("job", "stop", "stopped")
    stopped.communicate()

    assert jobs.get_job_status("stopped") is JobStatus.STOPPED
    kept = RunFolder(out).manifest().flows
    assert 20_000 <= kept < 600_000
    assert f"goes on after {kept:,} flows" in jobs.get_job_logs("stopped")

    resumed = local_cluster.ray(*SUBMIT, "--submission-id", "resumed", *command)
    log, _ = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, log
    assert f"Resuming after {kept:,} of 600,000 flows" in log
    assert RunFolder(out).graph().counts().signature_actual.sum() == 600_000


@pytest.mark.slow
def test_a_run_that_ray_would_remove_is_refused(
    local_cluster: LocalCluster, scenario: Scenario
) -> None:
    submitted = local_cluster.ray(*SUBMIT, *train(scenario.path, Path("run")))
    log, _ = submitted.communicate(timeout=120)

    assert submitted.returncode == 1
    assert "Ray removes the working directory of a job after it" in log
    assert "Traceback" not in log


@pytest.mark.slow
def test_a_sweep_is_a_job_and_leaves_what_it_found(
    local_cluster: LocalCluster, scenario: Scenario, tmp_path: Path
) -> None:
    out = tmp_path / "sweep"
    words = ("tune", "--scenario", str(scenario.path), "--out", str(out), "--search", "grid")
    small = ("--over", "kl.start=[0.5]", "--flows", "1600", "--full")
    few = ("--set", "learning.flows_per_iteration=100", "--set", "learning.epochs=1")

    submitted = local_cluster.ray(
        *(*SUBMIT, "--submission-id", "sweep", "--", "python", "-m", "rayapp"),
        *(*words, *small, *few),
    )
    log, _ = submitted.communicate(timeout=400)

    assert submitted.returncode == 0, log
    assert "Test split, best" in log
    told = figures(local_cluster, "sweep").metadata
    assert told["kirl.out"] == str(out)
    assert told["kirl.trials"] == "2"
    found = json.loads((out / "results.json").read_text())
    assert json.loads(told["kirl.best"]) == found["best"]
    rewards = {name: one["average_reward"] for name, one in found["test"].items()}
    assert json.loads(told["kirl.average_reward"]) == rewards


@pytest.mark.slow
def test_drifts_are_a_job_and_leave_who_recovered(
    local_cluster: LocalCluster, scenario: Scenario, tmp_path: Path
) -> None:
    out = tmp_path / "online"
    words = ("online", "--scenario", str(scenario.path), "--out", str(out))
    short = ("--flows", "200000", "--delay", "16384", "--becomes", "Web")

    submitted = local_cluster.ray(
        *(*SUBMIT, "--submission-id", "online", "--", "python", "-m", "rayapp", *words, *short)
    )
    log, _ = submitted.communicate(timeout=500)

    assert submitted.returncode == 0, log
    told = figures(local_cluster, "online").metadata
    assert json.loads(told["kirl.drifts"]) == json.loads((out / "online.json").read_text())


@pytest.mark.parametrize("words", [("tune", "--scenario"), ("prepare", "--synthetic")])
def test_no_command_writes_where_ray_removes_it(
    words: tuple[str, str],
    scenario: Scenario,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As Ray's job manager has it for a job with --working-dir.
    told = {"runtime_env": {"working_dir": "gcs://it.zip"}, "metadata": {}}
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps(told))
    monkeypatch.chdir(tmp_path)
    what = str(scenario.path) if words[0] == "tune" else "1000"

    refused = CliRunner().invoke(app, [*words, what, "--out", "kept"])

    assert "Ray removes the working directory of a job" in str(refused.exception)
    assert not (tmp_path / "kept").exists()
