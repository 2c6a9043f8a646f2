"""Starting, finding and using a live graph; see :mod:`kg_actor.actor` for what runs there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorDiedError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from envs import InputError
from kg_actor.actor import CHANGES, QUESTIONS, GraphServer
from kg_actor.graph import GraphCounts, GraphState, Keyed, KnowledgeGraph
from kg_actor.lessons import Lesson
from kg_actor.queries import ConfidencePoint
from kg_actor.raykit import NAMESPACE, ask, growth
from kg_actor.records import Neighbourhood
from kg_actor.spec import GraphSpec

PREFIX = "graph:"
"""What the name of a graph's actor begins with."""

ATTEMPTS = 5
"""How often an actor that ends while it is being found is started again."""


@dataclass(frozen=True)
class Merging:
    """A merge that was begun.

    Attributes:
        answer: a reference to the graph's counts after it.
    """

    answer: Any

    def counts(self) -> GraphCounts:
        """Waits until the merge is on disk and returns the graph's counts after it.

        Raises:
            InputError, ValueError: see :meth:`kg_actor.store.GraphStore.merge`.
            ActorDiedError: the actor is gone for good.
        """
        counts: GraphCounts = ask(self.answer)
        return counts


@dataclass(frozen=True)
class GraphClient:
    """A live graph; it can be handed to other processes.

    Attributes:
        name: ``graph:`` and the name of the run, or of the graph that runs share.
        spec: what the graph is about.
        handle: of its actor.
    """

    name: str
    spec: GraphSpec
    handle: Any

    def begin(self, run: str) -> GraphCounts:
        """Drops what a run merged in an earlier life and returns the counts without it."""
        counts: GraphCounts = ask(self.handle.begin.remote(run))
        return counts

    def merge(self, tables: Sequence[Keyed]) -> Merging:
        """Begins to merge tables (each key once) as one version; see :class:`Merging`."""
        return Merging(self.handle.merge.remote(tables))

    def counts(self) -> GraphCounts:
        """The graph's counts as they are now."""
        counts: GraphCounts = ask(self.handle.counts.remote())
        return counts

    def state(self) -> GraphState:
        """Everything the graph holds."""
        state: GraphState = ask(self.handle.state.remote())
        return state

    def graph(self) -> KnowledgeGraph:
        """A copy of the graph, to ask anything of."""
        graph = self.spec.new_graph()
        graph.restore(self.state())
        return graph

    def restore(self, state: GraphState, run: str) -> GraphCounts:
        """Goes back to a run's checkpoint; see :meth:`kg_actor.store.GraphStore.restore`."""
        counts: GraphCounts = ask(self.handle.restore.remote(state, run))
        return counts

    def teach(self, lessons: Sequence[Lesson]) -> None:
        """Adds prior experience; see :meth:`KnowledgeGraph.teach`."""
        ask(self.handle.teach.remote(lessons))

    def withdraw(self, provenance: str) -> int:
        """Takes back what one source taught; see :meth:`KnowledgeGraph.withdraw`."""
        number: int = ask(self.handle.withdraw.remote(provenance))
        return number

    def neighbourhood(self, signature: int) -> Neighbourhood:
        """The records around one signature, without a copy of the graph.

        Raises:
            KeyError: there is no such signature.
        """
        answer: Neighbourhood = ask(self.handle.neighbourhood.remote(signature))
        return answer

    def history(self, signature: int) -> list[ConfidencePoint]:
        """How a signature's confidence moved; see :func:`kg_actor.history.confidence_of`."""
        points: list[ConfidencePoint] = ask(self.handle.history.remote(signature))
        return points

    def process(self) -> int:
        """Process id of the actor; it changes when Ray starts the actor again."""
        process: int = ask(self.handle.process.remote())
        return process

    def stop(self, run: str) -> None:
        """Ends a run's use of the graph; the actor ends with its last user."""
        try:
            last = ray.get(self.handle.detach.remote(run))
        except RayError:
            # It is gone already; its store needs nothing more.
            return
        if last:
            ray.kill(self.handle)


def start(
    run: str,
    spec: GraphSpec,
    folder: Path,
    *,
    shared: str | None = None,
    resource: str | None = None,
) -> GraphClient:
    """The graph of a run: its actor is found by its name, or started.

    The actor asks for no CPU: it works only while learner and runners wait or compute elsewhere.
    It stays on the driver's machine, where its store is, unless a resource sends it elsewhere.

    Args:
        run: the run that will use it.
        spec: what the graph is about.
        folder: of its store.
        shared: name of a graph that several runs share on purpose; it outlives this driver.
        resource: a custom resource of Ray's; the actor runs on a node that has it and sees the
            folder.

    Raises:
        InputError: the store cannot be used, no node has the resource, or an actor of that name
            serves another scenario's graph or another folder.
    """
    name = f"{PREFIX}{shared or run}"
    actor_class = ray.remote(concurrency_groups={CHANGES: 1, QUESTIONS: 2})(GraphServer)
    options = actor_class.options(
        name=name,
        namespace=NAMESPACE,
        get_if_exists=True,
        num_cpus=0,
        max_restarts=-1,
        max_task_retries=-1,
        lifetime="detached" if shared else None,
        **_where(resource),
    )
    for _ in range(ATTEMPTS):
        client = GraphClient(name, spec, options.remote(str(folder.absolute()), spec))
        try:
            served, place = ask(client.handle.attach.remote(run))
            spec.check_same(served, name)
            _check_folder(name, place, folder)
        except ActorDiedError:
            # The one that was found was just ending with its last user.
            time.sleep(1)
            continue
        except InputError:
            client.stop(run)
            raise
        return client
    raise InputError("its actor cannot be started", where=name, mend="Look into Ray's logs")


def names() -> list[str]:
    """The names of all live graphs of this cluster, sorted."""
    actors = ray.util.list_named_actors(all_namespaces=True)
    return sorted(
        actor["name"]
        for actor in actors
        if actor["namespace"] == NAMESPACE and actor["name"].startswith(PREFIX)
    )


def find(name: str) -> GraphClient:
    """A live graph by its name, ``graph:`` and a run's.

    Raises:
        InputError: there is none.
    """
    try:
        handle = ray.get_actor(name, namespace=NAMESPACE)
    except ValueError as error:
        raise InputError(
            "no such live graph on this cluster",
            where=name,
            expected=f"one of {', '.join(names()) or 'none: no training is running'}",
            mend="Check the name and --address",
        ) from error
    return GraphClient(name, ask(handle.spec.remote()), handle)


def _where(resource: str | None) -> dict[str, Any]:
    """Where the actor runs, as Ray's options have it."""
    if resource is None:
        here = ray.get_runtime_context().get_node_id()
        return {"scheduling_strategy": NodeAffinitySchedulingStrategy(here, soft=False)}
    if not (ray.cluster_resources().get(resource) or growth().most(resource)):
        raise InputError(
            f"no node of the cluster has the resource {resource!r}",
            where="graph",
            mend=f"""Start one, ray start --resources='{{"{resource}": 1}}', or name none""",
        )
    # Next to nothing of it: it says only where.
    return {"resources": {resource: 0.001}}


def _check_folder(name: str, served: str, wanted: Path) -> None:
    if Path(served) != wanted.absolute():
        raise InputError(
            f"is being served from {served}",
            where=name,
            expected=str(wanted.absolute()),
            mend="Train a copied run after the run it was copied from, or on another cluster",
        )
