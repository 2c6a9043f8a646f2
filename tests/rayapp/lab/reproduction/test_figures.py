"""Curves of several trials, and the figures' numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from rayapp.lab.reproduction import figures
from rayapp.lab.reproduction.results import Results, SystemResult

MakeSystem = Callable[..., SystemResult]
MakeResults = Callable[..., Results]


def test_a_curve_is_the_mean_of_the_trials_and_their_span(make_system: MakeSystem) -> None:
    curve = figures.curve(make_system(seeds=3, curve=[1.0, 2.0]).trials)

    assert curve.flows.tolist() == [1_000, 2_000]
    assert curve.mean == pytest.approx([1.001, 2.001])
    assert curve.low == pytest.approx([1.0, 2.0])
    assert curve.high == pytest.approx([1.002, 2.002])


def test_neighbouring_iterations_are_averaged_where_there_are_many(make_system: MakeSystem) -> None:
    curve = figures.curve(make_system(seeds=1, curve=range(7)).trials, points=3)

    assert curve.mean.tolist() == [1, 4, 6]
    assert curve.flows.tolist() == [3_000, 6_000, 7_000]


def test_trials_of_different_length_are_compared_as_far_as_all_go(make_system: MakeSystem) -> None:
    short, long = make_system(curve=[1.0] * 3), make_system(curve=[1.0] * 9)

    assert len(figures.curve((short.trials[0], long.trials[1])).mean) == 3


def test_figures_have_their_numbers(everything: Results) -> None:
    whole, close = figures.figure_4(everything, "kirl")

    assert (whole.name, close.name) == ("figure_4_kirl", "figure_4_kirl_close")
    assert whole.data == close.data
    assert {row[0] for row in whole.data.rows} == {"ppo", "ppo-kg"}
    bars = figures.figure_5(everything, "paper")
    assert bars is not None
    assert ("dl", "wrong", 0.2, 0.2, 0.2, 2) in [
        tuple(np.round(x, 9) if isinstance(x, float) else x for x in row) for row in bars.data.rows
    ]


def test_what_was_not_run_is_not_drawn(make_system: MakeSystem, make_results: MakeResults) -> None:
    results = make_results(make_system(label="kirl", part="ablation", name="lambda stays 1"))

    assert figures.figure_3(results, "kirl") == []
    assert figures.figure_4(results, "kirl") == []
    assert figures.figure_5(results, "kirl") is None


def test_shares_of_no_flows_are_said_to_be_missing(
    make_system: MakeSystem, make_results: MakeResults
) -> None:
    drawn = figures.figure_5(make_results(make_system(wrong=None)), "paper")

    assert drawn is not None
    texts = [text.get_text() for text in drawn.figure.axes[0].texts]
    assert "no such flows" in texts
