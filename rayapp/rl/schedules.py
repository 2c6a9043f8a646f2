"""How lambda, the weight of the KL term (eq. 6), changes over the flows trained on."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import Literal

ScheduleKind = Literal["constant", "linear", "cosine", "exponential", "piecewise", "adaptive"]

_ADAPTIVE_STEP = 1.5
"""Factor by which an adaptive lambda moves per iteration, PPO's own for its KL coefficient."""

_ADAPTIVE_BAND = 1.5
"""How far the KL may be from its target, as a factor, before lambda moves."""


@dataclass(frozen=True)
class Schedule:
    """lambda as a function of environment steps (one step is one flow).

    =============== ===========================================================================
    ``constant``    stays at ``start``
    ``linear``      straight from ``start`` to ``end`` (the paper's annealing, section IV-B)
    ``cosine``      half a cosine from ``start`` to ``end``: slow, fast, slow
    ``exponential`` the same factor per step from ``start`` to ``end``, both above 0
    ``piecewise``   straight lines between ``points``
    ``adaptive``    from ``start``, up or down by a half after an iteration whose KL was above
                    or below ``target``, never above ``ceiling``
    =============== ===========================================================================

    Attributes:
        kind: see above. All but ``adaptive`` stay where they are after ``length`` steps.
        start: lambda at step 0, at least 0.
        end: lambda from step ``length`` on, at least 0.
        length: environment steps; ``None`` is the whole training.
        points: of ``piecewise``: (environment step, lambda) in ascending order of steps.
        target: of ``adaptive``: KL to the reference in nats.
        ceiling: of ``adaptive``: the largest lambda.

    Raises:
        ValueError: a field that the kind needs is missing or out of range.
    """

    kind: ScheduleKind = "linear"
    start: float = 1.0
    end: float = 0.0
    length: int | None = None
    points: tuple[tuple[int, float], ...] = ()
    target: float | None = None
    ceiling: float = 10.0

    def __post_init__(self) -> None:
        if self.start < 0 or self.end < 0 or any(value < 0 for _, value in self.points):
            raise ValueError("lambda cannot be negative")
        if self.length is not None and self.length < 1:
            raise ValueError("the schedule's length must be at least 1 environment step")
        if self.kind == "exponential" and not (self.start > 0 and self.end > 0):
            raise ValueError("an exponential schedule needs start and end above 0")
        steps = [step for step, _ in self.points]
        if self.kind == "piecewise" and (not steps or steps != sorted(set(steps)) or steps[0] < 0):
            raise ValueError("a piecewise schedule needs points in ascending order of steps")
        if self.kind == "adaptive":
            if self.target is None or self.target <= 0:
                raise ValueError("an adaptive schedule needs a target KL above 0")
            if not 0 < self.start <= self.ceiling:
                raise ValueError("an adaptive schedule needs a start above 0, up to its ceiling")

    def at(self, step: int, total: int) -> float:
        """Lambda at an environment step; an adaptive one's before any iteration moved it.

        Args:
            step: flows trained on so far.
            total: length of the whole training, for schedules that have no own length.
        """
        if self.kind in ("constant", "adaptive"):
            return self.start
        if self.kind == "piecewise":
            return self._between_points(step)
        done = min(1.0, step / (self.length or max(total, 1)))
        if self.kind == "cosine":
            done = (1 - math.cos(math.pi * done)) / 2
        if self.kind == "exponential":
            # Multiplying by a power of the ratio would miss the end by a rounding error.
            return self.end if done == 1.0 else self.start * (self.end / self.start) ** done
        return self.start + (self.end - self.start) * done

    def adapted(self, current: float, kl: float) -> float:
        """Lambda for the next iteration, given this one's lambda and KL to the reference."""
        if self.kind != "adaptive" or self.target is None:
            return current
        if kl > self.target * _ADAPTIVE_BAND:
            return min(current * _ADAPTIVE_STEP, self.ceiling)
        return current / _ADAPTIVE_STEP if kl < self.target / _ADAPTIVE_BAND else current

    def _between_points(self, step: int) -> float:
        after = bisect_right([at for at, _ in self.points], step)
        if after in (0, len(self.points)):
            return self.points[min(after, len(self.points) - 1)][1]
        (left, low), (right, high) = self.points[after - 1], self.points[after]
        return low + (high - low) * (step - left) / (right - left)
