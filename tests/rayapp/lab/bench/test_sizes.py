"""Benchmarks of sizes, preparation and decisions, small: they measure the real thing."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from envs import Catalogue, Scenario
from envs.datasets import registry
from envs.datasets.source import Reading
from rayapp.lab.bench import decisions, scaling
from rayapp.lab.bench.drawing import draw_scaling
from rayapp.lab.bench.made_up import made_up
from rayapp.lab.bench.prepare import measure_prepare, write_csv
from rayapp.lab.bench.trees import OURS, THEIRS, compare_trees


def nothing(done: int, total: int) -> None:
    """Progress that nobody watches."""


def test_a_made_up_scenario_has_the_sizes_that_were_asked_for(tmp_path: Path) -> None:
    made_up(tmp_path / "made", flows=5_000, signatures=40, actions=60)

    read = Scenario.load(tmp_path / "made")

    flows = read.flow_set("train", matching="cross-fitted")
    assert (len(flows), len(flows.contexts.predicted), len(flows.catalogue.actions)) == (
        5_000,
        40,
        60,
    )
    assert 0 < np.mean(flows.contexts.traffic[flows.context] != flows.actual) < 0.05


@pytest.mark.slow
def test_every_size_is_trained_on(
    ray_local: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"RUNNERS": (0, 1), "FRAGMENTS": (64,), "FLOWS": (500,), "SIGNATURES": (20,)}
    sizes |= {"ACTIONS": (15, 30), "ROWS": (1_500,)}
    for name, values in sizes.items():
        monkeypatch.setattr(scaling, name, values)
    for name in ("BASE_FLOWS", "BASE_FRAGMENT"):
        monkeypatch.setattr(scaling, name, 300)
    monkeypatch.setattr(scaling, "ITERATIONS", 2)
    monkeypatch.setattr(scaling, "TURNS", 2)
    steps: list[tuple[int, int]] = []

    found = scaling.measure(lambda done, total: steps.append((done, total)))

    assert steps == [(i, 10) for i in range(1, 11)]
    assert [one.size for one in found.runners] == [one.size for one in found.shared] == [0, 1]
    assert [one.flows for one in found.runners + found.shared] == [600] * 4
    assert found.fragments[0].flows == 128
    assert [one.size for one in found.actions] == [15, 30]
    assert (
        min(found.signatures[0].turns) < found.signatures[0].rate < max(found.signatures[0].turns)
    )
    assert found.rows[0].peak_gib
    titles = {"runners": "remote runners", "flows": "flows", "rows": "rows"}
    draw_scaling(found, titles, tmp_path / "sizes.svg")
    assert "remote runners" in (tmp_path / "sizes.svg").read_text()


def test_written_flows_are_read_back_to_the_bit(tmp_path: Path) -> None:
    paper = Catalogue.named("paper")
    flows = registry.drawn(500, 3, paper).read()
    write_csv(flows, tmp_path / "day.csv")

    read = registry.opened([tmp_path / "day.csv"], Reading.labelled(paper)).read()

    assert np.array_equal(read.features, flows.features)
    assert np.array_equal(read.actual, flows.actual)


def test_preparing_is_told_part_by_part() -> None:
    found = measure_prepare(2_000, nothing)

    assert list(found.seconds) == ["reading", "comparing", "fitting", "matching", "writing"]
    assert found.total_seconds == pytest.approx(sum(found.seconds.values()))
    assert found.rows == 2_000
    assert found.fitted_rows_per_second == pytest.approx(1_400 / found.seconds["fitting"])
    assert found.signatures > 8
    assert 0.5 < found.macro_f1 <= 1


def test_both_trees_are_grown_on_the_same_flows_and_as_good() -> None:
    found = compare_trees((), rows=3_000, seeds=2, counted_from=500)

    assert (found.fitted, found.tested) == (2_100, 900)
    ours, theirs = found.grown[OURS], found.grown[THEIRS]
    assert len(ours) == len(theirs) == 2
    for one, other in zip(ours, theirs, strict=True):
        assert one.accuracy == pytest.approx(other.accuracy, abs=0.03)
        assert one.leaves == pytest.approx(other.leaves, rel=0.2)
        assert 1 <= one.sorted_per_flow <= one.depth
    assert found.ratio > 0


@pytest.mark.slow
def test_decisions_are_timed_with_and_without_advice(
    ray_local: ModuleType, scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "FLOWS", 500)
    monkeypatch.setattr(decisions, "BATCHES", 2)

    found = decisions.measure_decisions(scenario, tmp_path / "runs", nothing, 2_000)

    costs = found.costs
    assert costs.kind == "embedded"
    for cost in (costs.policy, costs.cached_advice, costs.in_the_loop):
        assert 0 < cost.median <= cost.p99
    assert costs.in_the_loop.median > costs.cached_advice.median
    assert found.batched_flows_per_second > 8_192 / 5
    assert found.test_flows == len(scenario.test[0])
