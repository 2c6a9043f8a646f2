"""The run folder: what it says when something in it is not as it should be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from envs import InputError, Scenario
from rayapp.config import Algo, TrainingSettings
from rayapp.runs.folder import ProgressLine, RunFolder, RunManifest, begin


@pytest.fixture
def folder(scenario: Scenario, tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    scenario.copy_to(folder.scenario_folder)
    folder.write(
        RunManifest(
            name="run-1",
            settings=TrainingSettings(flows=10),
            fingerprint=scenario.fingerprint,
            kind="synthetic",
        )
    )
    return folder


def line(flows: int) -> ProgressLine:
    return ProgressLine(1, flows, 0.1, 4.5, {"Benign": 5.0}, 1, 0, {"lambda": 1.0})


def test_a_manifest_round_trips(folder: RunFolder) -> None:
    manifest = folder.manifest()

    assert manifest.settings == TrainingSettings(flows=10)
    assert manifest.state == "training"


def test_its_scenario_is_a_full_copy(folder: RunFolder, scenario: Scenario) -> None:
    copy = folder.scenario()

    assert copy.fingerprint == scenario.fingerprint
    assert copy.signatures.rule == scenario.signatures.rule


def test_an_unfinished_run_has_no_policy(folder: RunFolder) -> None:
    with pytest.raises(InputError, match="Let kirl train finish"):
        folder.policy()


def test_a_folder_that_is_no_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no run\.json"):
        RunFolder(tmp_path).manifest()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "run format 99"),
        ({"state": "paused"}, "state"),
        ({"settings": {"algo": "sac"}}, "algo"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_changed_manifest_is_refused(
    folder: RunFolder, change: dict[str, object], message: str
) -> None:
    data = json.loads(folder.manifest_file.read_text())
    folder.manifest_file.write_text(json.dumps(data | change))

    with pytest.raises(InputError, match=message):
        folder.manifest()


def test_another_scenario_in_its_place_is_refused(folder: RunFolder) -> None:
    data = json.loads(folder.manifest_file.read_text())
    folder.manifest_file.write_text(json.dumps(data | {"fingerprint": "0" * 64}))

    with pytest.raises(InputError, match="Expected scenario 000000000000"):
        folder.scenario()


def test_progress_is_kept_in_order_and_can_be_rewound(folder: RunFolder) -> None:
    for flows in (100, 200, 300):
        folder.append_progress(line(flows))

    folder.rewind_progress(200)
    folder.append_progress(line(350))

    assert [entry.flows for entry in folder.progress()] == [100, 200, 350]


def test_a_line_cut_by_a_crash_is_dropped(folder: RunFolder) -> None:
    folder.append_progress(line(100))
    with folder.progress_file.open("a") as file:
        file.write('{"iteration": 2, "epis')

    folder.rewind_progress(100)

    assert [entry.flows for entry in folder.progress()] == [100]


def test_a_beginning_that_was_interrupted_is_begun_again(
    scenario: Scenario, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    (out / "scenario").mkdir(parents=True)
    (out / "lock").touch()
    (out / ".run.json.1234.tmp").touch()

    manifest = begin(RunFolder(out), TrainingSettings(passes=2), scenario)

    assert manifest.total == 2 * len(scenario.train[0])
    assert RunFolder(out).scenario().fingerprint == scenario.fingerprint


def test_a_run_can_stand_inside_its_scenarios_folder(scenario: Scenario, tmp_path: Path) -> None:
    scenario.copy_to(tmp_path / "s")

    begin(RunFolder(tmp_path / "s" / "run"), TrainingSettings(), Scenario.load(tmp_path / "s"))

    names = {path.name for path in (tmp_path / "s" / "run" / "scenario").iterdir()}
    assert names == {path.name for path in scenario.path.iterdir()}


def test_two_processes_do_not_train_one_run(folder: RunFolder) -> None:
    with folder.locked(), pytest.raises(InputError, match="another process"), folder.locked():
        pass
    with folder.locked():
        pass


def test_supervised_runs_have_results_without_a_graph(scenario: Scenario, tmp_path: Path) -> None:
    algos: tuple[Algo, ...] = ("dl", "ppo")
    for algo in algos:
        folder = RunFolder(tmp_path / algo)
        begin(folder, TrainingSettings(algo=algo, passes=1), scenario)
        assert not folder.has_results()
        folder.policy_folder.mkdir()
        assert folder.has_results() == (algo == "dl")


def test_a_run_whose_graph_is_in_shards_is_refused_by_name(folder: RunFolder) -> None:
    told = json.loads(folder.manifest_file.read_text())
    told["settings"]["graph"]["shards"] = 2
    folder.manifest_file.write_text(json.dumps(told))

    with pytest.raises(InputError, match=r"run\.json: .*graph in shards.*no longer.*Train the run"):
        folder.manifest()
