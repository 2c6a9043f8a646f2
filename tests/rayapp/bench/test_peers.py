"""Contenders train on what they are given, and a turn ends when it should."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from envs import InputError, Scenario
from rayapp.bench import guard
from rayapp.bench.peers.contender import Work
from rayapp.bench.peers.lap import CONTENDERS, Limits, run, settings_of
from rayapp.bench.train import FIRST, Rules, compare

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


def test_ratios_are_judged_by_a_wide_band() -> None:
    verdicts = [guard.Watched.of("x", ratio, 10.0).verdict for ratio in (4.9, 5.1, 19.9, 20.1)]

    assert verdicts == ["slower", "as before", "as before", "faster"]


def test_the_shipped_baseline_names_contenders() -> None:
    known = guard.read_baseline(None)

    assert set(known) <= set(CONTENDERS) - {FIRST}
    assert known["tensor loop"] < 1 < known["stable-baselines3 ppo"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"ratios": {"tensor loop": "x"}}'])
def test_a_file_that_is_no_baseline_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(text)

    with pytest.raises(InputError, match="not a readable baseline"):
        guard.read_baseline(path)


@pytest.mark.slow
def test_all_contenders_in_turn(scenario: Scenario) -> None:
    told: list[tuple[int, int]] = []
    rules = Rules(rounds=2, flows=200_000, seconds=1.0, patience=0.0, trial_seconds=0.2)

    found = compare(scenario, rules, lambda done, total, name: told.append((done, total)))

    assert {one.name for one in found.standings} == set(CONTENDERS)
    assert set(found.ratios) == set(CONTENDERS) - {FIRST}
    rates = {one.name: one.steps_per_second for one in found.standings}
    assert found.ratios["rllib ppo"] == pytest.approx(rates[FIRST] / rates["rllib ppo"])
    assert told[-1][0] == told[-1][1] == 2 * 6 + sum(map(len, found.trials.values()))
    for one in found.standings:
        assert len(one.rounds) == 2
        assert one.peak_gib > 0.1
