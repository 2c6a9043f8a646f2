"""The paper's findings against hand-made results: each verdict from what it must come from."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rayapp.lab.reproduction.findings import (
    Finding,
    findings,
    lowest_lead,
    time_to_level,
    verdict,
)
from rayapp.lab.reproduction.results import Results, SystemResult

MakeSystem = Callable[..., SystemResult]
MakeResults = Callable[..., Results]

FAST = [-4.0, 0.0, 4.0, *[4.5] * 17]
SLOW = [-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, *[4.9] * 11]


def finding(results: Results, number: int) -> Finding:
    return findings(results, "paper")[number - 1]


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ([True, True], "yes"),
        ([False, False], "no"),
        ([True, False], "partly"),
        ([True, False, None], "partly"),
        ([True, None], "cannot be told"),
        ([False, None], "cannot be told"),
        ([None], "cannot be told"),
    ],
)
def test_parts_make_a_verdict(parts: list[bool | None], told: str) -> None:
    assert verdict(parts) == told


def test_what_was_not_trained_cannot_be_told(
    make_system: MakeSystem, make_results: MakeResults
) -> None:
    found = findings(make_results(make_system(name="ppo")), "paper")

    assert len(found) == 7
    assert {one.appears for one in found} == {"cannot be told"}
    assert "λ = 1" in found[0].figures


@pytest.mark.parametrize(
    ("infused", "plain", "told"),
    [(FAST, SLOW, "yes"), (SLOW, FAST, "no"), (SLOW, SLOW, "no"), ([*FAST, 4.9], FAST, "no")],
)
def test_high_lambda_is_faster_and_ends_lower(
    infused: list[float],
    plain: list[float],
    told: str,
    make_system: MakeSystem,
    make_results: MakeResults,
) -> None:
    results = make_results(
        make_system(part="figure 3", name="lambda 1.0", curve=infused),
        make_system(part="figure 3", name="ppo", curve=plain),
    )

    assert finding(results, 1).appears == told


def test_high_lambda_can_be_faster_without_ending_lower(
    make_system: MakeSystem, make_results: MakeResults
) -> None:
    results = make_results(
        make_system(part="figure 3", name="lambda 1.0", curve=[-4.0, 4.9, *[4.9] * 18]),
        make_system(part="figure 3", name="ppo", curve=SLOW),
    )

    found = finding(results, 1)

    assert found.appears == "partly"
    assert "after 2,000 flows, PPO after 10,000" in found.figures


@pytest.mark.parametrize(("end", "told"), [(4.9, "yes"), (4.95, "yes"), (4.8, "no")])
def test_low_lambda_ends_as_high(
    end: float, told: str, make_system: MakeSystem, make_results: MakeResults
) -> None:
    results = make_results(
        make_system(part="figure 3", name="lambda 0.1", curve=[-4.0] + [end] * 19),
        make_system(part="figure 3", name="ppo", curve=SLOW),
    )

    assert finding(results, 2).appears == told


@pytest.mark.parametrize(
    ("infused", "plain", "told"),
    [
        ([0.0] * 10 + [4.9] * 10, [4.0] * 20, "yes"),
        ([4.5] * 20, [4.0] * 20, "partly"),
        ([4.0] * 20, [4.0] * 20, "no"),
        ([3.0] * 20, [4.0] * 20, "no"),
    ],
)
def test_annealing_overtakes(
    infused: list[float],
    plain: list[float],
    told: str,
    make_system: MakeSystem,
    make_results: MakeResults,
) -> None:
    results = make_results(
        make_system(name="ppo-kg", curve=infused), make_system(name="ppo", curve=plain)
    )

    assert finding(results, 3).appears == told


def test_curves_of_few_updates_are_not_read(
    make_system: MakeSystem, make_results: MakeResults
) -> None:
    results = make_results(
        make_system(name="ppo-kg", curve=[0.0, 4.9]), make_system(name="ppo", curve=[4.0, 4.0])
    )

    found = finding(results, 3)

    assert found.appears == "cannot be told"
    assert "fewer than 6 updates" in found.figures


@pytest.mark.parametrize(
    ("cloned", "infused", "told"), [(4.99, -0.11, "yes"), (4.99, 4.99, "no"), (-5, 4.9, "no")]
)
def test_cloning_fixes_benign(
    cloned: float, infused: float, told: str, make_system: MakeSystem, make_results: MakeResults
) -> None:
    results = make_results(
        make_system(name="ppo-kg-pt", benign=cloned), make_system(name="ppo-kg", benign=infused)
    )

    assert finding(results, 4).appears == told


@pytest.mark.parametrize(
    ("plain", "right", "wrong"),
    [((0.5, 0.9), "yes", "yes"), ((0.999, 0.1), "no", "no"), ((0.95, 0.5), "partly", "partly")],
)
def test_infused_systems_against_ppo(
    plain: tuple[float, float],
    right: str,
    wrong: str,
    make_system: MakeSystem,
    make_results: MakeResults,
) -> None:
    results = make_results(
        make_system(name="ppo", right=plain[0], wrong=plain[1]),
        make_system(name="ppo-kg", right=0.9, wrong=0.6),
        make_system(name="ppo-kg-pt", right=0.99, wrong=0.2),
        make_system(name="llm-kg", right=0.98, wrong=0.2),
    )

    assert (finding(results, 5).appears, finding(results, 6).appears) == (right, wrong)


def test_no_misdetected_flows_cannot_tell(
    make_system: MakeSystem, make_results: MakeResults
) -> None:
    names = ("ppo", "ppo-kg", "ppo-kg-pt", "llm-kg")
    results = make_results(*(make_system(name=name, wrong=None) for name in names))

    assert finding(results, 6).appears == "cannot be told"


@pytest.mark.parametrize(
    ("right", "wrong", "told"), [(0.5, 0.1, "yes"), (0.5, 0.9, "partly"), (0.99, 0.9, "no")]
)
def test_supervised_is_worst(
    right: float, wrong: float, told: str, make_system: MakeSystem, make_results: MakeResults
) -> None:
    others = (make_system(name=name) for name in ("ppo", "ppo-kg", "ppo-kg-pt", "llm-kg"))
    results = make_results(make_system(name="dl", right=right, wrong=wrong), *others)

    assert finding(results, 7).appears == told


def test_trials_that_disagree_cannot_tell(
    make_system: MakeSystem, make_results: MakeResults
) -> None:
    up, down = (
        make_system(part="figure 3", name="lambda 0.1", curve=[end] * 20) for end in (4.5, 3.5)
    )
    torn = SystemResult("paper", "figure 3", "lambda 0.1", (up.trials[0], down.trials[1]))
    plain = make_system(part="figure 3", name="ppo", curve=[4.2] * 20)

    found = finding(make_results(torn, plain), 2)

    assert found.appears == "cannot be told"
    assert "−0.200" in found.figures


def test_speed_is_measured_at_a_level_that_both_reach(make_system: MakeSystem) -> None:
    found = time_to_level(make_system(curve=FAST), make_system(curve=SLOW))

    assert found is not None
    # 95 % of the way from -4 to 4.5, the lower end, is 4.075.
    assert (found.one, found.other) == (4_000, 10_000)


def test_the_lowest_lead_is_that_of_the_worst_tenth(make_system: MakeSystem) -> None:
    one, other = make_system(curve=[3.0] * 2 + [5.0] * 18), make_system(curve=[4.0] * 20)

    assert lowest_lead(one, other) == pytest.approx(-1.0)
