"""Policies that take the same action whatever is detected."""

from __future__ import annotations

from collections.abc import Callable

from envs import Catalogue
from rayapp.lab.reproduction.findings import findings
from rayapp.lab.reproduction.results import Results, SystemResult
from rayapp.lab.reproduction.single import one_action

PAPER = Catalogue.named("paper")

MakeSystem = Callable[..., SystemResult]
MakeResults = Callable[..., Results]


def rewards(action: str) -> dict[str, float]:
    number = [taken.name for taken in PAPER.actions].index(action)
    earned = PAPER.rewards[:, number]
    return {
        "benign": float(earned[PAPER.class_index("Benign")]),
        "web": float(earned[PAPER.class_index("Web")]),
    }


def test_a_policy_that_never_changes_is_found_by_what_it_earns(make_system: MakeSystem) -> None:
    assert one_action(make_system(**rewards("No Action")), PAPER) == "No Action"
    assert one_action(make_system(**rewards("Input Validation")), PAPER) == "Input Validation"
    assert one_action(make_system(benign=4.9, web=3.0), PAPER) is None


def test_all_trials_must_have_it(make_system: MakeSystem) -> None:
    single, other = make_system(**rewards("No Action")), make_system()
    mixed = SystemResult("paper", "main", "ppo", (single.trials[0], other.trials[1]))

    assert one_action(mixed, PAPER) is None


def test_findings_are_explained_by_it(make_system: MakeSystem, make_results: MakeResults) -> None:
    systems = [
        make_system(name=name, **rewards("No Action")) for name in ("ppo", "ppo-kg", "ppo-kg-pt")
    ]

    found = findings(make_results(*systems, make_system(name="llm-kg")), "paper")

    assert "'No Action' is what PPO-KG-PT and PPO-KG ended with" in found[3].why
    assert "'No Action' is what PPO, PPO-KG and PPO-KG-PT ended with" in found[4].why
