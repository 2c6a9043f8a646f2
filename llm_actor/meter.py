"""Measures a batcher: counts since its start, and times over the last requests."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

WINDOW = 1_000
"""So many of the last requests, and of the last batches, make up medians and rates."""


class Watcher(Protocol):
    """Hears what a batcher does, on the batcher's event loop."""

    def came(self, prompts: int, cached: int, joined: int) -> None:
        """A request came; the answers to ``cached`` of its prompts were known already.

        ``joined`` counts those that were equal to a prompt not answered yet: of another
        caller, or earlier in the same request.
        """
        ...

    def went(self, seconds: float, failed: bool) -> None:
        """A request was answered ``seconds`` after it came, or failed."""
        ...

    def began(self, waited: Iterable[float]) -> None:
        """A batch went to the advisor; its prompts had waited so many seconds each."""
        ...

    def ended(
        self, prompts: int, seconds: float, failed: bool, fallbacks: int, tokens: int
    ) -> None:
        """The advisor took ``seconds`` for a batch.

        ``fallbacks`` answers were a fallback's; a language model read ``tokens`` of prompts, 0
        where the advisor does not count them.
        """
        ...


@dataclass(frozen=True)
class Load:
    """A batcher's figures. Times are 0 where nothing was measured yet.

    Attributes:
        requests: calls of callers.
        prompts: prompts in those calls.
        cached: prompts whose answers were known already.
        joined: prompts equal to one that was being asked.
        asked: prompts that went to the advisor.
        batches: batches that went to the advisor.
        largest: prompts of the largest batch.
        failures: requests that failed.
        fallbacks: prompts that a fallback answered in the advisor's place.
        queue_median: seconds from a prompt's coming to its batch's beginning (recent prompts).
        queue_p99: the same, 99th percentile.
        latency_median: seconds from a request's coming to its answer (recent requests).
        latency_p99: the same, 99th percentile.
        prompts_per_second: of the advisor's own time (recent batches).
        asking: prompts of the batch that the advisor is answering now.
        tokens: of prompts, as the language model counts them; 0 where the advisor doesn't.
        tokens_per_second: of the advisor's own time (recent batches). What prompts share counts
            in every one of them, though it may be computed once.
    """

    requests: int = 0
    prompts: int = 0
    cached: int = 0
    joined: int = 0
    asked: int = 0
    batches: int = 0
    largest: int = 0
    failures: int = 0
    fallbacks: int = 0
    queue_median: float = 0.0
    queue_p99: float = 0.0
    latency_median: float = 0.0
    latency_p99: float = 0.0
    prompts_per_second: float = 0.0
    asking: int = 0
    tokens: int = 0
    tokens_per_second: float = 0.0


class Meter:
    """Counts; times are kept for the last :data:`WINDOW` events of their sort only."""

    def __init__(self) -> None:
        self._requests = self._prompts = self._cached = self._joined = 0
        self._asked = self._batches = self._largest = 0
        self._failures = self._fallbacks = self._asking = self._tokens = 0
        self._queue: deque[float] = deque(maxlen=WINDOW)
        self._latency: deque[float] = deque(maxlen=WINDOW)
        self._work: deque[tuple[int, int, float]] = deque(maxlen=WINDOW)

    def came(self, prompts: int, cached: int, joined: int) -> None:
        """See :class:`Watcher`."""
        self._requests += 1
        self._prompts += prompts
        self._cached += cached
        self._joined += joined

    def went(self, seconds: float, failed: bool) -> None:
        """See :class:`Watcher`."""
        self._latency.append(seconds)
        self._failures += failed

    def began(self, waited: Iterable[float]) -> None:
        """See :class:`Watcher`."""
        seconds = list(waited)
        self._asking = len(seconds)
        self._queue.extend(seconds)

    def ended(
        self, prompts: int, seconds: float, failed: bool, fallbacks: int, tokens: int
    ) -> None:
        """See :class:`Watcher`."""
        self._batches += 1
        self._asking = 0
        self._tokens += tokens
        self._fallbacks += fallbacks
        self._asked += prompts
        self._largest = max(self._largest, prompts)
        if not failed:
            self._work.append((prompts, tokens, seconds))

    def load(self) -> Load:
        """The figures now."""
        prompts, tokens, seconds = np.sum(self._work, axis=0) if self._work else (0, 0, 0.0)
        return Load(
            self._requests,
            self._prompts,
            self._cached,
            self._joined,
            self._asked,
            self._batches,
            self._largest,
            self._failures,
            self._fallbacks,
            *_median_and_p99(self._queue),
            *_median_and_p99(self._latency),
            float(prompts / seconds) if seconds else 0.0,
            self._asking,
            self._tokens,
            float(tokens / seconds) if seconds else 0.0,
        )


def _median_and_p99(seconds: deque[float]) -> tuple[float, float]:
    if not seconds:
        return 0.0, 0.0
    median, high = np.percentile(seconds, [50, 99])
    return float(median), float(high)
