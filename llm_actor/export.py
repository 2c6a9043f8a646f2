"""Exports a batcher's figures as metrics of Ray, which Prometheus can collect."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ray.util.metrics import Counter, Gauge, Histogram

from kg_actor import raykit

SECONDS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]
"""Boundaries of the exported histograms of times."""

SIZES = [1.0, 4.0, 16.0, 64.0, 256.0, 1024.0]
"""Boundaries of the exported histogram of batch sizes."""


class Exporter:
    """Counts what a batcher does in Ray's metrics (a :class:`llm_actor.meter.Watcher`)."""

    def __init__(self, advisor: str) -> None:
        made = raykit.metrics("kirl_advisor_", {"advisor": advisor, "process": str(os.getpid())})
        self._prompts = made(Counter, "prompts", "Prompts that callers asked about")
        self._cached = made(Counter, "cached", "Prompts answered from the cache")
        self._joined = made(Counter, "joined", "Prompts equal to one that was being asked")
        self._asked = made(Counter, "asked", "Prompts that went to the advisor")
        self._failures = made(Counter, "failures", "Requests that failed")
        self._tokens = made(Counter, "tokens", "Tokens of prompts that a model read")
        self._speed = made(Gauge, "prompts_per_second", "Prompts per second in the last batch")
        self._token_speed = made(
            Gauge, "tokens_per_second", "Prompt tokens per second in the last batch"
        )
        self._size = made(Histogram, "batch_prompts", "Prompts per batch", boundaries=SIZES)
        self._queue = made(
            Histogram, "queue_seconds", "Longest wait for a batch to begin", boundaries=SECONDS
        )
        self._latency = made(
            Histogram, "latency_seconds", "From request to answer", boundaries=SECONDS
        )

    def came(self, prompts: int, cached: int, joined: int) -> None:
        """See :class:`llm_actor.meter.Watcher`."""
        for counter, count in (
            (self._prompts, prompts),
            (self._cached, cached),
            (self._joined, joined),
        ):
            raykit.count(counter, count)

    def went(self, seconds: float, failed: bool) -> None:
        """See :class:`llm_actor.meter.Watcher`."""
        self._latency.observe(seconds)
        if failed:
            self._failures.inc()

    def began(self, waited: Iterable[float]) -> None:
        """See :class:`llm_actor.meter.Watcher`."""
        self._queue.observe(max(waited))

    def ended(
        self, prompts: int, seconds: float, failed: bool, fallbacks: int, tokens: int
    ) -> None:
        """See :class:`llm_actor.meter.Watcher`."""
        self._asked.inc(prompts)
        raykit.count(self._tokens, tokens)
        self._size.observe(prompts)
        if not failed:
            self._speed.set(prompts / max(seconds, 1e-9))
            self._token_speed.set(tokens / max(seconds, 1e-9))
