"""Whether the ratios to peers are still what they were: a small race against a kept baseline.

Ratios of rates in one race hardly depend on the machine, and the band is wide all the same: what
leaves it has changed, not wavered. It tells; whoever reads it decides.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from envs import InputError, Scenario
from rayapp.bench.train import FIRST, Listener, Rules, compare

BAND = 2.0
"""Factor by which a ratio may differ, up or down."""

CONTENDERS = (FIRST, "kirl ppo", "stable-baselines3 ppo", "vowpal wabbit", "tensor loop")

RULES = Rules(rounds=1, flows=2_000_000, seconds=3.0, patience=0.0, trial_seconds=1.0)

Verdict = Literal["as before", "slower", "faster"]


@dataclass(frozen=True)
class Watched:
    """One ratio.

    Attributes:
        name: whom :data:`FIRST` is compared with.
        ratio: of environment steps per second, now.
        baseline: what it was.
        verdict: whether it has left the band.
    """

    name: str
    ratio: float
    baseline: float
    verdict: Verdict

    @classmethod
    def of(cls, name: str, ratio: float, baseline: float) -> Watched:
        """Judges a ratio."""
        verdict: Verdict = "as before"
        if ratio < baseline / BAND:
            verdict = "slower"
        elif ratio > baseline * BAND:
            verdict = "faster"
        return cls(name, ratio, baseline, verdict)


def watch(scenario: Scenario, baseline: dict[str, float], listener: Listener) -> list[Watched]:
    """Runs the small race and compares; about a minute.

    Args:
        scenario: prepared, on disk.
        baseline: ratios by contender; those that are not in it are not run.
        listener: told after each turn.
    """
    names = tuple(name for name in CONTENDERS if name == FIRST or name in baseline)
    found = compare(scenario, RULES, listener, names)
    return [Watched.of(name, ratio, baseline[name]) for name, ratio in found.ratios.items()]


def read_baseline(path: Path | None) -> dict[str, float]:
    """Ratios by contender from a file, or those that kirl ships.

    Raises:
        InputError: it is not such a file.
    """
    shipped = resources.files("rayapp.bench").joinpath("baseline.json")
    try:
        text = path.read_text(encoding="utf-8") if path else shipped.read_text(encoding="utf-8")
        ratios = {str(name): float(ratio) for name, ratio in json.loads(text)["ratios"].items()}
        if not ratios or min(ratios.values()) <= 0:
            raise ValueError("no ratios above 0")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"not a readable baseline ({type(error).__name__})",
            where=str(path or shipped),
            expected='{"ratios": {"tensor loop": 0.6, ...}}, as --json prints them',
            mend="Give a file that kirl bench train --json or bench guard --json wrote",
        ) from error
    return ratios
