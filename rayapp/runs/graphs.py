"""Finding a knowledge graph by name: of a run, a store, a snapshot or a live actor."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from envs import Counters, InputError, Scenario
from kg_actor import GraphSpec, KnowledgeGraph, Lesson, history, snapshot, store
from kg_actor.queries import ConfidencePoint
from kg_actor.shards import refuse_shards
from kg_actor.store import GraphStore
from rayapp import config
from rayapp.runs.folder import RunFolder

if TYPE_CHECKING:
    # It takes Ray, which files do without.
    from kg_actor.client import GraphClient

LIVE = "graph:"
"""Beginning of the name of a live graph's actor."""

EXPECTED = (
    "a run, a graph's folder, a checkpoint's graph folder, or graph:NAME of a running training"
)


@dataclass(frozen=True)
class GraphSource:
    """A graph, and where it came from.

    Attributes:
        name: what the user called it.
        graph: a copy of the graph, made when it was read.
        spec: what the graph is about.
        rules: the readable condition of each signature; ``None`` where no scenario is at hand.
        folder: the folder of its store; ``None`` for snapshots and live graphs.
        live: the live graph; ``None`` for files.
        verdicts: N and C of every rule by verdicts, where signatures are the rules of an IDS and
            the scenario is at hand; else ``None``.
    """

    name: str
    graph: KnowledgeGraph
    spec: GraphSpec
    rules: tuple[str, ...] | None = None
    folder: Path | None = None
    live: GraphClient | None = None
    verdicts: Counters | None = None

    @property
    def note(self) -> str | None:
        """The note that must accompany anything made from synthetic flows; else ``None``."""
        if self.spec.synthetic:
            return "Learnt on synthetic flows, not on real traffic."
        return None

    def history(self, signature: int) -> list[ConfidencePoint]:
        """How a signature's confidence changed over the graph's versions.

        Raises:
            InputError: the graph is a snapshot, which has no history, or has no such signature.
        """
        with as_input_error(self.name):
            self.graph.check_signature(signature)
        if self.live is not None:
            return self.live.history(signature)
        if self.folder is None:
            raise InputError(
                "a snapshot has no history",
                where=self.name,
                expected="a run, a graph's folder or a live graph",
                mend="Ask the run that the snapshot was taken from",
            )
        return history.confidence_of(self.folder, signature)

    def teach(self, lessons: Sequence[Lesson]) -> None:
        """Teaches the graph where it is kept; raises :class:`InputError` if it is a snapshot."""
        if self.live is not None:
            self.live.teach(lessons)
        else:
            with self._opened() as opened:
                opened.teach(lessons)

    def withdraw(self, provenance: str) -> int:
        """Withdraws a source's lessons where the graph is kept, and returns their number."""
        if self.live is not None:
            return self.live.withdraw(provenance)
        with self._opened() as opened:
            return opened.withdraw(provenance)

    def _opened(self) -> contextlib.closing[GraphStore]:
        """The graph's store, opened for writing."""
        if self.folder is None:
            raise InputError(
                "a snapshot is never changed",
                where=self.name,
                expected="a run, a graph's folder or a live graph",
                mend="Teach the run that the snapshot was taken from",
            )
        return contextlib.closing(GraphStore.open(self.folder, self.spec))


def find(name: str) -> GraphSource:
    """Reads the graph of a name; for a live one, Ray must be connected.

    Args:
        name: path of a run, a store or a snapshot, or ``graph:`` and a live graph's name.

    Raises:
        InputError: there is no such graph, or it cannot be read.
    """
    if name.startswith(LIVE):
        return _live(name)
    path = Path(name)
    run = RunFolder(path)
    if run.exists():
        scenario = run.scenario()
        graph, spec = store.read(run.graph_folder)
        return GraphSource(
            name,
            graph,
            spec,
            scenario.signatures.rule,
            run.graph_folder,
            verdicts=scenario.verdicts(spec.prior),
        )
    if store.exists(path):
        graph, spec = store.read(path)
        return GraphSource(name, graph, spec, folder=path)
    if snapshot.exists(path):
        state, spec = snapshot.load(path)
        graph = spec.new_graph()
        graph.restore(state)
        return GraphSource(name, graph, spec)
    refuse_shards(path)
    raise InputError("holds no knowledge graph", where=name, expected=EXPECTED, mend="Check it")


def create(folder: Path, scenario: Scenario) -> GraphSource:
    """Makes an empty graph of a scenario in a folder of its own, for runs to share."""
    GraphStore.open(folder, GraphSpec.of(scenario)).close()
    return find(str(folder))


def restore(run: RunFolder, folder: Path | None = None) -> tuple[Path, Path | None]:
    """Replaces a run's graph by a snapshot; the replaced graph is kept beside it.

    Args:
        run: the run.
        folder: folder of the snapshot; by default the run's latest one.

    Returns:
        The snapshot's folder, and the folder of the replaced graph if there was one.

    Raises:
        InputError: there is no snapshot, it is another scenario's, or the graph is in use.
    """
    manifest = run.manifest()
    found = folder or snapshot.newest(run.path)
    if found is None:
        raise InputError(
            "has no snapshot yet",
            where=str(run.path),
            mend="Train the run again; its first checkpoint holds the first snapshot",
        )
    state, spec = snapshot.load(found)
    settings = manifest.settings
    expected = replace(
        spec,
        fingerprint=manifest.fingerprint,
        prior=config.beta_prior(settings.prior),
        half_life=settings.graph.half_life,
    )
    expected.check_same(spec, str(found))
    return found, store.put_back(state, spec, run.graph_folder, manifest.name)


def _live(name: str) -> GraphSource:
    from kg_actor import client

    live = client.find(name)
    return GraphSource(name, live.graph(), live.spec, live=live)


@contextlib.contextmanager
def as_input_error(where: str) -> Iterator[None]:
    """Raises :class:`InputError` for an unknown id or name."""
    try:
        yield
    except KeyError as error:
        raise InputError(str(error.args[0]), where=where) from error
