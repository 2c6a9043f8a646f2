"""Trials through a real Ray: side by side, told apart, and going on where they stopped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from envs import InputError, Scenario
from kg_actor.raykit import ask
from llm_actor.actor import RemoteAdvisor
from llm_actor.meter import Load
from rayapp import config
from rayapp.lab.reproduction import costs, trials
from rayapp.lab.reproduction.plan import Trial
from rayapp.lab.reproduction.results import BOUNDS, gather
from rayapp.lab.reproduction.trials import TrialRun
from rayapp.runs.folder import RunFolder
from rayapp.runs.training import train

FAST = ("learning.flows_per_iteration=400", "checkpoint_seconds=0.001")
SMALL = (*FAST, "advice.advisor=graph-reader")


def tiny(name: str, flows: int = 1_200, seed: int = 0) -> Trial:
    settings = config.load(None, SMALL, {"algo": name, "flows": flows, "seed": seed})
    return Trial("kirl", "main", name, settings)


def endless() -> Trial:
    """A training that ends by interruption alone, and then writes its only checkpoint."""
    rare = ("learning.flows_per_iteration=400", "checkpoint_seconds=100000")
    settings = config.load(None, rare, {"algo": "ppo", "flows": 100_000_000})
    return Trial("kirl", "main", "ppo", settings)


@dataclass(frozen=True)
class Done:
    """Trials that have been trained, where they lie, and what was told meanwhile."""

    out: Path
    placed: list[TrialRun]
    told: list[tuple[int, int, str]]


THREE = (tiny("ppo"), tiny("ppo-kg"), tiny("ppo", seed=1))


@pytest.fixture(scope="module")
def done(
    ray_local: ModuleType, scenario: Scenario, tmp_path_factory: pytest.TempPathFactory
) -> Done:
    """Three trials that tests only read; every process that trains one takes seconds to start."""
    out = tmp_path_factory.mktemp("trials")
    done = Done(out, trials.begin_trials(THREE, scenario, out), [])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials, "_POLL_SECONDS", 0.05)
        trials.train_all(done.placed, lambda *progress: done.told.append(progress))
    return done


def test_trials_run_and_are_gathered(done: Done, scenario: Scenario) -> None:
    placed, told = done.placed, done.told

    assert all(one.folder.manifest().state == "complete" for one in placed)
    assert told[-1] == (3_600, 3_600, "")
    assert all(0 <= flows <= total for flows, total, _ in told)
    results = gather([(scenario, placed)])
    assert list(results.of("kirl", "main")) == ["ppo", "ppo-kg"]
    system = results.of("kirl", "main")["ppo"]
    assert [trial.seed for trial in system.trials] == [0, 1]
    assert [line.flows for line in system.trials[0].lines] == [400, 800, 1_200]
    assert results.graphs["kirl"].nodes > 8
    low, high = (results.bound(which)[0].mean for which in BOUNDS.values())
    assert system.average.mean <= high
    assert low <= high

    spent = costs.measure(scenario, placed[0].folder, placed[1].folder)

    assert 0 < spent.policy.median <= spent.policy.p99
    assert spent.kind == "graph-reader"

    # A second command finds everything done, and trains nothing.
    before = [one.folder.progress_file.stat().st_mtime_ns for one in placed]
    trials.train_all(trials.begin_trials(THREE, scenario, done.out))
    assert [one.folder.progress_file.stat().st_mtime_ns for one in placed] == before


def test_trials_share_a_language_model_and_its_answers(
    ray_local: ModuleType, scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = (*FAST, "advice.advisor=embedded", "advice.wait=true")
    settings = config.load(None, asked, {"algo": "ppo-kg", "flows": 800, "seed": 0})
    twins = [Trial("kirl", "main", f"ppo-kg {twin}", settings) for twin in "ab"]
    loads: list[Load] = []
    stop = RemoteAdvisor.stop

    def read_and_stop(model: RemoteAdvisor) -> None:
        loads.extend(ask([handle.metrics.remote() for handle in model.handles]))
        stop(model)

    monkeypatch.setattr(RemoteAdvisor, "stop", read_and_stop)

    trials.train_all(trials.begin_trials(twins, scenario, tmp_path), parallel=1)

    (load,) = loads
    # The second met the same flows in the same order, so it brought no new question.
    assert 0 < load.asked == load.prompts / 2


def test_no_more_trials_than_processors_are_under_way(ray_local: ModuleType, done: Done) -> None:
    processors = int(ray_local.cluster_resources()["CPU"])

    at_a_time = [len(names.split(", ")) for _, _, names in done.told if names]

    assert max(at_a_time) == processors < len(done.placed)


def test_an_interrupted_trial_goes_on(done: Done, scenario: Scenario, tmp_path: Path) -> None:
    (placed,) = trials.begin_trials([tiny("ppo")], scenario, tmp_path)
    whole = done.placed[0]

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(placed.folder, stop)
    # The first iteration is logged but in no checkpoint: it is done again, not counted twice.
    assert placed.flows() == 400

    trials.train_all([placed])

    assert placed.flows() == 1_200
    assert [line.flows for line in placed.folder.progress()] == [400, 800, 1_200]
    rewards = [[x.average_reward for x in one.folder.progress()] for one in (placed, whole)]
    assert rewards[0] == rewards[1]


def test_other_settings_in_the_same_place_are_refused(scenario: Scenario, tmp_path: Path) -> None:
    trials.begin_trials([tiny("ppo")], scenario, tmp_path)

    with pytest.raises(InputError, match="begun with other settings"):
        trials.begin_trials([tiny("ppo", flows=2_000)], scenario, tmp_path)


def test_a_trial_that_has_not_begun_has_no_flows(scenario: Scenario, tmp_path: Path) -> None:
    (placed,) = trials.begin_trials([tiny("ppo")], scenario, tmp_path)

    assert placed.flows() == 0
    assert isinstance(placed.folder, RunFolder)


def test_a_trial_that_fails_says_where(
    ray_local: ModuleType, scenario: Scenario, tmp_path: Path
) -> None:
    (bad,) = trials.begin_trials([tiny("ppo")], scenario, tmp_path)
    flows = bad.folder.scenario_folder / "train.parquet"
    # The run's files are links to the scenario's own.
    flows.unlink()
    flows.write_bytes(b"damaged")

    with pytest.raises(InputError, match=r"train\.parquet"):
        trials.train_all([bad])


@pytest.mark.parametrize("end", [KeyboardInterrupt(), InputError("another trial failed")])
def test_whatever_ends_a_reproduction_trials_write_their_checkpoints(
    ray_local: ModuleType, scenario: Scenario, tmp_path: Path, end: BaseException
) -> None:
    (placed,) = trials.begin_trials([endless()], scenario, tmp_path)

    def end_midway(done: int, total: int, names: str) -> None:
        if done:
            raise end

    with pytest.raises(type(end)):
        trials.train_all([placed], end_midway)

    assert 0 < placed.folder.manifest().flows == placed.flows() < 100_000_000
