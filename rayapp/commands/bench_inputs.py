"""What the benchmarks share: scenarios where none is given, and how figures are shown."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from envs import InputError, Scenario
from rayapp.commands import console
from rayapp.commands.prepare import generate_flows


def made_up_scenario(path: Path, rows: int = 100_000) -> Path:
    """Prepares synthetic flows; returns the folder."""
    flows = generate_flows(rows, 0)
    with console.working("Fitting a decision tree"):
        return Scenario.prepare(flows, path, seed=0).path


_NEEDS = {
    "stable-baselines3 ppo": "stable_baselines3",
    "vowpal wabbit": "vowpalwabbit",
    "vowpal wabbit online": "vowpalwabbit",
}


def check_peers(names: Iterable[str], command: str, otherwise: str) -> None:
    """Raises :class:`InputError` if a contender's package is missing.

    Args:
        names: of the contenders.
        command: that wants them.
        otherwise: what else mends it; may be empty.
    """
    for name in names:
        if name in _NEEDS and importlib.util.find_spec(_NEEDS[name]) is None:
            raise InputError(
                f"{name} is not installed",
                where=command,
                expected="the peers that kirl is compared with",
                mend="In kirl's folder: pip install -c constraints.txt -e '.[bench]'" + otherwise,
            )


def milliseconds(seconds: float) -> str:
    """As tables show a duration."""
    return f"{1000 * seconds:,.2f} ms"


def show_figures(title: str | None, figures: Mapping[str, Any]) -> None:
    """One line per figure, those of a part of it behind its name."""
    if title:
        console.out.print(f"\n{title}", style="bold", soft_wrap=True)
    for name, value in figures.items():
        label = name.replace("_", " ")
        if isinstance(value, Mapping):
            told = {f"{label}: {inner}": each for inner, each in value.items()}
            show_figures(None, told)
        else:
            shown = f"{value:,.3f}" if isinstance(value, float) else str(value)
            console.out.print(f"{label}: {shown}", soft_wrap=True)
