"""The graph, or a shard of it, as a named Ray actor: the only owner of its store.

This module and :mod:`kg_actor.client`, which callers use, are the only ones of this package that
know Ray. Names are ``graph:<name>``, or ``graph:<name>/0-of-2`` and so on, in the namespace
``kirl``, so a dashboard or a second process can find a graph. When the actor's process
dies, Ray starts it again and repeats the calls it was at; the store makes a repeated merge
harmless.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import ray
import yaml
from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
from ray.exceptions import ActorDiedError, RayError, RayTaskError
from ray.experimental import internal_kv
from ray.util.metrics import Counter, Gauge, Histogram
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from envs import InputError
from kg_actor.graph import GraphCounts, GraphState, Keyed, KnowledgeGraph
from kg_actor.growth import Growth, limits_of
from kg_actor.history import confidence_of
from kg_actor.lessons import Lesson
from kg_actor.neighbourhood import Answers, Neighbourhood, TypeNeighbourhood, neighbourhoods
from kg_actor.queries import ConfidencePoint, GraphStats, stats
from kg_actor.spec import GraphSpec
from kg_actor.store import GraphStore

NAMESPACE = "kirl"

PREFIX = "graph:"
"""What the name of a graph's actor begins with."""

BOOTSTRAP = Path("~/ray_bootstrap_config.yaml")
"""Where ``ray up`` leaves the cluster's file on the head, for its autoscaler."""

LOCK_SECONDS = 30.0
"""How long a store may stay locked by a process that is just dying."""

SWITCH_SECONDS = 0.0005
"""How soon a thread of the actor makes way for another."""

ATTEMPTS = 5
"""How often an actor that ends while it is being found is started again."""

SECONDS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]
"""Boundaries of the exported histogram of times."""

CHANGES, QUESTIONS = "changes", "questions"
"""Concurrency groups: questions are answered while a merge waits for the disk."""


class Exporter:
    """Tells Ray's metrics how a graph grows.

    Args:
        graph: name of its actor.
    """

    def __init__(self, graph: str) -> None:
        def made(sort: Any, name: str, about: str, **options: object) -> Any:  # noqa: ANN401
            metric = sort(f"kirl_graph_{name}", about, tag_keys=("graph",), **options)
            metric.set_default_tags({"graph": graph})
            return metric

        self._version = made(Gauge, "version", "Merges, teachings and withdrawals so far")
        self._nodes = made(Gauge, "nodes", "Traffic types, actions and signatures in the graph")
        self._edges = made(Gauge, "edges", "Edges of the graph's three kinds")
        self._merged = made(Counter, "merged_flows", "Flows merged, repeated merges included")
        self._seconds = made(
            Histogram, "merge_seconds", "From a merge's start to disk", boundaries=SECONDS
        )

    def merged(self, flows: int, seconds: float) -> None:
        """A merge is on disk."""
        # A shard may own none of an iteration's flows, and Ray refuses to count 0.
        if flows:
            self._merged.inc(flows)
        self._seconds.observe(seconds)

    def grown(self, size: GraphStats) -> None:
        """The graph has another size."""
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
    def relearn(self, lessons: Sequence[Lesson], version: int = 0) -> None:
        """See :meth:`KnowledgeGraph.replace_lessons`."""
        self._store().relearn(lessons, version)

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
    def version(self) -> int:
        """The graph's version."""
        with self._store().graph() as graph:
            return graph.version

    @ray.method(concurrency_group=QUESTIONS)
    def lessons(self) -> tuple[int, tuple[Lesson, ...]]:
        """The graph's version, and what it was taught."""
        with self._store().graph() as graph:
            return graph.version, graph.lessons

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
    def neighbourhoods(self, since: int | None = None) -> tuple[Neighbourhood, ...]:
        """Those of all signatures, or of those that changed after a version."""
        with self._store().graph() as graph:
            return neighbourhoods(graph, since)

    @ray.method(concurrency_group=QUESTIONS)
    def type_neighbourhood(self, name: str) -> TypeNeighbourhood:
        """The records around one traffic type; raises ``KeyError`` for an unknown one."""
        return self._answering().around_type(name)

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


@dataclass(frozen=True)
class Place:
    """An actor that is to be found by its name, or started.

    Attributes:
        name: ``graph:`` and the name of the run, or of the graph that runs share; for a shard
            its own name behind that.
        folder: of its store.
        spec: what it is about.
        shared: whether it outlives its driver.
        resource: a custom resource of Ray's; it runs on a node that has it and sees the folder.
    """

    name: str
    folder: Path
    spec: GraphSpec
    shared: bool = False
    resource: str | None = None

    def begin(self) -> Any:  # noqa: ANN401 (Ray's handles have their methods only at run time)
        """The actor's handle, not waited for; where it is the first, the actor ends with it.

        Raises:
            InputError: no node has the resource.
        """
        actor_class = ray.remote(concurrency_groups={CHANGES: 1, QUESTIONS: 2})(GraphServer)
        options = actor_class.options(
            name=self.name,
            namespace=NAMESPACE,
            get_if_exists=True,
            num_cpus=0,
            max_restarts=-1,
            max_task_retries=-1,
            lifetime="detached" if self.shared else None,
            **_place(self.resource),
        )
        return options.remote(str(self.folder.absolute()), self.spec)


def start(run: str, place: Place, begun: Any = None) -> Any:  # noqa: ANN401
    """The actor of a graph or a shard: found by its name, or started.

    It asks for no CPU: it works only while learner and runners wait or compute elsewhere.
    It stays on the driver's machine, where its store is, unless it is sent elsewhere.

    Args:
        run: the run that will use it.
        place: its name and all it needs.
        begun: its handle by :meth:`Place.begin`, where that has been asked for before.

    Raises:
        InputError: the store cannot be used, no node has the resource, or an actor of that name
            serves another scenario's graph.
    """
    for _ in range(ATTEMPTS):
        handle, begun = begun or place.begin(), None
        try:
            found, where = ask(handle.attach.remote(run))
            place.spec.check_same(found, place.name)
            _check_folder(place.name, where, place.folder)
        except ActorDiedError:
            # The one that was found was just ending with its last user.
            time.sleep(1)
            continue
        except InputError:
            stop(handle, run)
            raise
        return handle
    raise InputError("its actor cannot be started", where=place.name, mend="Look into Ray's logs")


def _place(resource: str | None) -> dict[str, Any]:
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


def growth() -> Growth:
    """What the cluster's autoscaler may bring; a :class:`Growth` of nothing without one.

    Its limits are those of the file that ``ray up`` leaves on the head. Elsewhere, as on
    Kubernetes, it keeps them to itself.
    """
    # A node that nobody's autoscaler knows is called after its own id.
    if not any(kind and not kind.startswith("node_") for kind in _kinds_of_nodes()):
        return Growth()
    try:
        config = yaml.safe_load(BOOTSTRAP.expanduser().read_bytes())
        return Growth(runs=True, limits=limits_of(config))
    except (OSError, RuntimeError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return Growth(runs=True, limits=None)


def _kinds_of_nodes() -> list[str]:
    """What ``ray status`` calls the kinds of nodes, read from where it reads them.

    Private, and nothing public tells it to a program: of Ray's two autoscalers one writes a
    report, the other one's kinds come with the nodes.
    """
    from ray.autoscaler.v2 import sdk, utils

    if utils.is_autoscaler_v2():
        told = sdk.get_cluster_status(ray.get_runtime_context().gcs_address)
        return [node.ray_node_type_name for node in (*told.active_nodes, *told.idle_nodes)]
    report = internal_kv._internal_kv_get(DEBUG_AUTOSCALING_STATUS)
    return list(json.loads(report or "{}").get("autoscaler_report", {}).get("active_nodes", {}))


def _check_folder(name: str, found: str, wanted: Path) -> None:
    if Path(found) != wanted.absolute():
        raise InputError(
            f"is being served from {found}",
            where=name,
            expected=str(wanted.absolute()),
            mend="Train a copied run after the run it was copied from, or on another cluster",
        )


def names() -> list[str]:
    """The names of all live actors of graphs on this cluster, each shard's among them."""
    found = ray.util.list_named_actors(all_namespaces=True)
    return sorted(
        actor["name"]
        for actor in found
        if actor["namespace"] == NAMESPACE and actor["name"].startswith(PREFIX)
    )


def stop(handle: Any, run: str) -> None:  # noqa: ANN401
    """Ends a run's use of its graph; the actor ends with its last user."""
    try:
        last = ray.get(handle.detach.remote(run))
    except RayError:
        # It is gone already; its store needs nothing more.
        return
    if last:
        ray.kill(handle)


def ask(answer: Any) -> Any:  # noqa: ANN401
    """Waits for an answer; what went wrong there is raised as if it had happened here."""
    try:
        return ray.get(answer)
    except RayTaskError as error:
        _raise_cause(error)


def _raise_cause(error: RayTaskError) -> NoReturn:
    cause = getattr(error, "cause", None)
    if isinstance(cause, InputError | ValueError | KeyError):
        raise cause from None
    raise error
