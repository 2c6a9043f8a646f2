"""The SQLite file of a graph: its schema, opening it, reading and writing its rows.

The file may be anybody's, so nothing in it is trusted: what cannot be made sense of is damage.
:mod:`kg_actor.store` decides what is written when.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from envs import InputError, InteractionTable
from kg_actor.encoding import DamagedError, pack_state, pack_table, unpack_state, unpack_table
from kg_actor.graph import Changes, GraphCounts, GraphState, Keyed, KnowledgeGraph, Merged, MergeKey
from kg_actor.lessons import Lesson
from kg_actor.shards import refuse_shards
from kg_actor.spec import GraphSpec

FILE = "graph.sqlite"
FORMAT = 2

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

Execute = Callable[..., object]
"""Executes a statement with values."""

_LARGEST_CELL = 2**28
"""Bytes of a cell; the state of ten million signatures takes less."""


def open_writer(folder: Path, spec: GraphSpec) -> sqlite3.Connection:
    """Opens a graph's file for writing, or makes an empty one.

    Args:
        folder: it is in; nobody else writes it.
        spec: what the graph must be about.

    Raises:
        InputError: it is of another scenario, or of another kind of file.
        DamagedError: SQLite finds it damaged.
    """
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
        spec.check_same(spec_in(connection, folder), str(folder))
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


def open_reader(folder: Path) -> sqlite3.Connection:
    """Opens a graph's file for reading; somebody may be writing it.

    Raises:
        InputError: there is none.
    """
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


def spec_in(connection: sqlite3.Connection, folder: Path) -> GraphSpec:
    """What the graph in a file is about.

    Raises:
        InputError: it is another kind of file, or of another format.
    """
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


def rebuilt(connection: sqlite3.Connection, spec: GraphSpec) -> KnowledgeGraph:
    """The graph by its latest base and all that was merged since.

    Raises:
        DamagedError: a base or table is not what was written, or is missing.
    """
    graph = spec.new_graph()
    base = connection.execute(
        "SELECT state, digest FROM bases ORDER BY version DESC LIMIT 1"
    ).fetchone()
    empty = (graph.counts(), graph.changes())
    counts, changes = unpacked_base(base, empty[0]) if base else empty
    merged = _merged(connection)
    before = {key: entry for key, entry in merged.items() if entry.version <= counts.version}
    graph.restore(GraphState(counts, changes, before, _lessons(connection)))
    for version, group in itertools.groupby(
        tables_after(connection, counts.version), key=lambda row: row[0]
    ):
        tables = [Keyed(key, table) for _, key, table in group]
        if any(merged[keyed.key].digest != keyed.digest for keyed in tables):
            raise DamagedError(f"version {version} is not what was merged")
        graph.apply(graph.unmerged(tables), version)
    if graph.merged.keys() != merged.keys():
        raise DamagedError("tables are missing")
    return graph


def unpacked_base(row: tuple[Any, Any], like: GraphCounts) -> tuple[GraphCounts, Changes]:
    """Counts and versions of a base.

    Args:
        row: its columns ``state`` and ``digest``.
        like: counts of the shapes that are expected.

    Raises:
        DamagedError: it is not what was written.
    """
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


def tables_after(
    connection: sqlite3.Connection, version: int
) -> Iterator[tuple[int, MergeKey, InteractionTable]]:
    """The unfolded tables that were merged after a version, each with its version and key."""
    rows = connection.execute(
        "SELECT version, run, iteration, runner, flows, interactions FROM merges"
        " WHERE version > ? AND interactions IS NOT NULL ORDER BY version, id",
        (version,),
    )
    for made, run, iteration, runner, flows, data in rows:
        yield made, MergeKey(run, iteration, runner), unpack_table(data, flows)


def write_base(execute: Execute, graph: KnowledgeGraph) -> None:
    """Writes a graph's counts and versions as a base."""
    state = pack_state(graph.counts(), graph.changes())
    execute("INSERT OR REPLACE INTO bases VALUES (?, ?, ?)", graph.version, state, _digest(state))


def write_lessons(execute: Execute, lessons: Sequence[Lesson]) -> None:
    """Makes these all lessons of the file."""
    execute("DELETE FROM lessons")
    for lesson in lessons:
        execute(
            "INSERT INTO lessons (provenance, traffic, action, reward, weight)"
            " VALUES (?, ?, ?, ?, ?)",
            *(lesson.provenance, lesson.traffic, lesson.action, lesson.reward, lesson.weight),
        )


def write_merge(
    execute: Execute, key: MergeKey, merged: Merged, table: InteractionTable | None = None
) -> None:
    """Writes a merged table under its key, or the key alone where a base holds the table."""
    execute(
        "INSERT INTO merges (version, run, iteration, runner, flows, digest, interactions)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        *(merged.version, *key, merged.flows, merged.digest),
        None if table is None else pack_table(table),
    )


def delete_merges(execute: Execute, keys: Iterable[MergeKey]) -> None:
    """Deletes merged tables and their keys."""
    for key in keys:
        execute("DELETE FROM merges WHERE run = ? AND iteration = ? AND runner = ?", *key)
