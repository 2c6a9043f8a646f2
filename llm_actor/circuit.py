"""A circuit breaker (Nygard, 'Release It!', 2007), so that a dead server is not asked for ever.

Closed, it admits every attempt. After so many failures in a row it opens and admits none. Once
the cool-down is over it is half-open and admits one attempt, whose outcome closes or opens it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

CircuitState = Literal["closed", "open", "half-open"]


class Circuit:
    """Counts failures in a row and decides whether to try again.

    Every attempt that :meth:`admits` lets through must end in :meth:`succeeded`,
    :meth:`failed`, or :meth:`abandoned`. For one thread at a time.

    Args:
        failures: number of failures in a row that opens the circuit, at least 1.
        cool_down: seconds until an open circuit admits a trial.
        clock: seconds that never go back.

    Attributes:
        openings: how often the circuit has opened, failed trials included.
    """

    def __init__(
        self,
        failures: int = 5,
        cool_down: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if failures < 1 or not cool_down > 0:
            raise ValueError("failures must be at least 1 and the cool-down above 0")
        self._most, self._cool_down, self._clock = failures, cool_down, clock
        self._in_a_row = 0
        self._opened = 0.0
        self._state: CircuitState = "closed"
        self.openings = 0

    @property
    def state(self) -> CircuitState:
        """``half-open`` from when a trial was admitted until it ends."""
        return self._state

    def admits(self) -> bool:
        """Whether to try now; after the cool-down, one caller at a time gets a yes."""
        if self._state == "open" and self._clock() - self._opened >= self._cool_down:
            self._state = "half-open"
            return True
        return self._state == "closed"

    def succeeded(self) -> None:
        """An attempt succeeded, be it a late one from before the opening: all is well."""
        self._in_a_row = 0
        self._state = "closed"

    def failed(self) -> None:
        """An attempt failed."""
        self._in_a_row += 1
        # Late failures of attempts from before the opening say nothing new.
        if self._state == "half-open" or (self._state == "closed" and self._in_a_row >= self._most):
            self._state = "open"
            self._opened = self._clock()
            self.openings += 1

    def abandoned(self) -> None:
        """An attempt ended without saying anything about the other side."""
        if self._state == "half-open":
            self._state = "open"
