"""A small race is compared with a kept baseline: it reports, refuses unlike races, never fails."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from envs import InputError, Scenario
from rayapp.commands.bench_inputs import check_peers
from rayapp.lab.bench import guard
from rayapp.lab.bench.peers.contender import flows_of
from rayapp.lab.bench.peers.lap import CONTENDERS
from rayapp.lab.bench.provenance import Provenance
from rayapp.lab.bench.train import FIRST, Rules


def nobody(done: int, total: int, name: str) -> None:
    """A listener that does not listen."""


def baseline_of(scenario: Scenario, **ratios: float) -> guard.Baseline:
    named = {name.replace("_", " "): ratio for name, ratio in ratios.items()}
    return guard.Baseline(named, Provenance.of(scenario, flows_of(scenario)), guard.RULES)


def test_ratios_are_judged_by_a_wide_band() -> None:
    verdicts = [guard.Watched.of("x", ratio, 10.0).verdict for ratio in (4.9, 5.1, 19.9, 20.1)]

    assert verdicts == ["slower", "as before", "as before", "faster"]


def test_the_shipped_baseline_names_contenders_and_where_it_comes_from() -> None:
    known = guard.read_baseline(None)

    assert set(known.ratios) <= set(CONTENDERS) - {FIRST}
    assert known.ratios["tensor loop"] < 1 < known.ratios["stable-baselines3 ppo"]
    assert known.provenance.kind == "synthetic"
    assert known.provenance.versions["ray"]
    assert known.rules == guard.RULES


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"ratios": {"tensor loop": "x"}}'])
def test_a_file_that_is_no_baseline_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(text)

    with pytest.raises(InputError, match="not a readable baseline"):
        guard.read_baseline(path)


def test_a_baseline_is_read_as_it_was_written(scenario: Scenario, tmp_path: Path) -> None:
    known = baseline_of(scenario, tensor_loop=0.6)
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps(asdict(known)))

    assert guard.read_baseline(path) == known


def test_what_another_race_gave_is_not_compared(scenario: Scenario) -> None:
    known = baseline_of(scenario, tensor_loop=0.6)
    longer = replace(known, rules=Rules())
    elsewhere = replace(known, provenance=replace(known.provenance, flows=7))

    with pytest.raises(InputError, match="another race"):
        guard.watch(scenario, longer, nobody)
    with pytest.raises(InputError, match="another race"):
        guard.watch(scenario, elsewhere, nobody)


def test_other_machines_and_versions_are_told_of(scenario: Scenario) -> None:
    here = Provenance.of(scenario, flows_of(scenario))
    there = replace(here, processors=64, versions=here.versions | {"torch": "1.0"})

    told = guard.differences(there, here)

    assert guard.differences(here, here) == ()
    assert len(told) == 2
    assert "processors" in told[0]
    assert "torch 1.0" in told[1]


def test_a_very_small_race_reports_and_never_fails(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = replace(guard.RULES, flows=65_536 * 3, seconds=0.1)
    monkeypatch.setattr(guard, "RULES", rules)
    known = replace(baseline_of(scenario, tensor_loop=1e-9), rules=rules)

    (one,) = guard.watch(scenario, known, nobody).watched

    # However wrong the baseline: that is told, and nothing else happens.
    assert one.verdict == "faster"
    assert 0 < one.ratio < 20


def test_a_missing_peer_is_named_before_anything_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(InputError, match="vowpal wabbit is not installed"):
        check_peers(["tensor loop", "vowpal wabbit"], "kirl bench guard", "")


@pytest.mark.slow
def test_all_who_are_watched_run_and_what_is_found_is_the_next_baseline(
    scenario: Scenario, tmp_path: Path
) -> None:
    known = guard.read_baseline(None)
    known = replace(known, provenance=Provenance.of(scenario, flows_of(scenario)))

    found = guard.watch(scenario, known, nobody)

    assert set(found.ratios) == set(guard.CONTENDERS) - {FIRST}
    assert [one.name for one in found.watched] == list(found.ratios)
    assert found.differences == ()
    assert guard.watch(scenario, None, nobody).watched == ()
    (tmp_path / "next.json").write_text(json.dumps(asdict(found)))
    again = guard.read_baseline(tmp_path / "next.json")
    assert again.ratios == found.ratios
    assert {one.verdict for one in guard.judged(found.ratios, again)} == {"as before"}
