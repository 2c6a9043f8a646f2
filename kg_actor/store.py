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
import fcntl
import hashlib
import itertools
import json
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import quote

import numpy as np

from envs import InputError, InteractionTable
from kg_actor import snapshot
from kg_actor.encoding import DamagedError, pack_state, pack_table, unpack_state, unpack_table
from kg_actor.graph import (
    Changes,
    GraphCounts,
    GraphState,
    Keyed,
    KnowledgeGraph,
    Merged,
    MergeKey,
)
from kg_actor.lessons import Lesson
from kg_actor.shards import refuse_shards
from kg_actor.spec import GraphSpec

FILE = "graph.sqlite"
FORMAT = 1

BASE_EVERY = 256
"""Versions between two bases; at most so many merges are replayed when a store is opened."""

KEEP = 4_096
"""Versions whose tables are kept one by one; older ones are folded into their bases."""

_SCHEMA = (
    "CREATE TABLE about (format INTEGER NOT NULL, spec TEXT NOT NULL)",
    # interactions: see kg_actor.encoding; NULL once folded into a base
    "CREATE TABLE merges (id INTEGER PRIMARY KEY, version INTEGER NOT NULL, run TEXT NOT NULL,"
    " iteration INTEGER NOT NULL, runner INTEGER NOT NULL, flows INTEGER NOT NULL,"
    " digest BLOB NOT NULL, interactions BLOB, UNIQUE (run, iteration, runner))",
    "CREATE INDEX merges_by_version ON merges (version)",
    "CREATE TABLE bases (version INTEGER PRIMARY KEY, state BLOB NOT NULL, digest BLOB NOT NULL)",
    "CREATE TABLE lessons (provenance TEXT NOT NULL, traffic TEXT NOT NULL, action TEXT NOT NULL,"
    " reward REAL NOT NULL, weight REAL NOT NULL, PRIMARY KEY (provenance, traffic, action))",
)

Execute = Callable[..., Any]
_Result = TypeVar("_Result")

_LARGEST_CELL = 2**28
"""Bytes of a cell; the state of ten million signatures takes less."""


class GraphStore:
    """The one writer of a graph's store; use :meth:`open`.

    Methods may be called from several threads. Changes wait for each other; a merge holds up
    questions while it brings memory up to date, not while it writes to the disk.
    """

    def __init__(
        self, folder: Path, spec: GraphSpec, lock: IO[str], connection: sqlite3.Connection
    ) -> None:
        self.folder, self.spec = folder, spec
        self._lock, self._connection = lock, connection
        self._changing, self._reading = threading.Lock(), threading.Lock()
        self._graph = _rebuilt(connection, spec)

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
        refuse_shards(folder)
        with _distrusting(folder):
            folder.mkdir(parents=True, exist_ok=True)
            lock = _locked(folder, wait)
            try:
                connection = _connected(folder, spec)
                return cls(folder, spec, lock, connection)
            except BaseException:
                lock.close()
                raise

    def close(self) -> None:
        """Leaves one plain file behind, without a write-ahead log."""
        with self._changing, self._reading, _problems(self.folder):
            self._connection.close()
            self._lock.close()

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
        with self._changing, _problems(self.folder):
            new = self._graph.unmerged(tables)
            if new:
                version = self._graph.version + 1
                with self._transaction() as execute:
                    for keyed in new:
                        execute(
                            "INSERT INTO merges (version, run, iteration, runner, flows, digest,"
                            " interactions) VALUES (?, ?, ?, ?, ?, ?, ?)",
                            version,
                            *keyed.key,
                            keyed.table.flows,
                            keyed.digest,
                            pack_table(keyed.table),
                        )
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
        with self._changing, _problems(self.folder):
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
        with self._changing, _problems(self.folder):
            after = self.spec.new_graph()
            after.restore(self._graph.state())
            result = change(after)
            if after.version != self._graph.version:
                with self._transaction() as execute:
                    _write_lessons(execute, after.lessons)
                    _write_base(execute, after)
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
                    execute(
                        "INSERT INTO merges (version, run, iteration, runner, flows, digest)"
                        " VALUES (?, ?, ?, ?, ?, ?)",
                        *(merged.version, *key, merged.flows, merged.digest),
                    )
            for key in [key for key in self._graph.merged if key not in state.merged]:
                execute("DELETE FROM merges WHERE run = ? AND iteration = ? AND runner = ?", *key)
            _write_lessons(execute, lessons)
            _write_base(execute, after)
        self._put(after)

    def _remove(self, keys: Sequence[MergeKey]) -> None:
        if not keys:
            return
        first = min(self._graph.merged[key].version for key in keys)
        folded = self._one("SELECT max(version) FROM merges WHERE interactions IS NULL")
        if folded is not None and first <= folded:
            raise InputError(
                "merges of this run are folded into the graph and cannot be taken out any more",
                where=str(self.folder),
                mend=f"Resume within {KEEP:,} merges, or give this run another graph",
            )
        with self._transaction() as execute:
            execute("DELETE FROM bases WHERE version >= ?", first)
            for key in keys:
                execute("DELETE FROM merges WHERE run = ? AND iteration = ? AND runner = ?", *key)
            after = _all_changed(_rebuilt(self._connection, self.spec), self._graph.version + 1)
            _write_base(execute, after)
        self._put(after)

    def _tidy(self) -> None:
        """Writes a base now and then, and folds tables that are old enough."""
        version = self._graph.version
        if version % BASE_EVERY:
            return
        # What was merged is on the disk; tidying up is tried again at the next base.
        with contextlib.suppress(sqlite3.OperationalError), self._transaction() as execute:
            _write_base(execute, self._graph)
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
    def _transaction(self) -> Iterator[Callable[..., object]]:
        # IMMEDIATE: what cannot be written must fail before anything is.
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield lambda sql, *values: self._connection.execute(sql, values)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _one(self, sql: str) -> int | None:
        value: int | None = self._connection.execute(sql).fetchone()[0]
        return value


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
    with _problems(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(_locked(folder, 0.0)):
            if exists(folder):
                name = f"{folder.name}-before-{uuid.uuid4().hex[:8]}"
                aside = folder.rename(folder.with_name(name))
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
    with _distrusting(folder), contextlib.closing(_reader(folder)) as connection:
        connection.execute("BEGIN")  # one version, whoever merges meanwhile
        spec = _spec(connection, folder)
        return _rebuilt(connection, spec), spec


@dataclass(frozen=True)
class Journal:
    """What a store remembers of its history.

    Attributes:
        spec: what the graph is about.
        folded: the counts at each base up to the one that holds all folded tables.
        tables: version and table of every later merge, in order.
    """

    spec: GraphSpec
    folded: list[GraphCounts]
    tables: list[tuple[int, InteractionTable]]


def journal(folder: Path) -> Journal:
    """The history of a store, whether or not somebody is writing it.

    Raises:
        InputError: there is none, or it is damaged.
    """
    with _distrusting(folder), contextlib.closing(_reader(folder)) as connection:
        connection.execute("BEGIN")
        spec = _spec(connection, folder)
        folded = connection.execute(
            "SELECT state, digest FROM bases WHERE version <= (SELECT min(version) FROM bases"
            " WHERE version >= (SELECT max(version) FROM merges WHERE interactions IS NULL))"
            " ORDER BY version"
        )
        like = spec.new_graph().counts()
        bases = [_base(row, like)[0] for row in folded]
        after = bases[-1].version if bases else 0
        tables = [(version, table) for version, _, table in _journal(connection, after)]
        return Journal(spec, bases, tables)


def _all_changed(graph: KnowledgeGraph, version: int) -> KnowledgeGraph:
    """The same graph at a later version that changed everything."""
    state, changes = graph.state(), graph.changes()
    changes = Changes(
        np.full_like(changes.signature, version), np.full_like(changes.traffic, version)
    )
    graph.restore(replace(state, counts=replace(state.counts, version=version), changes=changes))
    return graph


def _rebuilt(connection: sqlite3.Connection, spec: GraphSpec) -> KnowledgeGraph:
    """The graph by its latest base and all that was merged since."""
    graph = spec.new_graph()
    base = connection.execute(
        "SELECT state, digest FROM bases ORDER BY version DESC LIMIT 1"
    ).fetchone()
    empty = (graph.counts(), graph.changes())
    counts, changes = _base(base, empty[0]) if base else empty
    merged = _merged(connection)
    before = {key: entry for key, entry in merged.items() if entry.version <= counts.version}
    graph.restore(GraphState(counts, changes, before, _lessons(connection)))
    for version, group in itertools.groupby(
        _journal(connection, counts.version), key=lambda row: row[0]
    ):
        tables = [Keyed(key, table) for _, key, table in group]
        if any(merged[keyed.key].digest != keyed.digest for keyed in tables):
            raise DamagedError(f"version {version} is not what was merged")
        graph.apply(graph.unmerged(tables), version)
    if graph.merged.keys() != merged.keys():
        raise DamagedError("tables are missing")
    return graph


def _base(row: tuple[Any, Any], like: GraphCounts) -> tuple[GraphCounts, Changes]:
    state, known = row
    if not isinstance(state, bytes) or _digest(state) != known:
        raise DamagedError("a base is not what was written")
    return unpack_state(state, like)


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _merged(connection: sqlite3.Connection) -> dict[MergeKey, Merged]:
    rows = connection.execute("SELECT run, iteration, runner, version, flows, digest FROM merges")
    return {MergeKey(*row[:3]): Merged(*row[3:]) for row in rows}


def _lessons(connection: sqlite3.Connection) -> tuple[Lesson, ...]:
    rows = connection.execute(
        "SELECT traffic, action, reward, weight, provenance FROM lessons ORDER BY rowid"
    )
    return tuple(Lesson(*row) for row in rows)


def _journal(
    connection: sqlite3.Connection, after: int
) -> Iterator[tuple[int, MergeKey, InteractionTable]]:
    rows = connection.execute(
        "SELECT version, run, iteration, runner, flows, interactions FROM merges"
        " WHERE version > ? AND interactions IS NOT NULL ORDER BY version, id",
        (after,),
    )
    for version, run, iteration, runner, flows, data in rows:
        yield version, MergeKey(run, iteration, runner), unpack_table(data, flows)


def _write_base(execute: Execute, graph: KnowledgeGraph) -> None:
    state = pack_state(graph.counts(), graph.changes())
    execute("INSERT OR REPLACE INTO bases VALUES (?, ?, ?)", graph.version, state, _digest(state))


def _write_lessons(execute: Execute, lessons: Sequence[Lesson]) -> None:
    execute("DELETE FROM lessons")
    for lesson in lessons:
        execute(
            "INSERT INTO lessons (provenance, traffic, action, reward, weight)"
            " VALUES (?, ?, ?, ?, ?)",
            *(lesson.provenance, lesson.traffic, lesson.action, lesson.reward, lesson.weight),
        )


def _locked(folder: Path, wait: float) -> IO[str]:
    """The writer's lock; the system takes it back from a process that dies."""
    # Appending changes nothing, whatever a link of that name points to.
    file = (folder / "lock").open("a")
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            file.close()
            raise InputError(
                "is being written by another process",
                where=str(folder),
                mend="Stop the training that uses it, or wait for its end",
            ) from error
        return file


def _connected(folder: Path, spec: GraphSpec) -> sqlite3.Connection:
    connection = sqlite3.connect(folder / FILE, isolation_level=None, check_same_thread=False)
    try:
        _distrust(connection)
        # Where the file system has no shared memory, SQLite stays with its rollback journal,
        # which is as durable and slower.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        if not _schema(connection):
            _create(connection, spec)
        if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise DamagedError("SQLite finds its pages damaged")
        spec.check_same(_spec(connection, folder), str(folder))
    except BaseException:
        connection.close()
        raise
    return connection


def _create(connection: sqlite3.Connection, spec: GraphSpec) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA:
        connection.execute(statement)
    connection.execute("INSERT INTO about VALUES (?, ?)", (FORMAT, json.dumps(spec.to_json())))
    connection.execute("COMMIT")


def _reader(folder: Path) -> sqlite3.Connection:
    path = folder / FILE
    if not path.is_file():
        refuse_shards(folder)
        raise InputError(
            f"holds no knowledge graph (no {FILE})", where=str(folder), mend="Check the path"
        )
    address = f"file:{quote(str(path.absolute()))}?mode=ro"
    log = path.with_name(f"{FILE}-wal")
    if not os.access(folder, os.W_OK) and not (log.is_file() and log.stat().st_size):
        # A reader of a write-ahead log needs shared memory beside it; without a log, it does not.
        address += "&immutable=1"
    connection = sqlite3.connect(address, uri=True, isolation_level=None)
    _distrust(connection)
    return connection


def _distrust(connection: sqlite3.Connection) -> None:
    """The file may be anybody's."""
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LARGEST_CELL)


def _schema(connection: sqlite3.Connection) -> set[str]:
    """The statements that make the file's tables, indexes, views and triggers."""
    rows = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {sql for (sql,) in rows}


def _spec(connection: sqlite3.Connection, folder: Path) -> GraphSpec:
    # Nothing else may be there: a view in a table's place could compute without end.
    if _schema(connection) != set(_SCHEMA):
        raise InputError(
            "is not a knowledge graph of kirl", where=str(folder / FILE), mend="Check the path"
        )
    found, text = connection.execute("SELECT format, spec FROM about").fetchone()
    if found != FORMAT:
        raise InputError(
            f"graph format {found}",
            where=str(folder / FILE),
            expected=f"format {FORMAT}, which this version of kirl writes",
            mend="Read it with the version of kirl that wrote it",
        )
    return GraphSpec.from_json(json.loads(text), str(folder))


@contextlib.contextmanager
def _problems(folder: Path) -> Iterator[None]:
    """Turns what SQLite and the system complain of into one clear message."""
    try:
        yield
    except DamagedError as error:
        raise _damaged(folder, str(error)) from error
    except sqlite3.DatabaseError as error:
        raise _explained(folder, error) from error
    except OSError as error:
        raise InputError(
            f"cannot be used ({error.strerror or error})",
            where=str(folder),
            mend="Check the folder's permissions and the free space",
        ) from error


@contextlib.contextmanager
def _distrusting(folder: Path) -> Iterator[None]:
    """The same while reading: whatever cannot be made sense of is damage.

    A file can be wrong in more ways than can be named one by one.
    """
    with _problems(folder):
        try:
            yield
        except (InputError, sqlite3.Error, OSError):
            raise
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
            raise DamagedError(f"{error}") from error
        except (RecursionError, MemoryError) as error:
            raise DamagedError("it is too large or too deep") from error


def _of(digests: Mapping[MergeKey, bytes], keys: Collection[MergeKey]) -> dict[MergeKey, bytes]:
    return {key: digests[key] for key in keys}


def _explained(folder: Path, error: sqlite3.DatabaseError) -> InputError:
    # Extended codes carry the primary one in their lowest byte.
    code = (getattr(error, "sqlite_errorcode", None) or sqlite3.SQLITE_ERROR) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _damaged(folder, str(error))
    told = {
        sqlite3.SQLITE_FULL: ("the disk is full", "Free some space, then give the command again"),
        sqlite3.SQLITE_IOERR: (f"{error}", "Check the disk, then give the command again"),
        sqlite3.SQLITE_READONLY: ("is read-only", "Make folder and files writable"),
        sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "Check the folder's permissions"),
        sqlite3.SQLITE_BUSY: ("is locked", "End the program that has the file open"),
    }
    what, mend = told.get(code, (f"{error}", "Restore a snapshot: kirl graph restore --help"))
    return InputError(what, where=str(folder / FILE), mend=f"{mend}; nothing merged was lost")


def _damaged(folder: Path, what: str) -> InputError:
    run = folder.parent
    offer = snapshot.newest(run)
    mend = "Put a copy of the folder in its place, or begin with a new graph"
    if offer:
        mend = f"Go back to the last good snapshot, {offer}: kirl graph restore {run}"
    return InputError(f"is damaged ({what})", where=str(folder / FILE), mend=mend)
