"""A graph's folder: one store or snapshot, or one per shard in folders of their own.

A shard's folder is called ``0-of-2`` and so on. What is read here is always the whole graph.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from envs import InputError
from envs.files import replacing
from kg_actor import history, snapshot, store
from kg_actor.graph import GraphState, KnowledgeGraph
from kg_actor.lessons import Lesson
from kg_actor.queries import ConfidencePoint
from kg_actor.sharding import (
    Shard,
    joined_spec,
    joined_state,
    owner,
    same_merges,
    shards_of,
    with_all_flows,
)
from kg_actor.spec import SHARD_NAME, GraphSpec
from kg_actor.store import GraphStore

ATTEMPTS = 20
"""How often shards are read that are being merged into meanwhile."""

PAUSE_SECONDS = 0.05

_MEND = "Put back the folder that belongs there, or go back to a snapshot: kirl graph restore"


def has_store(folder: Path) -> bool:
    """Whether there is a store in a folder, or any shard of one."""
    return store.exists(folder) or any(map(store.exists, _named(folder)))


def has_snapshot(folder: Path) -> bool:
    """Whether there is a snapshot in a folder, or any shard of one."""
    return snapshot.exists(folder) or any(map(snapshot.exists, _named(folder)))


def check_layout(folder: Path, shards: Sequence[Shard]) -> None:
    """Refuses a folder whose store is cut otherwise.

    Raises:
        InputError: it holds a graph of another number of shards.
    """
    others = {each for each in (folder, *_named(folder)) if store.exists(each)}
    others -= {shard.folder(folder) for shard in shards}
    if others:
        raise InputError(
            f"is in the way of a graph in {len(shards)} shard(s)",
            where=str(min(others)),
            expected="no graph, or one that is cut alike",
            mend="Use the number of shards that it was begun with, or another folder",
        )


def stores_in(folder: Path) -> tuple[Path, ...]:
    """The folders of a graph's stores, in order.

    Raises:
        InputError: a shard is missing, or there are those of several graphs.
    """
    return _parts(folder, store.exists)


def read(folder: Path) -> tuple[KnowledgeGraph, GraphSpec]:
    """The graph in a folder, whether or not somebody is writing it.

    Where a merge has not come to all shards, because it is under way or because its process
    died, the graph is that before it.

    Raises:
        InputError: there is none; a shard is missing, damaged, or another graph's.
    """
    folders = stores_in(folder)
    for _ in range(ATTEMPTS):
        found = _level(folders)
        spec = _checked(folders, [spec for _, spec in found])
        if len(found) == 1:
            return found[0]
        states = [graph.state() for graph, _ in found]
        if same_merges(states):
            graph = spec.new_graph()
            graph.restore(joined_state(states))
            return graph, spec
        time.sleep(PAUSE_SECONDS)
    raise InputError(
        "its shards hold different merges",
        where=str(folder),
        mend="Go on with the training, or go back to a snapshot: kirl graph restore",
    )


def confidence_of(folder: Path, spec: GraphSpec, signature: int) -> list[ConfidencePoint]:
    """A signature's record over the life of a graph; see :func:`kg_actor.history.confidence_of`.

    Args:
        folder: of the graph.
        spec: what it is about.
        signature: its id.

    Raises:
        InputError: as :func:`read`.
        KeyError: there is no such signature.
    """
    spec.new_graph().check_signature(signature)
    folders = stores_in(folder)
    shard = owner(signature, shards_of(len(spec.predicted), len(folders)))
    points = history.confidence_of(folders[shard.number], signature - shard.low)
    if len(folders) == 1:
        return points
    # Read after the points: it must know of all the flows that they count.
    return with_all_flows(points, read(folder)[0].merged.values())


def load(folder: Path) -> tuple[tuple[GraphState, ...], tuple[GraphSpec, ...]]:
    """Reads what :func:`save` wrote: state and spec of each shard, in order.

    Raises:
        InputError: missing, changed or unreadable files, or those of several graphs.
    """
    folders = _parts(folder, snapshot.exists)
    found = [snapshot.load(each) for each in folders]
    states, specs = (tuple(parts) for parts in zip(*found, strict=True))
    _checked(folders, specs)
    if not same_merges(states):
        raise InputError("its shards hold different merges", where=str(folder), mend=_MEND)
    return states, specs


def load_whole(folder: Path) -> tuple[KnowledgeGraph, GraphSpec]:
    """The graph of a snapshot; raises :class:`InputError` as :func:`load`."""
    states, specs = load(folder)
    spec = joined_spec(specs)
    graph = spec.new_graph()
    graph.restore(joined_state(states))
    return graph, spec


def save(states: Sequence[GraphState], specs: Sequence[GraphSpec], folder: Path) -> None:
    """Writes a snapshot of each shard, replacing what stood there once everything is written.

    Raises:
        InputError: the place cannot be written to.
    """
    with replacing(folder) as temporary:
        for state, spec in zip(states, specs, strict=True):
            snapshot.save(state, spec, temporary / spec.shard if spec.shard else temporary)


@contextlib.contextmanager
def opened(folder: Path, specs: Sequence[GraphSpec]) -> Iterator[tuple[GraphStore, ...]]:
    """A graph's stores, opened for writing; made where there are none.

    Args:
        folder: of the graph.
        specs: of its shards, in order.

    Raises:
        InputError: as :meth:`GraphStore.open`.
    """
    with contextlib.ExitStack() as stack:
        yield tuple(
            stack.enter_context(contextlib.closing(GraphStore.open(_place(folder, spec), spec)))
            for spec in specs
        )


def teach(folder: Path, spec: GraphSpec, lessons: Sequence[Lesson]) -> None:
    """Teaches a graph that nobody is writing; see :meth:`KnowledgeGraph.teach`.

    Raises:
        InputError: as :meth:`GraphStore.open`.
    """
    _change(folder, spec, lambda first: first.teach(lessons))


def withdraw(folder: Path, spec: GraphSpec, provenance: str) -> int:
    """Withdraws a source's lessons from one, and returns how many; raises as :func:`teach`."""
    gone = list[int]()
    _change(folder, spec, lambda first: gone.append(first.withdraw(provenance)))
    return gone[0]


def restore(
    states: Sequence[GraphState], specs: Sequence[GraphSpec], folder: Path, run: str
) -> Path | None:
    """Puts a snapshot in the place of a run's graph; what was there is kept beside it.

    Returns:
        Where the graph that was there is now, if there was one.

    Raises:
        InputError: the graph is in use, or cannot be written.
    """
    with contextlib.ExitStack() as stack:
        for place in (_place(folder, spec) for spec in specs):
            stack.enter_context(store.locked(place))
        aside = store.set_aside(folder)
    with opened(folder, specs) as stores:
        for state, each in zip(states, stores, strict=True):
            each.restore(state, run)
    return aside


def _change(folder: Path, spec: GraphSpec, change: Callable[[GraphStore], object]) -> None:
    shards = shards_of(len(spec.predicted), len(stores_in(folder)))
    with opened(folder, [shard.spec(spec) for shard in shards]) as (first, *others):
        change(first)
        # What the first holds counts. If this ends half-way, the next change makes it whole.
        taught = first.state()
        for other in others:
            other.relearn(taught.lessons, taught.counts.version)


def _level(folders: Sequence[Path]) -> list[tuple[KnowledgeGraph, GraphSpec]]:
    """The graphs of all stores, each without what not all of them have merged."""
    found = [store.read(each) for each in folders]
    common = set.intersection(*(set(graph.merged) for graph, _ in found))
    level = []
    for place, (graph, spec) in zip(folders, found, strict=True):
        ahead = [entry.version for key, entry in graph.merged.items() if key not in common]
        level.append(store.read(place, before=min(ahead)) if ahead else (graph, spec))
    return level


def _named(folder: Path) -> list[Path]:
    """Folders in a folder that are called as a shard's is."""
    with contextlib.suppress(OSError):
        return [each for each in folder.iterdir() if SHARD_NAME.fullmatch(each.name)]
    return []


def _parts(folder: Path, holds: Callable[[Path], bool]) -> tuple[Path, ...]:
    named = _named(folder)
    if holds(folder) or not named:
        return (folder,)
    numbers = {int(each.name.partition("-of-")[2]) for each in named}
    if len(numbers) > 1:
        told = ", ".join(sorted(each.name for each in named))
        raise InputError(f"holds shards of several graphs ({told})", where=str(folder), mend=_MEND)
    [number] = numbers
    places = [folder / f"{i}-of-{number}" for i in range(number)]
    for place in places:
        if not holds(place):
            raise InputError("a shard of the graph is missing", where=str(place), mend=_MEND)
    return tuple(places)


def _checked(folders: Sequence[Path], specs: Sequence[GraphSpec]) -> GraphSpec:
    """The spec of the whole graph; refuses a shard that is not one of it."""
    whole = joined_spec(specs)
    if len(specs) == 1 and specs[0].shard:
        raise InputError(
            f"is shard {specs[0].shard} of a graph",
            where=str(folders[0]),
            expected="the whole graph",
            mend="Give the folder that all of its shards are in",
        )
    shards = shards_of(len(whole.predicted), len(specs))
    for place, shard, spec in zip(folders, shards, specs, strict=True):
        shard.spec(whole).check_same(spec, str(place))
    return whole


def _place(folder: Path, spec: GraphSpec) -> Path:
    return folder / spec.shard if spec.shard else folder
