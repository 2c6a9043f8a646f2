"""A graph that outlives its process: a journal of merges in SQLite.

A merge is one transaction: the tables, each under its key, and nothing else. It is on disk
when :meth:`GraphStore.merge` returns, and a key can be there only once, so a merge that is
tried again after a crash is either there already or was never begun. What is asked of the
graph is answered from memory, which is rebuilt from the journal: the latest *base* (the
whole state at some version), then every table after it. Tables older than the latest
:data:`KEEP` are folded into bases; their keys stay.

One process writes. Others may read at the same time (:func:`read`).
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from filelock import FileLock

from envs import InputError
from envs.files import take_lock
from kg_actor.database import (
    FILE,
    Execute,
    delete_merges,
    open_reader,
    open_writer,
    rebuilt,
    spec_in,
    write_base,
    write_lessons,
    write_merge,
)
from kg_actor.graph import Changes, GraphCounts, GraphState, Keyed, KnowledgeGraph, Merged, MergeKey
from kg_actor.lessons import Lesson
from kg_actor.shards import refuse_shards
from kg_actor.spec import GraphSpec
from kg_actor.store_errors import distrusting, problems

BASE_EVERY = 256
"""Versions between two bases; at most so many merges are replayed when a store is opened."""

KEEP = 4_096
"""Versions whose tables are kept one by one; older ones are folded into their bases."""

_Result = TypeVar("_Result")


class GraphStore:
    """The one writer of a graph's store; use :meth:`open`.

    Methods may be called from several threads. Changes wait for each other; a merge holds up
    questions while it brings memory up to date, not while it writes to the disk.
    """

    def __init__(
        self, folder: Path, spec: GraphSpec, lock: FileLock, connection: sqlite3.Connection
    ) -> None:
        self.folder, self.spec = folder, spec
        self._lock, self._connection = lock, connection
        self._changing, self._reading = threading.Lock(), threading.Lock()
        self._graph = rebuilt(connection, spec)

    @classmethod
    def open(cls, folder: Path, spec: GraphSpec, wait: float = 0.0) -> GraphStore:
        """Opens a store for writing, or makes an empty one.

        Args:
            folder: of the store.
            spec: what the graph must be about.
            wait: seconds to wait for another writer to end.

        Raises:
            InputError: another process writes it, it belongs to another scenario, is
                damaged, or cannot be written to.
        """
        with distrusting(folder):
            refuse_shards(folder)
            folder.mkdir(parents=True, exist_ok=True)
            lock = take_lock(folder, _in_use(folder), wait)
            try:
                connection = open_writer(folder, spec)
                return cls(folder, spec, lock, connection)
            except BaseException:
                lock.release()
                raise

    def close(self) -> None:
        """Leaves one plain file behind, without a write-ahead log."""
        with self._changing, self._reading, problems(self.folder):
            self._connection.close()
            self._lock.release()

    @contextlib.contextmanager
    def graph(self) -> Iterator[KnowledgeGraph]:
        """The graph in memory, held still; to be read, not to be changed."""
        with self._reading:
            yield self._graph

    def counts(self) -> GraphCounts:
        """A copy of the graph's counts."""
        with self._reading:
            return self._graph.counts()

    def state(self) -> GraphState:
        """A copy of everything, for a snapshot."""
        with self._reading:
            return self._graph.state()

    def merge(self, tables: Sequence[Keyed]) -> GraphCounts:
        """Adds tables whose keys are new, as one version; they are on disk when it returns.

        Returns:
            The graph's counts after it.

        Raises:
            ValueError: as :meth:`KnowledgeGraph.merge_all`.
            InputError: it cannot be written; nothing was added then.
        """
        with self._changing, problems(self.folder):
            new = self._graph.unmerged(tables)
            if new:
                version = self._graph.version + 1
                with self._transaction() as execute:
                    for keyed in new:
                        merged = Merged(version, keyed.table.flows, keyed.digest)
                        write_merge(execute, keyed.key, merged, keyed.table)
                with self._reading:
                    self._graph.apply(new)
                self._tidy()
            return self._graph.counts()

    def teach(self, lessons: Sequence[Lesson]) -> None:
        """Adds prior experience; see :meth:`KnowledgeGraph.teach`."""
        self._change(lambda graph: graph.teach(lessons))

    def withdraw(self, provenance: str) -> int:
        """Takes back what one source taught; see :meth:`KnowledgeGraph.withdraw`."""
        return self._change(lambda graph: graph.withdraw(provenance))

    def restore(self, state: GraphState, run: str) -> None:
        """Goes back to a run's checkpoint.

        A graph of one run becomes exactly what it was at the checkpoint. One that other runs
        share loses this run's later merges alone. Lessons stay as they are, unless the store
        was empty: nobody would teach them again.

        Args:
            state: the checkpoint's snapshot.
            run: whose checkpoint it is.

        Raises:
            InputError: other runs have merged since, or gone back themselves, and this run's
                own merges are not all there.
        """
        with self._changing, problems(self.folder):
            held = {key: entry.digest for key, entry in self._graph.merged.items()}
            wanted = {key: entry.digest for key, entry in state.merged.items()}
            others = {key for key in held if key.run != run}
            if not others or _of(held, others) == {k: d for k, d in wanted.items() if k.run != run}:
                self._replace(state, rewritten=not wanted.items() <= held.items())
                return
            own = {key for key in wanted if key.run == run}
            if not _of(wanted, own).items() <= held.items():
                raise InputError(
                    "lacks merges of the checkpoint, and other runs have gone on",
                    where=str(self.folder),
                    mend="Begin the run again with another --out",
                )
            self._remove([key for key in held if key.run == run and key not in own])

    def _change(self, change: Callable[[KnowledgeGraph], _Result]) -> _Result:
        with self._changing, problems(self.folder):
            after = self.spec.new_graph()
            after.restore(self._graph.state())
            result = change(after)
            if after.version != self._graph.version:
                with self._transaction() as execute:
                    write_lessons(execute, after.lessons)
                    write_base(execute, after)
                self._put(after)
            return result

    def _replace(self, state: GraphState, *, rewritten: bool) -> None:
        after = self.spec.new_graph()
        after.restore(state)
        lessons = self._graph.lessons if self._graph.version else state.lessons
        after.replace_lessons(lessons)
        with self._transaction() as execute:
            version = 0 if rewritten else state.counts.version
            execute("DELETE FROM bases WHERE version >= ?", version)
            if rewritten:
                execute("DELETE FROM merges")
                for key, merged in state.merged.items():
                    write_merge(execute, key, merged)
            delete_merges(execute, self._graph.merged.keys() - state.merged.keys())
            write_lessons(execute, lessons)
            write_base(execute, after)
        self._put(after)

    def _remove(self, keys: Sequence[MergeKey]) -> None:
        if not keys:
            return
        first = min(self._graph.merged[key].version for key in keys)
        [folded] = self._connection.execute(
            "SELECT max(version) FROM merges WHERE interactions IS NULL"
        ).fetchone()
        if folded is not None and first <= folded:
            raise InputError(
                "merges of this run are folded into the graph and cannot be taken out any more",
                where=str(self.folder),
                mend=f"Resume within {KEEP:,} merges, or give this run another graph",
            )
        with self._transaction() as execute:
            execute("DELETE FROM bases WHERE version >= ?", first)
            delete_merges(execute, keys)
            after = _all_changed(rebuilt(self._connection, self.spec), self._graph.version + 1)
            write_base(execute, after)
        self._put(after)

    def _tidy(self) -> None:
        """Writes a base now and then, and folds tables that are old enough."""
        version = self._graph.version
        if version % BASE_EVERY:
            return
        # What was merged is on the disk; tidying up is tried again at the next base.
        with contextlib.suppress(sqlite3.OperationalError), self._transaction() as execute:
            write_base(execute, self._graph)
            # Only what a base holds may be folded.
            execute(
                "UPDATE merges SET interactions = NULL WHERE version <="
                " (SELECT max(version) FROM bases WHERE version <= ?)",
                version - KEEP,
            )

    def _put(self, graph: KnowledgeGraph) -> None:
        with self._reading:
            self._graph = graph

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Execute]:
        # IMMEDIATE: what cannot be written must fail before anything is.
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield lambda sql, *values: self._connection.execute(sql, values)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


def exists(folder: Path) -> bool:
    """Whether there is a store in a folder."""
    return (folder / FILE).is_file()


def put_back(state: GraphState, spec: GraphSpec, folder: Path, run: str) -> Path | None:
    """Makes a store of a run's snapshot; the store that was there is kept beside it.

    Args:
        state: the snapshot.
        spec: what it is about.
        folder: of the store.
        run: whose snapshot it is.

    Returns:
        Where the folder that was there is now; ``None`` if there was none.

    Raises:
        InputError: the store is in use, or cannot be written to.
    """
    aside = None
    with problems(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = take_lock(folder, _in_use(folder))
        try:
            if exists(folder):
                name = f"{folder.name}-before-{uuid.uuid4().hex[:8]}"
                aside = folder.rename(folder.with_name(name))
        finally:
            lock.release()
    with contextlib.closing(GraphStore.open(folder, spec)) as opened:
        opened.restore(state, run)
    return aside


def read(folder: Path) -> tuple[KnowledgeGraph, GraphSpec]:
    """The graph in a store, whether or not somebody is writing it.

    Args:
        folder: of the store.

    Raises:
        InputError: there is none, or it is damaged.
    """
    with distrusting(folder), contextlib.closing(open_reader(folder)) as connection:
        connection.execute("BEGIN")  # one version, whoever merges meanwhile
        spec = spec_in(connection, folder)
        return rebuilt(connection, spec), spec


def _in_use(folder: Path) -> InputError:
    return InputError(
        "is being written by another process",
        where=str(folder),
        mend="Stop the training that uses it, or wait for its end",
    )


def _all_changed(graph: KnowledgeGraph, version: int) -> KnowledgeGraph:
    """The same graph at a later version that changed everything."""
    state, changes = graph.state(), graph.changes()
    changes = Changes(
        np.full_like(changes.signature, version), np.full_like(changes.traffic, version)
    )
    graph.restore(replace(state, counts=replace(state.counts, version=version), changes=changes))
    return graph


def _of(digests: Mapping[MergeKey, bytes], keys: Collection[MergeKey]) -> dict[MergeKey, bytes]:
    return {key: digests[key] for key in keys}
