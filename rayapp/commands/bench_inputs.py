"""What the benchmarks share: scenarios where none is given, and how figures are shown."""

from __future__ import annotations

from pathlib import Path

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
