"""What can be trained: the one shape in which every system meets training and checkpoints."""

from __future__ import annotations

from typing import Any, Protocol

from rayapp.rl.saved_policy import Policy
from rayapp.rl.summary import IterationSummary


class Trainee(Protocol):
    """A system that learns iteration by iteration; RLlib's algorithms here are ones.

    Attributes:
        flows: flows trained on so far.
        training_iteration: iterations so far.
        summary: of the last iteration.
    """

    flows: int
    training_iteration: int
    summary: IterationSummary | None

    def train(self) -> Any:  # noqa: ANN401 (RLlib returns its results)
        """One iteration; advances ``flows`` and sets ``summary``."""
        ...

    def save_to_path(self, path: str) -> Any:  # noqa: ANN401
        """Writes a checkpoint into an existing, empty or new folder."""
        ...

    def restore_from_path(self, path: str) -> None:
        """Goes back to a checkpoint, exactly."""
        ...

    def saved_policy(self) -> Policy:
        """The policy as it is now."""
        ...

    def stop(self) -> None:
        """Frees what it holds."""
        ...
