"""A graph cut by ranges of signatures: each shard counts the flows of its own, and all is a sum.

A flow matches one signature, so it belongs to one shard. Every table is cut into one slice per
shard, and slices that are empty are merged as well: so a shard knows every key, and the versions
of all shards advance together. What was taught belongs to no signature. Every shard is taught it,
and what the first shard holds is what counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from envs import InputError, InteractionTable
from kg_actor.graph import (
    Changes,
    GraphCounts,
    GraphState,
    Keyed,
    Merged,
    check_table,
)
from kg_actor.queries import ConfidencePoint
from kg_actor.spec import GraphSpec


@dataclass(frozen=True)
class Shard:
    """A range of signatures.

    Attributes:
        number: of the shard, from 0.
        of: shards in all; the one of a graph that is not cut is the graph.
        low: id of its first signature.
        high: the id after its last one.
    """

    number: int
    of: int
    low: int
    high: int

    @property
    def name(self) -> str | None:
        """``0-of-2``; ``None`` where the graph is not cut."""
        return f"{self.number}-of-{self.of}" if self.of > 1 else None

    def folder(self, graph: Path) -> Path:
        """Its own folder in that of the graph; the same one where the graph is not cut."""
        return graph / self.name if self.name else graph

    def spec(self, whole: GraphSpec) -> GraphSpec:
        """What it is about, its signatures numbered from 0."""
        return replace(whole, predicted=whole.predicted[self.low : self.high], shard=self.name)


def shards_of(signatures: int, number: int) -> tuple[Shard, ...]:
    """Cuts signatures into ranges that differ by one signature at most, in ascending order.

    Raises:
        InputError: there are fewer signatures than shards, or no shard.
    """
    if not 1 <= number <= signatures:
        raise InputError(
            f"{signatures:,} signatures cannot be cut into {number:,} shards",
            where="graph.shards",
            expected=f"1 to {signatures:,}",
            mend="Ask for fewer shards",
        )
    ends = [signatures * shard // number for shard in range(number + 1)]
    return tuple(Shard(i, number, ends[i], ends[i + 1]) for i in range(number))


def split(
    tables: Sequence[Keyed], spec: GraphSpec, shards: Sequence[Shard]
) -> tuple[list[Keyed], ...]:
    """Cuts tables into what each shard merges, each slice under its table's key.

    Args:
        tables: of the whole graph.
        spec: of the whole graph.
        shards: all of them.

    Returns:
        For each shard one slice per table, empty ones included.

    Raises:
        ValueError: a table names a signature, action or class that the graph does not have.
    """
    for keyed in tables:
        # Before any shard has merged its slice of it.
        check_table(keyed.table, len(spec.predicted), spec.catalogue)
    return tuple(
        [Keyed(keyed.key, _slice(keyed.table, shard)) for keyed in tables] for shard in shards
    )


def _slice(table: InteractionTable, shard: Shard) -> InteractionTable:
    own = (table.context >= shard.low) & (table.context < shard.high)
    return InteractionTable(
        table.context[own] - np.int32(shard.low),
        table.action[own],
        table.actual[own],
        table.count[own],
    )


def joined_spec(specs: Sequence[GraphSpec]) -> GraphSpec:
    """What a graph is about, by what all of its shards are, in order."""
    predicted = np.concatenate([spec.predicted for spec in specs])
    return replace(specs[0], predicted=predicted, shard=None)


def joined_counts(counts: Sequence[GraphCounts]) -> GraphCounts:
    """The counts of a graph by those of all of its shards, in order; cut graphs never forget."""
    if len(counts) == 1:
        return counts[0]
    return GraphCounts(
        np.concatenate([each.signature_actual for each in counts]),
        np.sum([each.type_action for each in counts], axis=0),
        max(each.version for each in counts),
        taught=counts[0].taught,
    )


def same_merges(states: Sequence[GraphState]) -> bool:
    """Whether all shards have merged the same tables, so that together they are one graph."""
    return all(state.merged.keys() == states[0].merged.keys() for state in states)


def joined_state(states: Sequence[GraphState]) -> GraphState:
    """The state of a graph by those of all of its shards, in order.

    A merged table has the version at which its last slice was merged, and a digest made of
    those of its slices.

    Raises:
        ValueError: the shards have not merged the same tables.
    """
    if len(states) == 1:
        return states[0]
    if not same_merges(states):
        raise ValueError("the shards have merged different tables")
    changes = Changes(
        np.concatenate([state.changes.signature for state in states]),
        np.max([state.changes.traffic for state in states], axis=0),
    )
    merged = {key: _joined(state.merged[key] for state in states) for key in states[0].merged}
    counts = joined_counts([state.counts for state in states])
    return GraphState(counts, changes, merged, states[0].lessons)


def _joined(slices: Iterable[Merged]) -> Merged:
    parts = list(slices)
    digest = hashlib.blake2b(b"".join(part.digest for part in parts), digest_size=8).digest()
    return Merged(max(part.version for part in parts), sum(part.flows for part in parts), digest)


def owner(signature: int, shards: Sequence[Shard]) -> Shard:
    """The shard of a signature, which there must be."""
    return next(shard for shard in shards if signature < shard.high)


def with_all_flows(
    points: Sequence[ConfidencePoint], merged: Iterable[Merged]
) -> list[ConfidencePoint]:
    """A shard's history with the flows that all shards had merged by then, not it alone.

    Args:
        points: of one signature.
        merged: all tables of the whole graph.
    """
    entries = sorted((entry.version, entry.flows) for entry in merged)
    versions = np.array([version for version, _ in entries], np.int64)
    flows = np.concatenate([[0], np.cumsum([flows for _, flows in entries], dtype=np.int64)])
    until = np.searchsorted(versions, [point.version for point in points], side="right")
    return [
        replace(point, flows=int(flows[place])) for point, place in zip(points, until, strict=True)
    ]
