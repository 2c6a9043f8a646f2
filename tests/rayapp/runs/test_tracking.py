"""Curves for TensorBoard, MLflow and Weights & Biases: complete, resumed, or refused."""

from __future__ import annotations

import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from envs import InputError, Scenario
from rayapp import config
from rayapp.runs.folder import RunFolder, RunManifest, begin
from rayapp.runs.tracking import scalars
from rayapp.runs.training import train

BANDIT = (
    "learning.flows_per_iteration=100",
    "learning.flows_per_update=50",
    "checkpoint_seconds=0.001",
)
"""LinUCB trains without Ray, in no time; the lines that it logs are like any other's."""


def begun(scenario: Scenario, out: Path, *assignments: str) -> RunFolder:
    folder = RunFolder(out)
    settings = config.load(None, (*BANDIT, *assignments), {"algo": "linucb", "flows": 400})
    begin(folder, settings, scenario)
    return folder


def events(folder: Path) -> Iterator[Event]:
    """All events of a folder's files, in order: length, its checksum, the event, its checksum."""
    for file in sorted(folder.glob("events.out.tfevents.*")):
        data = file.read_bytes()
        place = 0
        while place < len(data):
            (length,) = struct.unpack("<Q", data[place : place + 8])
            yield Event.FromString(data[place + 12 : place + 12 + length])
            place += 16 + length


def curve(folder: Path, name: str) -> list[tuple[int, float]]:
    return [
        (event.step, value.simple_value)
        for event in events(folder)
        for value in event.summary.value
        if value.tag == name
    ]


def interrupted(folder: RunFolder) -> None:
    """Trains two iterations, of which the first is in a checkpoint."""
    lines = 0

    def stop(*_: object) -> None:
        nonlocal lines
        lines += 1
        if lines == 2:
            raise KeyboardInterrupt
        time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt):
        train(folder, stop)


def test_tensorboard_files_hold_every_line_of_the_run(scenario: Scenario, tmp_path: Path) -> None:
    folder = begun(scenario, tmp_path / "run")

    train(folder)

    lines = folder.progress()
    found = curve(tmp_path / "run" / "tensorboard", "reward/average")
    assert found == [(line.flows, pytest.approx(line.average_reward, abs=1e-5)) for line in lines]
    assert len(found) == 4
    names = {
        value.tag for e in events(tmp_path / "run" / "tensorboard") for value in e.summary.value
    }
    assert names == {name for line in lines for name, _ in scalars(line)}
    assert "reward/class/Benign" in names


def test_a_resumed_run_takes_back_what_no_checkpoint_holds(
    scenario: Scenario, tmp_path: Path
) -> None:
    folder = begun(scenario, tmp_path / "run")
    interrupted(folder)
    assert folder.manifest().flows == 100

    train(folder)

    starts = [e.step for e in events(tmp_path / "run" / "tensorboard") if e.HasField("session_log")]
    # TensorBoard drops what it read from this step on, once it meets this mark.
    assert starts == [1, 101]
    steps = [step for step, _ in curve(tmp_path / "run" / "tensorboard", "reward/average")]
    assert steps == [100, 200, 200, 300, 400]


@pytest.mark.parametrize("package", ["mlflow", "wandb"])
def test_a_tracker_that_is_not_installed_is_named(
    scenario: Scenario, tmp_path: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begun(scenario, tmp_path / "run", f"tracking.{package}=somewhere")
    # As Python has it where a package is not there.
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(InputError, match=rf"{package} is not installed.*-e '.\[{package}\]'"):
        train(folder)


def test_mlflow_gets_the_curves_and_settings(scenario: Scenario, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    folder = begun(scenario, tmp_path / "run", f"tracking.mlflow={uri}")
    client = mlflow.MlflowClient(tracking_uri=uri)

    interrupted(folder)

    number = client.get_experiment_by_name("kirl").experiment_id
    (broken_off,) = client.search_runs([number])
    assert broken_off.info.status == "KILLED"

    train(folder)

    (run,) = client.search_runs([number])
    assert run.info.run_name == folder.manifest().name
    assert run.info.status == "FINISHED"
    assert run.data.params["algo"] == "linucb"
    history = client.get_metric_history(run.info.run_id, "reward/average")
    assert {point.step for point in history} == {100, 200, 300, 400}


def test_wandb_writes_its_files_offline(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    folder = begun(scenario, tmp_path / "run", "tracking.wandb=kirl-tests")

    train(folder)

    (file,) = (tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb")
    assert file.stem == f"run-{folder.manifest().name}"
    # Its own process writes the file, and is not always through when finish() returns.
    deadline = time.monotonic() + 30
    while b"reward/average" not in file.read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_where_curves_go_is_no_other_run(scenario: Scenario, tmp_path: Path) -> None:
    folder = begun(scenario, tmp_path / "run")
    settings = config.load(
        None, (*BANDIT, "tracking.mlflow=sqlite:///elsewhere.db"), {"algo": "linucb", "flows": 400}
    )

    assert isinstance(begin(folder, settings, scenario), RunManifest)
