"""kirl's experiments, reports and command line; ``Run`` reads what a training left.

``from rayapp import Run`` imports what it needs on first use, so the command line stays quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rayapp.runs.run import Run

__all__ = ["Run"]


def __getattr__(name: str) -> object:
    if name == "Run":
        from rayapp.runs.run import Run

        return Run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
