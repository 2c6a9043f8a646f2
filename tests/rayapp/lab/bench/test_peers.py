"""Contenders train on what they are given, and a turn ends when it should."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from envs import Scenario
from rayapp.lab.bench import train as bench
from rayapp.lab.bench.peers.contender import Clock, Limits, Stretch, Work, flows_of
from rayapp.lab.bench.peers.lap import CONTENDERS, run, settings_of
from rayapp.lab.bench.train import FIRST, Rules, compare

WITHOUT_RAY = ("stable-baselines3 ppo", "vowpal wabbit", "tensor loop")

ENDLESS = Limits(seconds=math.inf)


def work_of(scenario: Scenario, folder: Path, name: str, flows: int) -> Work:
    return Work(scenario.path, flows, folder, settings_of(name)[0])


@pytest.mark.parametrize("name", WITHOUT_RAY)
def test_a_turn_ends_with_its_flows_and_tells_when_the_goal_was_reached(
    name: str, scenario: Scenario, tmp_path: Path
) -> None:
    pytest.importorskip("stable_baselines3")
    pytest.importorskip("vowpalwabbit")
    work = work_of(scenario, tmp_path, name, 20_000)

    easy = run(name, work, replace(ENDLESS, goal=-5.0))
    never = run(name, work, replace(ENDLESS, goal=5.1))

    assert 20_000 <= easy.flows < 20_000 + 70_000
    assert easy.rate == pytest.approx(easy.flows / easy.seconds)
    assert easy.goal_seconds is not None
    assert easy.goal_flows is not None
    assert 0 < easy.goal_seconds <= easy.seconds
    assert never.goal_seconds is never.goal_flows is None
    assert easy.peak_gib > 0.05


def test_the_tensor_loop_learns(scenario: Scenario, tmp_path: Path) -> None:
    work = work_of(scenario, tmp_path, "tensor loop", 1)
    early = run("tensor loop", work, ENDLESS).reward
    late = run("tensor loop", replace(work, flows=65_536 * 40), ENDLESS).reward

    assert late > early + 2


def test_a_turn_goes_on_for_its_goal_until_patience_ends() -> None:
    limits = Limits(seconds=10, goal=4.9, patience=30)

    assert not limits.over(9, reached=True)
    assert limits.over(10, reached=True)
    assert not limits.over(29, reached=False)
    assert limits.over(30, reached=False)
    assert Limits(seconds=10).over(10, reached=False)
    assert not Limits(seconds=10, goal=4.9, patience=5).over(9, reached=False)


def test_the_clock_stops_for_flows_limits_and_goal() -> None:
    clock = Clock(1_000, Limits(seconds=0.0, goal=4.0, patience=60.0, stretches=2))
    clock.start()

    clock.tell(Stretch(100, 4.5))
    assert clock.reached == (clock.seconds, 100)
    assert not clock.over  # a stretch is to come
    clock.tell(Stretch(100, 3.0))
    assert clock.over  # it was near the bound, and has no more time
    assert clock.flows == 200

    clock = Clock(1_000, Limits(seconds=60.0))
    clock.tell(Stretch(1_000, 0.0))
    assert clock.over
    ended = clock.seconds
    clock.stop(clock.began + ended + 5)  # files are still written
    assert clock.seconds == pytest.approx(ended + 5)


def test_vowpal_wabbit_starts_without_torch_and_comes_near_the_bound(
    scenario: Scenario, tmp_path: Path
) -> None:
    pytest.importorskip("vowpalwabbit")
    limits = Limits(seconds=0.0, goal=4.5, patience=60.0)
    result = tmp_path / "lap.json"
    order = {
        "name": "vowpal wabbit",
        "scenario": str(scenario.path),
        "flows": 500_000,
        "folder": str(tmp_path),
        "setting": dict(settings_of("vowpal wabbit")[0]),
        "limits": asdict(limits),
        "result": str(result),
    }
    code = (
        "import sys; from rayapp.lab.bench.peers.lap import main; main(sys.argv[1]); "
        "assert 'torch' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", code, json.dumps(order)], check=True)

    lap = json.loads(result.read_text())
    assert lap["goal_seconds"] is not None
    assert 0.05 < lap["peak_gib"] < 0.5


def test_vowpal_wabbits_exploration_fades() -> None:
    pytest.importorskip("vowpalwabbit")
    from rayapp.lab.bench.peers.vowpal import exploration

    assert [exploration(n) for n in (0, 4_096, 65_536, 1_048_576)] == [
        1 / 2,
        1 / 4,
        1 / 64,
        1 / 1024,
    ]


def test_rllibs_environments_meet_each_flow_of_a_pass_once(scenario: Scenario) -> None:
    from rayapp.lab.bench.peers.rllib import Alternating, OneOfMany

    flows = flows_of(scenario)
    many = [OneOfMany(flows, seed=1, number=n, of=4) for n in range(4)]
    met = [
        env.reset(seed=n)[1]["flow"] for _ in range(len(flows) // 4) for n, env in enumerate(many)
    ]
    assert len(set(met)) == len(met)
    assert many[0].situation.stream is many[3].situation.stream

    vector = Alternating(flows, 8)
    first, _ = vector.reset(seed=2)
    ended, reward, done, _, _ = vector.step(np.zeros(8, np.int64))
    assert done.all()
    assert np.array_equal(ended[:, :2], first[:, :2])
    following, none, fresh, _, _ = vector.step(np.zeros(8, np.int64))
    assert not fresh.any()
    assert not none.any()
    assert reward.any()
    assert not np.array_equal(following[:, :2], ended[:, :2])


@pytest.mark.slow
def test_all_contenders_in_turn(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "TRIAL_STRETCHES", 1)
    told: list[tuple[int, int]] = []
    rules = Rules(rounds=2, flows=200_000, seconds=1.0, patience=0.0, trial_seconds=0.2)

    found = compare(scenario, rules, lambda done, total, name: told.append((done, total)))

    assert {one.name for one in found.standings} == set(CONTENDERS)
    assert set(found.ratios) == set(CONTENDERS) - {FIRST}
    rates = {one.name: one.steps_per_second for one in found.standings}
    assert found.ratios["rllib ppo"] == pytest.approx(rates[FIRST] / rates["rllib ppo"])
    assert told[-1][0] == told[-1][1] == 2 * len(CONTENDERS) + sum(map(len, found.trials.values()))
    assert found.provenance.fingerprint == scenario.fingerprint
    for one in found.standings:
        assert len(one.rounds) == 2
        assert one.peak_gib > 0.1
