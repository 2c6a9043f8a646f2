"""The graph's benchmark, small: what it measures is there, and it measures the real thing."""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from envs import Scenario
from rayapp.lab.bench import graph as bench
from rayapp.lab.bench.drawing import draw_growth


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes at which a benchmark is a test."""
    monkeypatch.setattr(bench, "FLOWS", 500)
    monkeypatch.setattr(bench, "SIGNATURES", (30, 60))
    monkeypatch.setattr(bench, "RUNNERS", (1, 2, 5))
    monkeypatch.setattr(bench, "ROUNDS", 1)
    monkeypatch.setattr(bench, "MERGES", 2)
    monkeypatch.setattr(bench, "IDLE_QUESTIONS", 5)


def test_a_made_up_table_counts_its_flows_and_misdetects_few() -> None:
    spec = bench.spec_of(50)
    table = bench.table_of(spec, 10_000, np.random.default_rng(0))

    wrong = table.count[spec.predicted[table.context] != table.actual].sum()
    assert table.flows == 10_000
    assert 0 < wrong < 300
    assert spec.new_graph().merge(table, bench.MergeKey("bench", 0, 0))


def test_store_and_answers_are_measured_at_every_size(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []

    speed = bench.measure(lambda done, total: steps.append((done, total)))

    assert steps == [(i, 5) for i in range(1, 6)]
    assert [one.size for one in speed.signatures] == [30, 60]
    assert [one.size for one in speed.runners] == [1, 2, 5]
    assert all(one.merge_seconds > 0 for one in (*speed.signatures, *speed.runners))
    assert speed.merges_per_second == pytest.approx(1 / speed.signatures[0].merge_seconds)
    draw_growth(speed, tmp_path / "growth.svg")
    assert "durable merge" in (tmp_path / "growth.svg").read_text()


def test_growth_is_told_as_an_exponent() -> None:
    squared = [bench.Growth(size, size**2, 1.0, 0.0) for size in (1, 10, 100)]

    assert bench.steepest(squared, lambda one: one.merge_seconds) == pytest.approx(2)
    assert bench.steepest(squared, lambda one: one.answer_seconds) == pytest.approx(0)


def test_questions_are_asked_while_a_training_merges(
    ray_local: ModuleType, scenario: Scenario
) -> None:
    speed = bench.measure_remote(scenario.path, 3, lambda done, total: None)

    assert speed.questions > 0
    for median, worst in (speed.idle, speed.training):
        assert 0 < median <= worst < math.inf
