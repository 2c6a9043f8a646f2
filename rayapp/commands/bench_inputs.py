"""What the benchmarks share: scenarios where none is given, and how figures are shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from envs import Scenario
from rayapp.commands import console
from rayapp.commands.prepare import generate_flows


def made_up_scenario(path: Path, rows: int = 100_000) -> Path:
    """Prepares synthetic flows; returns the folder."""
    flows = generate_flows(rows, 0)
    with console.working("Fitting a decision tree"):
        return Scenario.prepare(flows, path, seed=0).path


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
