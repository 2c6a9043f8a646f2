"""A live graph as those who use it see it: one object, however many actors it is cut into.

Beside :mod:`kg_actor.actor`, which is what runs inside an actor, the only module of this package
that knows Ray. A merge goes to all shards at once and counts when all of them have it on disk. A
shard's actor that dies is started again by Ray, which repeats its calls; the others need not know.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import ray

from envs import InputError
from kg_actor import actor, folders
from kg_actor.actor import NAMESPACE, PREFIX, Place, ask
from kg_actor.graph import GraphCounts, GraphState, Keyed, KnowledgeGraph
from kg_actor.lessons import Lesson
from kg_actor.neighbourhood import (
    Neighbourhood,
    TypeNeighbourhood,
    neighbourhood,
    neighbourhoods,
    type_neighbourhood,
)
from kg_actor.queries import ConfidencePoint
from kg_actor.sharding import (
    Shard,
    joined_counts,
    joined_spec,
    joined_state,
    owner,
    same_merges,
    shards_of,
    split,
    with_all_flows,
)
from kg_actor.spec import SHARD_NAME, GraphSpec

ATTEMPTS = 100
"""How often shards are asked that are being merged into meanwhile."""

PAUSE_SECONDS = 0.02

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Merging:
    """A merge that was begun.

    Attributes:
        answers: of the shards, to be waited for.
    """

    answers: tuple[Any, ...]

    def counts(self) -> GraphCounts:
        """Waits until it is on disk everywhere; the graph's counts after it.

        Raises:
            InputError, ValueError: see :meth:`kg_actor.store.GraphStore.merge`.
            ActorDiedError: an actor is gone for good.
        """
        return joined_counts(ask(list(self.answers)))


@dataclass(frozen=True)
class GraphClient:
    """A live graph; it can be handed to other processes.

    Attributes:
        name: ``graph:`` and the name of the run, or of the graph that runs share.
        spec: what the whole graph is about.
        handles: of its actors: one, or one per shard in order.
    """

    name: str
    spec: GraphSpec
    handles: tuple[Any, ...]

    @property
    def shards(self) -> tuple[Shard, ...]:
        """What each actor owns."""
        return shards_of(len(self.spec.predicted), len(self.handles))

    @property
    def specs(self) -> tuple[GraphSpec, ...]:
        """What each actor's part is about."""
        return tuple(shard.spec(self.spec) for shard in self.shards)

    def begin(self, run: str) -> GraphCounts:
        """Drops what a run merged in an earlier life; returns the counts without it."""
        ask([handle.begin.remote(run) for handle in self.handles])
        self._level()
        return self.counts()

    def merge(self, tables: Sequence[Keyed]) -> Merging:
        """Begins to merge tables (each key once) as one version; see :class:`Merging`.

        Raises:
            ValueError: a table names a signature, action or class that the graph does not have.
        """
        parts = split(tables, self.spec, self.shards)
        return Merging(
            tuple(
                handle.merge.remote(part) for handle, part in zip(self.handles, parts, strict=True)
            )
        )

    def version(self) -> int:
        """The graph's version."""
        versions: list[int] = ask([handle.version.remote() for handle in self.handles])
        return max(versions)

    def counts(self) -> GraphCounts:
        """The graph's counts as they are now: a merge under way may be in some shards only."""
        return joined_counts(ask([handle.counts.remote() for handle in self.handles]))

    def states(self) -> tuple[GraphState, ...]:
        """Everything that each shard holds, all with the same merges.

        Raises:
            InputError: somebody merges so fast that they never have.
        """
        for _ in range(ATTEMPTS):
            states = tuple(ask([handle.state.remote() for handle in self.handles]))
            if same_merges(states):
                return states
            time.sleep(PAUSE_SECONDS)
        raise InputError("its shards hold different merges", where=self.name, mend="Ask again")

    def state(self) -> GraphState:
        """Everything the graph holds, to ask anything of a copy; raises as :meth:`states`."""
        return joined_state(self.states())

    def graph(self) -> KnowledgeGraph:
        """A copy of the graph; raises as :meth:`states`."""
        graph = self.spec.new_graph()
        graph.restore(self.state())
        return graph

    def restore(self, states: Sequence[GraphState], run: str) -> GraphCounts:
        """Goes back to a run's checkpoint; see :meth:`kg_actor.store.GraphStore.restore`.

        Args:
            states: of the shards, in order.
            run: whose checkpoint it is.

        Raises:
            InputError: it is one of another number of shards.
        """
        if len(states) != len(self.handles):
            raise InputError(
                f"a checkpoint of {len(states)} shard(s)",
                where=self.name,
                expected=f"one of {len(self.handles)}",
                mend="Resume with the number of shards that the run was begun with",
            )
        ask(
            [
                handle.restore.remote(state, run)
                for handle, state in zip(self.handles, states, strict=True)
            ]
        )
        self._level()
        return self.counts()

    def teach(self, lessons: Sequence[Lesson]) -> None:
        """See :meth:`KnowledgeGraph.teach`; what did not come to all shards may be repeated."""
        self._lead(self.handles[0].teach.remote(list(lessons)))

    def withdraw(self, provenance: str) -> int:
        """See :meth:`KnowledgeGraph.withdraw`; may be repeated, too."""
        gone: int = self._lead(self.handles[0].withdraw.remote(provenance))
        return gone

    def neighbourhood(self, signature: int) -> Neighbourhood:
        """The records around one signature; raises ``KeyError`` for an unknown one."""
        return self._answer("neighbourhood", neighbourhood, signature)

    def neighbourhoods(self, since: int | None = None) -> tuple[Neighbourhood, ...]:
        """Those of all signatures, or of those that changed after a version."""
        return self._answer("neighbourhoods", neighbourhoods, since)

    def type_neighbourhood(self, name: str) -> TypeNeighbourhood:
        """The records around one traffic type; raises ``KeyError`` for an unknown one."""
        return self._answer("type_neighbourhood", type_neighbourhood, name)

    def history(self, signature: int) -> list[ConfidencePoint]:
        """See :func:`kg_actor.history.confidence_of`."""
        self.spec.new_graph().check_signature(signature)
        shard = owner(signature, self.shards)
        points: list[ConfidencePoint] = ask(
            self.handles[shard.number].history.remote(signature - shard.low)
        )
        return points if shard.of == 1 else with_all_flows(points, self.state().merged.values())

    def processes(self) -> tuple[int, ...]:
        """Process ids of the actors; one changes when Ray starts its actor again."""
        return tuple(ask([handle.process.remote() for handle in self.handles]))

    def stop(self, run: str) -> None:
        """Ends a run's use of the graph; its actors end with their last user."""
        for handle in self.handles:
            actor.stop(handle, run)

    def _answer(
        self, question: str, ask_copy: Callable[[KnowledgeGraph, Any], _Answer], about: object
    ) -> _Answer:
        if len(self.handles) > 1:
            # What an action earned under a type is a sum over all shards.
            return ask_copy(self.graph(), about)
        # The actor keeps what its answers share, and sends an answer instead of the graph.
        answer: _Answer = ask(getattr(self.handles[0], question).remote(about))
        return answer

    def _lead(self, answer: Any) -> Any:  # noqa: ANN401
        """Waits for what the first shard was told of lessons, then tells the others."""
        told = ask(answer)
        first, *others = self.handles
        if others:
            _, lessons = ask(first.lessons.remote())
            ask([other.relearn.remote(lessons) for other in others])
        return told

    def _level(self) -> None:
        """Brings all shards to one version with the first one's lessons.

        What ended half-way before may have left them apart. Only while nobody merges.
        """
        if len(self.handles) == 1:
            return
        known = ask([handle.lessons.remote() for handle in self.handles])
        if any(each != known[0] for each in known):
            version = 1 + max(version for version, _ in known)
            ask([handle.relearn.remote(known[0][1], version) for handle in self.handles])


def start(
    run: str,
    spec: GraphSpec,
    folder: Path,
    *,
    shards: int = 1,
    shared: str | None = None,
    resource: str | None = None,
) -> GraphClient:
    """The graph of a run: its actors are found by their names, or started.

    Args:
        run: the run that will use it.
        spec: what the graph is about.
        folder: of the graph; shards have folders of their own in it.
        shards: how many actors it is cut into.
        shared: name of a graph that several runs share on purpose; it outlives this driver.
        resource: a custom resource of Ray's; the actors run on nodes that have it and see the
            folder.

    Raises:
        InputError: a store cannot be used, there are more shards than signatures, the folder
            holds a graph that is cut otherwise, no node has the resource, or an actor of that
            name serves another scenario's graph.
    """
    ranges = shards_of(len(spec.predicted), shards)
    folders.check_layout(folder, ranges)
    name = f"{PREFIX}{shared or run}"
    places = [
        Place(
            f"{name}/{shard.name}" if shard.name else name,
            shard.folder(folder),
            shard.spec(spec),
            shared is not None,
            resource,
        )
        for shard in ranges
    ]
    # Beside each other: each process takes a second or two.
    begun = [place.begin() for place in places]
    started = list[Any]()
    try:
        for place, handle in zip(places, begun, strict=True):
            started.append(actor.start(run, place, handle))
    except BaseException:
        for handle in started:
            actor.stop(handle, run)
        raise
    return GraphClient(name, spec, tuple(started))


def names() -> list[str]:
    """The names of all live graphs of this cluster."""
    return sorted({_graph_of(name) for name in actor.names()})


def find(name: str) -> GraphClient:
    """A live graph by its name (``graph:`` and a run's, whether or not it is cut).

    Raises:
        InputError: there is none, or not all of its shards are there.
    """
    there = {each for each in actor.names() if _graph_of(each) == name}
    if not there:
        raise InputError(
            "no such live graph on this cluster",
            where=name,
            expected=f"one of {', '.join(names()) or 'none: no training is running'}",
            mend="Check the name and --address",
        )
    shard = SHARD_NAME.fullmatch(next(iter(there)).removeprefix(f"{name}/"))
    places = [f"{name}/{i}-of-{shard[2]}" for i in range(int(shard[2]))] if shard else [name]
    if missing := [place for place in places if place not in there]:
        raise InputError("a shard of the live graph is missing", where=missing[0], mend="Ask again")
    handles = tuple(ray.get_actor(place, namespace=NAMESPACE) for place in places)
    specs = ask([handle.spec.remote() for handle in handles])
    return GraphClient(name, joined_spec(specs), handles)


def _graph_of(name: str) -> str:
    """The name of the graph that an actor of that name serves."""
    graph, _, shard = name.rpartition("/")
    return graph if SHARD_NAME.fullmatch(shard) else name
