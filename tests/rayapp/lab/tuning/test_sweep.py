"""Sweeps through a real Ray: shared flows, own graphs, resumed, and what they leave."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from envs import InputError, Scenario
from rayapp import config
from rayapp.lab.tuning import request as requests
from rayapp.lab.tuning import sweep, tuning
from rayapp.lab.tuning.request import Request
from rayapp.lab.tuning.space import read_space
from rayapp.runs.folder import RunFolder

SMALL = ("learning.flows_per_iteration=300", "learning.epochs=2", "network.hidden=[16]")
FLOWS = 4_800


def small(over: list[str], search: str, trials: int = 3, **more: object) -> Request:
    settings = config.load(None, SMALL, {"flows": FLOWS})
    return Request(settings, read_space(None, over), search, trials, **more)  # type: ignore[arg-type]


@pytest.mark.slow
def test_an_interrupted_sweep_goes_on_and_leaves_settings_that_train_takes(
    ray_local: ModuleType, scenario: Scenario, tmp_path: Path
) -> None:
    out = tmp_path / "sweep"
    request = small(["kl.start=[0.2, 1.0]", "kl.schedule=[constant]"], "grid", full=True)
    told: list[int] = []

    def interrupt_once(flows: int, total: int, note: str) -> None:
        told.append(flows)
        if len(told) == 8:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        tuning.tune(scenario, out, request, interrupt_once)
    assert not (out / "best.yaml").exists()
    before = len(told)
    outcome = tuning.tune(scenario, out, request, interrupt_once)

    assert len(outcome.tried) == request.number() == 3
    assert all(one.state == "complete" and one.flows == FLOWS for one in outcome.tried)
    # What was trained before the interruption is not trained again.
    assert told[before] > told[0], told
    reports = [FLOWS * report // 16 for report in range(1, 17)]
    assert all([flows for flows, _ in one.history] == reports for one in outcome.tried)
    taken = config.load(out / "best.yaml", (), {})
    assert taken == outcome.settings
    assert taken.total_flows(0) == FLOWS
    run = RunFolder(out / "best")
    assert run.manifest().state == "complete"
    assert run.manifest().fingerprint == scenario.fingerprint
    assert run.graph().counts().signature_actual.sum() == FLOWS
    assert json.loads((out / "results.json").read_text())["best"] == outcome.best.point
    assert (out / "schedules.png").read_bytes().startswith(b"\x89PNG")

    with pytest.raises(InputError, match=r"another sweep .*seed: 0 there, 1 now"):
        requests.begin(out, small(["kl.start=[0.2, 1.0]"], "grid", seed=1), scenario)


def test_a_learning_rate_that_learns_nothing_is_stopped_after_a_quarter(
    ray_local: ModuleType, scenario: Scenario, tmp_path: Path
) -> None:
    request = small(["learning.learning_rate=[1.0e-9]"], "grid", parallel=1)

    tried = sweep.run_trials(sweep.Prepared.of(scenario, request), tmp_path, request)

    # The settings as given were through before, and spared anyway.
    given, bad = sorted(tried, key=lambda one: len(one.point))
    assert (given.point, given.state, given.flows) == ({}, "complete", FLOWS)
    assert bad.point == {"learning.learning_rate": 1e-9}
    assert (bad.state, bad.flows) == ("stopped early", FLOWS // 4)
    assert [flows for flows, _ in bad.history] == [300, 600, 900, 1200]
    assert bad.average_reward < dict(given.history)[FLOWS // 4]


@pytest.mark.slow
def test_a_model_searches_the_ranges_and_the_best_complete_trial_leads(
    ray_local: ModuleType, scenario: Scenario, tmp_path: Path
) -> None:
    over = [
        "kl.start=0.1..3 log",
        "kl.schedule=[constant, linear]",
        "learning.learning_rate=1e-6..1e-2 log",
    ]
    request = small(over, "model", 5, parallel=1)

    outcome = tuning.tune(scenario, tmp_path / "sweep", request)

    points = [one.point for one in outcome.tried]
    assert len(points) == 5
    assert points.count({}) == 1
    assert all(0.1 <= p["kl.start"] <= 3 for p in points if p)
    given = next(one for one in outcome.tried if not one.point)
    assert given.state == "complete"
    assert "failed" not in {one.state for one in outcome.tried}
    ends = [one.history[-1] for one in outcome.tried if one.state == "complete"]
    assert {flows for flows, _ in ends} == {FLOWS}
    assert outcome.leader.history[-1][1] == max(score for _, score in ends)


def test_a_model_that_proposes_can_be_saved_and_restored(tmp_path: Path) -> None:
    request = small(["kl.start=0.1..3 log", "kl.schedule=[constant, linear]"], "model")
    searcher, later, again = (sweep.searcher(request) for _ in range(3))

    assert searcher.suggest("first") == {"point": {}}
    second = searcher.suggest("second")["point"]
    assert 0.1 <= second["kl.start"] <= 3
    assert [again.suggest(name) for name in ("first", "second")][1]["point"] == second
    searcher.save(str(tmp_path / "state"))
    later.restore(str(tmp_path / "state"))

    assert later.suggest("third")["point"].keys() == second.keys()
    later.on_trial_complete("second", {"average_reward": 4.9})


def test_a_sweep_that_cannot_be_trained_says_why(scenario: Scenario, tmp_path: Path) -> None:
    plain = Request(config.load(None, (), {"flows": 100, "algo": "ppo"}), {}, "grid")
    with pytest.raises(InputError, match="ppo has no KL term"):
        requests.begin(tmp_path / "a", plain, scenario)

    shared = config.load(None, ("graph.shared=/somewhere",), {"flows": 100})
    with pytest.raises(InputError, match="trials share no graph"):
        requests.begin(tmp_path / "b", Request(shared, {}, "grid"), scenario)

    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="is no sweep"):
        requests.begin(tmp_path / "c", small([], "grid"), scenario)
    assert not (tmp_path / "a").exists()


def test_best_settings_are_yaml_of_what_is_no_default(tmp_path: Path) -> None:
    settings = config.load(None, ("kl.start=0.5",), {"flows": 10})

    tuning._write_settings(tmp_path / "best.yaml", settings)

    written = yaml.safe_load((tmp_path / "best.yaml").read_text())
    assert written == {"flows": 10, "kl": {"start": 0.5}, "algo": "ppo-kg"}
