"""Where rows to be decided come from: flows, or the alerts of an IDS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from envs.datasets.source import FlowSource, Tally
from envs.flows import Progress
from rayapp.decisions.decider import Decided, Decider

Batches = Iterator[tuple[Tally, Decided]]
"""Consecutive rows: what became of all of them, and what is decided."""


class Rows(Protocol):
    """Rows that a run is to decide."""

    @property
    def unit(self) -> str:
        """What progress counts."""
        ...

    @property
    def remarks(self) -> Sequence[str]:
        """What their owner should know, one sentence each."""
        ...

    def decided(self, decider: Decider, progress: Progress | None = None) -> Batches:
        """Reads and decides all rows in order.

        Raises:
            InputError: they cannot be read.
        """
        ...

    def check(self, tally: Tally) -> None:
        """Raises :class:`InputError` if nothing could be decided, given what became of all rows."""
        ...


class FlowRows:
    """Flows of a source that is read with keys."""

    def __init__(self, source: FlowSource) -> None:
        self._source = source
        self.unit, self.remarks = source.unit, tuple(source.remarks)

    def decided(self, decider: Decider, progress: Progress | None = None) -> Batches:
        """See :class:`Rows`."""
        for batch in self._source.batches(progress):
            yield batch.tally, decider.decide(batch)

    def check(self, tally: Tally) -> None:
        """See :class:`Rows`."""
        self._source.provenance(tally)
