"""The paper's findings against hand-made results: each verdict from what it must come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from rayapp.lab.reproduction.findings import CLAIMS, findings, flows_to_level
from rayapp.lab.reproduction.results import Results, SystemResult

MakeSystem = Callable[..., SystemResult]
MakeResults = Callable[..., Results]

FAST = [-4.0, 0.0, 4.0, *[4.5] * 17]
SLOW = [-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, *[4.9] * 11]


def finding(results: Results, words: str) -> dict[str, Any]:
    """The row of the finding that has these words."""
    table = findings(results, "paper")
    (row,) = table[table["finding"].str.contains(words, regex=False)].to_dict("records")
    return row


def test_what_was_not_trained_cannot_be_told(
    make_system: MakeSystem, make_results: MakeResults
) -> None:
    table = findings(make_results(make_system(name="ppo")), "paper")

    assert len(table) == len(CLAIMS)
    assert set(table["agrees"]) == {"cannot be told"}
    assert set(table["ours"]) == {"not trained"}


@pytest.mark.parametrize(
    ("infused", "plain", "faster", "lower"),
    [
        (FAST, SLOW, "yes", "yes"),
        (SLOW, FAST, "no", "no"),
        (SLOW, SLOW, "no", "no"),
        ([-4.0, *[4.9] * 19], SLOW, "yes", "no"),
    ],
)
def test_high_lambda_is_faster_and_ends_lower(
    infused: list[float],
    plain: list[float],
    faster: str,
    lower: str,
    make_system: MakeSystem,
    make_results: MakeResults,
) -> None:
    results = make_results(
        make_system(experiment="figure 3", name="lambda 1.0", curve=infused),
        make_system(experiment="figure 3", name="ppo", curve=plain),
    )

    assert finding(results, "after fewer flows")["agrees"] == faster
    assert finding(results, "λ = 1 ends")["agrees"] == lower


def test_both_figures_are_told(make_system: MakeSystem, make_results: MakeResults) -> None:
    results = make_results(
        make_system(experiment="figure 3", name="lambda 1.0", curve=[-4.0, *[4.9] * 19]),
        make_system(experiment="figure 3", name="ppo", curve=SLOW),
        make_system(name="ppo-kg-pt", benign=4.99),
        make_system(name="ppo-kg", benign=-0.11),
    )

    assert finding(results, "after fewer flows")["ours"] == "2,000 / 10,000"
    cloned = finding(results, "more on Benign")
    assert (cloned["paper"], cloned["ours"]) == ("4.99 / -0.11", "4.990 / -0.110")
    assert cloned["difference"] == pytest.approx(5.1)


@pytest.mark.parametrize(("end", "told"), [(4.9, "yes"), (4.95, "yes"), (4.8, "no")])
def test_low_lambda_ends_as_high(
    end: float, told: str, make_system: MakeSystem, make_results: MakeResults
) -> None:
    results = make_results(
        make_system(experiment="figure 3", name="lambda 0.1", curve=[-4.0] + [end] * 19),
        make_system(experiment="figure 3", name="ppo", curve=SLOW),
    )

    assert finding(results, "λ = 0.1 ends")["agrees"] == told


@pytest.mark.parametrize(
    ("infused", "plain", "behind", "higher"),
    [
        ([0.0] * 10 + [4.9] * 10, [4.0] * 20, "yes", "yes"),
        ([4.5] * 20, [4.0] * 20, "no", "yes"),
        ([4.0] * 20, [4.0] * 20, "no", "no"),
        ([3.0] * 20, [4.0] * 20, "yes", "no"),
    ],
)
def test_annealing_starts_lower_and_overtakes(
    infused: list[float],
    plain: list[float],
    behind: str,
    higher: str,
    make_system: MakeSystem,
    make_results: MakeResults,
) -> None:
    results = make_results(
        make_system(name="ppo-kg", curve=infused), make_system(name="ppo", curve=plain)
    )

    assert finding(results, "first tenth")["agrees"] == behind
    assert finding(results, "PPO-KG ends its training")["agrees"] == higher


def test_curves_of_few_updates_are_not_read(
    make_system: MakeSystem, make_results: MakeResults
) -> None:
    results = make_results(
        make_system(name="ppo-kg", curve=[0.0, 4.9]), make_system(name="ppo", curve=[4.0, 4.0])
    )

    row = finding(results, "PPO-KG ends its training")

    assert pd.isna(row["ours"])
    assert row["agrees"] == "cannot be told"


@pytest.mark.parametrize(
    ("cloned", "infused", "told"), [(4.99, -0.11, "yes"), (4.99, 4.99, "no"), (-5, 4.9, "no")]
)
def test_cloning_fixes_benign(
    cloned: float, infused: float, told: str, make_system: MakeSystem, make_results: MakeResults
) -> None:
    results = make_results(
        make_system(name="ppo-kg-pt", benign=cloned), make_system(name="ppo-kg", benign=infused)
    )

    assert finding(results, "more on Benign")["agrees"] == told
    assert finding(results, "PPO-KG-PT earns more per test flow")["agrees"] == told


def test_infused_systems_are_held_against_ppo_one_by_one(
    make_system: MakeSystem, make_results: MakeResults
) -> None:
    results = make_results(
        make_system(name="ppo", right=0.95, wrong=0.5),
        make_system(name="ppo-kg", right=0.9, wrong=0.6),
        make_system(name="ppo-kg-pt", right=0.99, wrong=0.2),
        make_system(name="llm-kg", right=0.9505, wrong=0.496),
    )

    told = {
        (how, name): finding(results, f"Where detection is {how}, {name} takes")["agrees"]
        for how in ("right", "wrong")
        for name in ("PPO-KG", "PPO-KG-PT", "LLM-KG")
    }

    # The last system's figures differ by less than counts.
    assert told == {
        ("right", "PPO-KG"): "no",
        ("right", "PPO-KG-PT"): "yes",
        ("right", "LLM-KG"): "no",
        ("wrong", "PPO-KG"): "no",
        ("wrong", "PPO-KG-PT"): "yes",
        ("wrong", "LLM-KG"): "no",
    }


def test_no_misdetected_flows_cannot_tell(
    make_system: MakeSystem, make_results: MakeResults
) -> None:
    results = make_results(*(make_system(name=name, wrong=None) for name in ("ppo", "ppo-kg")))

    assert finding(results, "wrong, PPO-KG takes")["agrees"] == "cannot be told"


@pytest.mark.parametrize(("share", "told"), [(0.1, "yes"), (0.9, "no")])
def test_supervised_is_held_against_the_lowest_of_the_others(
    share: float, told: str, make_system: MakeSystem, make_results: MakeResults
) -> None:
    shares = {"ppo": 0.5, "ppo-kg": 0.9, "ppo-kg-pt": 0.2, "llm-kg": 0.6}
    others = (make_system(name=name, wrong=one) for name, one in shares.items())

    row = finding(make_results(make_system(name="dl", wrong=share), *others), "wrong, DL")

    assert row["agrees"] == told
    assert row["ours"] == f"{share:.1%} / 20.0%"


def test_trials_that_disagree_cannot_tell(
    make_system: MakeSystem, make_results: MakeResults
) -> None:
    up, down = (
        make_system(experiment="figure 3", name="lambda 0.1", curve=[end] * 20)
        for end in (4.5, 3.5)
    )
    torn = SystemResult("paper", "figure 3", "lambda 0.1", (up.trials[0], down.trials[1]))
    plain = make_system(experiment="figure 3", name="ppo", curve=[4.2] * 20)

    row = finding(make_results(torn, plain), "λ = 0.1 ends")

    assert row["agrees"] == "cannot be told"
    assert row["low"] < 0 < row["high"]


def test_one_trial_has_no_interval(make_system: MakeSystem, make_results: MakeResults) -> None:
    results = make_results(
        make_system(name="ppo-kg", seeds=1), make_system(name="ppo", seeds=1, benign=-5)
    )

    row = finding(results, "PPO-KG earns more per test flow than PPO")

    assert row["agrees"] == "yes"
    assert row["low"] is row["high"] is None


def test_speed_is_measured_at_a_level_that_both_reach(make_system: MakeSystem) -> None:
    fast, slow = make_system(curve=FAST).trials[0], make_system(curve=SLOW).trials[0]

    # 95 % of the way from -4 to 4.5, the lower end, is 4.075.
    assert flows_to_level(fast, [slow]) == (4_000, 10_000)
