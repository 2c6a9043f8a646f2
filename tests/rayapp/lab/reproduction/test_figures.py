"""The paper's figures, and their numbers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rayapp.lab.reproduction import figures
from rayapp.lab.reproduction.results import Results, SystemResult

MakeSystem = Callable[..., SystemResult]
MakeResults = Callable[..., Results]


def test_figures_have_their_numbers(everything: Results) -> None:
    curves = figures.figure_4(everything, "kirl")
    bars = figures.figure_5(everything, "paper")

    assert curves is not None
    assert [chart.name for chart in curves.charts] == ["figure_4_kirl", "figure_4_kirl_close"]
    assert set(curves.numbers["system"]) == {"ppo", "ppo-kg"}
    assert bars is not None
    wrong = bars.numbers.query("system == 'dl' and detection == 'wrong'")
    assert wrong["mean"].tolist() == pytest.approx([0.2])


@pytest.mark.parametrize(("seeds", "told"), [(1, False), (2, True)])
def test_a_band_is_spoken_of_where_there_is_one(
    seeds: int, told: bool, make_system: MakeSystem, make_results: MakeResults
) -> None:
    drawn = figures.figure_4(make_results(make_system(seeds=seeds)), "paper")

    assert drawn is not None
    assert ("band" in drawn.charts[0].caption) is told


def test_what_was_not_run_is_not_drawn(make_system: MakeSystem, make_results: MakeResults) -> None:
    results = make_results(make_system(preset="kirl", experiment="ablation", name="lambda stays 1"))

    assert figures.figure_3(results, "kirl") is None
    assert figures.figure_4(results, "kirl") is None
    assert figures.figure_5(results, "kirl") is None


def test_shares_of_no_flows_are_said_to_be_missing(
    make_system: MakeSystem, make_results: MakeResults
) -> None:
    drawn = figures.figure_5(make_results(make_system(wrong=None)), "paper")

    assert drawn is not None
    texts = [text.get_text() for text in drawn.charts[0].figure.axes[0].texts]
    assert "no such flows" in texts
