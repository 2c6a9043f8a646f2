"""A signature's confidence over the versions of a graph."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from envs import InteractionTable
from kg_actor.database import open_reader, spec_in, tables_after, unpacked_base
from kg_actor.graph import GraphCounts
from kg_actor.queries import ConfidencePoint, confidence_history
from kg_actor.spec import GraphSpec
from kg_actor.store_errors import distrusting


@dataclass(frozen=True)
class Journal:
    """The history that a store keeps.

    Attributes:
        spec: what the graph is about.
        folded: the counts at each base, up to the base that holds all folded tables.
        tables: version and table of every later merge, in ascending order of versions.
    """

    spec: GraphSpec
    folded: list[GraphCounts]
    tables: list[tuple[int, InteractionTable]]


def read_journal(folder: Path) -> Journal:
    """Reads the history of a store, which another process may be writing.

    Raises:
        InputError: there is none, or it is damaged.
    """
    with distrusting(folder), contextlib.closing(open_reader(folder)) as connection:
        connection.execute("BEGIN")
        spec = spec_in(connection, folder)
        folded = connection.execute(
            "SELECT state, digest FROM bases WHERE version <= (SELECT min(version) FROM bases"
            " WHERE version >= (SELECT max(version) FROM merges WHERE interactions IS NULL))"
            " ORDER BY version"
        )
        like = spec.new_graph().counts()
        bases = [unpacked_base(row, like)[0] for row in folded]
        after = bases[-1].version if bases else 0
        tables = [(version, table) for version, _, table in tables_after(connection, after)]
        return Journal(spec, bases, tables)


def confidence_of(folder: Path, signature: int) -> list[ConfidencePoint]:
    """A signature's record over the life of a store.

    There is one point per version in which the signature matched a flow; where tables have
    been folded, one per base.

    Args:
        folder: of the store; it may be in use.
        signature: its id.

    Raises:
        InputError: there is no store, or it is damaged.
        KeyError: there is no such signature.
    """
    journal = read_journal(folder)
    journal.spec.new_graph().check_signature(signature)
    about = (int(journal.spec.predicted[signature]), journal.spec.prior, signature)
    points: list[ConfidencePoint] = []
    for base in journal.folded[:-1]:
        points += confidence_history((), *about, start=base)
    last = journal.folded[-1] if journal.folded else None
    points += confidence_history(
        journal.tables, *about, start=last, half_life=journal.spec.half_life
    )
    # A base at which nothing new had matched says nothing new.
    return [
        point for point, before in zip(points, [None, *points], strict=False) if _new(point, before)
    ]


def _new(point: ConfidencePoint, before: ConfidencePoint | None) -> bool:
    return before is None or point.seen != before.seen
