"""What the benchmarks share: options, scenarios where none is given, and how figures are shown."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from envs import InputError, Scenario
from rayapp.commands import console
from rayapp.commands.prepare import generate_flows

AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object.")]

ScenarioOrSynthetic = Annotated[
    Path | None,
    typer.Option(
        "--scenario", help="Train on this scenario (default: one made from synthetic flows)."
    ),
]

RACE_ROWS = 300_000
"""Synthetic flows of the scenario where trainings are compared."""


def synthetic_scenario(path: Path, rows: int = 100_000) -> Path:
    """Prepares synthetic flows; returns the folder."""
    flows = generate_flows(rows, 0)
    with console.working("Fitting a decision tree"):
        return Scenario.prepare(flows, path, seed=0).path


_NEEDS = {
    "stable-baselines3 ppo": "stable_baselines3",
    "vowpal wabbit": "vowpalwabbit",
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


def show_figures(title: str | None, figures: Mapping[str, Any]) -> None:
    """Prints one line per figure; nested figures follow the name of their group."""
    if title:
        console.out.print(f"\n{title}", style="bold", soft_wrap=True)
    for name, value in figures.items():
        label = name.replace("_", " ")
        if isinstance(value, Mapping):
            show_figures(None, {f"{label}: {inner}": each for inner, each in value.items()})
        else:
            shown = f"{value:,.3f}" if isinstance(value, float) else str(value)
            console.out.print(f"{label}: {shown}", soft_wrap=True)
