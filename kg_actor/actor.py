"""The graph as a named Ray actor: the only owner of its store.

Callers use :mod:`kg_actor.client`. The actor is called ``graph:<name>`` in the namespace ``kirl``,
so a dashboard or a second process can find it. When its process dies, Ray starts it again and
repeats the calls it was at; the store makes a repeated merge harmless.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import ray
from ray.util.metrics import Counter, Gauge, Histogram

from kg_actor.graph import GraphCounts, GraphState, Keyed, KnowledgeGraph
from kg_actor.history import confidence_of
from kg_actor.lessons import Lesson
from kg_actor.neighbourhood import Answers
from kg_actor.queries import ConfidencePoint, GraphStats, stats
from kg_actor.raykit import count, metrics
from kg_actor.records import Neighbourhood
from kg_actor.spec import GraphSpec
from kg_actor.store import GraphStore

LOCK_SECONDS = 30.0
"""How long a store may stay locked by a process that is just dying."""

SWITCH_SECONDS = 0.0005
"""How soon a thread of the actor makes way for another."""

SECONDS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]
"""Boundaries of the exported histogram of times."""

CHANGES, QUESTIONS = "changes", "questions"
"""Concurrency groups: questions are answered while a merge waits for the disk."""


class Exporter:
    """Reports to Ray's metrics how a graph grows.

    Args:
        graph: name of its actor.
    """

    def __init__(self, graph: str) -> None:
        made = metrics("kirl_graph_", {"graph": graph})
        self._version = made(Gauge, "version", "Merges, teachings and withdrawals so far")
        self._nodes = made(Gauge, "nodes", "Traffic types, actions and signatures in the graph")
        self._edges = made(Gauge, "edges", "Edges of the graph's three kinds")
        self._merged = made(Counter, "merged_flows", "Flows merged, repeated merges included")
        self._seconds = made(
            Histogram, "merge_seconds", "From a merge's start to disk", boundaries=SECONDS
        )

    def merged(self, flows: int, seconds: float) -> None:
        """Reports a merge that is on disk."""
        count(self._merged, flows)
        self._seconds.observe(seconds)

    def grown(self, size: GraphStats) -> None:
        """Reports the graph's size."""
        self._version.set(size.version)
        self._nodes.set(size.nodes.total)
        self._edges.set(size.edges.total)


class GraphServer:
    """What runs inside the actor: a :class:`GraphStore` and its remote interface.

    The store is opened at the first call rather than at the start, so that a store that
    cannot be opened is an answer and not the death of the actor.
    """

    def __init__(self, folder: str, spec: GraphSpec) -> None:
        self._folder, self._spec = Path(folder), spec
        self._opened: GraphStore | None = None
        self._opening = threading.Lock()
        self._answers: tuple[KnowledgeGraph, Answers] | None = None
        # What imports left behind would be walked by every full collection, a tenth of a
        # second each, while somebody waits for an answer.
        gc.collect()
        gc.freeze()
        # A question must not wait five milliseconds for the interpreter each time it meets a merge.
        sys.setswitchinterval(SWITCH_SECONDS)
        self._users: set[str] = set()
        self._exporter = Exporter(ray.get_runtime_context().get_actor_name() or "graph")

    @ray.method(concurrency_group=CHANGES)
    def attach(self, run: str) -> tuple[GraphSpec, str]:
        """Opens the store for a run; returns what the graph is about, and its folder."""
        self._store()
        self._users.add(run)
        return self._spec, str(self._folder)

    @ray.method(concurrency_group=CHANGES)
    def detach(self, run: str) -> bool:
        """Ends a run's use; closes the store and returns true when it was the last one's."""
        self._users.discard(run)
        if self._users:
            return False
        if self._opened:
            self._opened.close()
            self._opened = None
        return True

    @ray.method(concurrency_group=CHANGES)
    def begin(self, run: str) -> GraphCounts:
        """Drops what a run merged in an earlier life; returns the counts without it."""
        store = self._store()
        with store.graph() as graph:
            lost = any(key.run == run for key in graph.merged)
        if lost:
            store.restore(self._spec.new_graph().state(), run)
        return store.counts()

    @ray.method(concurrency_group=CHANGES)
    def merge(self, tables: Sequence[Keyed]) -> GraphCounts:
        """Merges tables (each key once) and returns the graph's counts after them.

        They are on disk when it returns.
        """
        # An actor that was started again has to learn anew who uses it.
        self._users.update(keyed.key.run for keyed in tables)
        begun, store = time.perf_counter(), self._store()
        counts = store.merge(tables)
        self._exporter.merged(
            sum(keyed.table.flows for keyed in tables), time.perf_counter() - begun
        )
        with store.graph() as graph:
            self._exporter.grown(stats(graph))
        return counts

    @ray.method(concurrency_group=CHANGES)
    def teach(self, lessons: Sequence[Lesson]) -> None:
        """See :meth:`KnowledgeGraph.teach`."""
        self._store().teach(lessons)

    @ray.method(concurrency_group=CHANGES)
    def withdraw(self, provenance: str) -> int:
        """See :meth:`KnowledgeGraph.withdraw`."""
        return self._store().withdraw(provenance)

    @ray.method(concurrency_group=CHANGES)
    def restore(self, state: GraphState, run: str) -> GraphCounts:
        """Goes back to a run's checkpoint; see :meth:`GraphStore.restore`."""
        store = self._store()
        self._users.add(run)
        store.restore(state, run)
        return store.counts()

    @ray.method(concurrency_group=QUESTIONS)
    def process(self) -> int:
        """The actor's process id; it changes when Ray starts the actor again."""
        return os.getpid()

    @ray.method(concurrency_group=QUESTIONS)
    def spec(self) -> GraphSpec:
        """What the graph is about."""
        return self._spec

    @ray.method(concurrency_group=QUESTIONS)
    def counts(self) -> GraphCounts:
        """The graph's counts as they are now."""
        return self._store().counts()

    @ray.method(concurrency_group=QUESTIONS)
    def state(self) -> GraphState:
        """Everything the graph holds: for checkpoints, and to ask anything else of a copy."""
        return self._store().state()

    @ray.method(concurrency_group=QUESTIONS)
    def neighbourhood(self, signature: int) -> Neighbourhood:
        """The records around one signature; raises ``KeyError`` for an unknown one."""
        return self._answering().around([signature])[0]

    @ray.method(concurrency_group=QUESTIONS)
    def history(self, signature: int) -> list[ConfidencePoint]:
        """See :func:`kg_actor.history.confidence_of`."""
        self._store()
        return confidence_of(self._folder, signature)

    def _answering(self) -> Answers:
        """What the graph's present version answers with; worked out once per version."""
        with self._store().graph() as graph:
            known = self._answers
            if known is None or known[0] is not graph or known[1].counts.version != graph.version:
                self._answers = known = (graph, Answers(graph))
            return known[1]

    def _store(self) -> GraphStore:
        with self._opening:
            if self._opened is None:
                self._opened = GraphStore.open(self._folder, self._spec, wait=LOCK_SECONDS)
            return self._opened
