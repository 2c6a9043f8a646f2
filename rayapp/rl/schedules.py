"""How lambda, the weight of the KL term (eq. 6), changes over the flows trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ScheduleKind = Literal["constant", "linear"]


@dataclass(frozen=True)
class Schedule:
    """lambda as a function of environment steps (one step is one flow).

    Attributes:
        kind: ``constant`` stays at ``start``; ``linear`` goes from ``start`` to ``end`` in
            ``length`` steps and stays there (the paper's annealing, section IV-B).
        start: lambda at step 0, at least 0.
        end: lambda from step ``length`` on, at least 0.
        length: environment steps; ``None`` is the whole training.
    """

    kind: ScheduleKind = "linear"
    start: float = 1.0
    end: float = 0.0
    length: int | None = None

    def __post_init__(self) -> None:
        if self.start < 0 or self.end < 0:
            raise ValueError("lambda cannot be negative")
        if self.length is not None and self.length < 1:
            raise ValueError("the schedule's length must be at least 1 environment step")

    def at(self, step: int, total: int) -> float:
        """Lambda at an environment step.

        Args:
            step: flows trained on so far.
            total: length of the whole training, for schedules that have no own length.
        """
        if self.kind == "constant":
            return self.start
        done = min(1.0, step / (self.length or max(total, 1)))
        return self.start + (self.end - self.start) * done
