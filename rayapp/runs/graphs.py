"""Finding a knowledge graph: a run's, a store's, a snapshot's, or a live actor's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from envs import InputError, Scenario
from kg_actor import GraphSpec, KnowledgeGraph, Lesson, folders, snapshot
from kg_actor.queries import ConfidencePoint
from kg_actor.store import GraphStore
from rayapp import config
from rayapp.runs.folder import RunFolder

if TYPE_CHECKING:
    # It takes Ray, which files do without.
    from kg_actor.client import GraphClient

LIVE = "graph:"
"""What the name of a live graph's actor begins with."""

EXPECTED = (
    "a run, a graph's folder, a checkpoint's graph folder, or graph:NAME of a running training"
)


@dataclass(frozen=True)
class GraphSource:
    """A graph, and where it came from.

    Attributes:
        name: as the user gave it.
        graph: a copy, as it was when it was read.
        spec: what it is about.
        rules: the readable condition of each signature, where a run or scenario tells it.
        folder: where it is kept, if it is a store.
        live: the graph itself, where it is live.
    """

    name: str
    graph: KnowledgeGraph
    spec: GraphSpec
    rules: tuple[str, ...] | None = None
    folder: Path | None = None
    live: GraphClient | None = None

    @property
    def note(self) -> str | None:
        """The remark that everything made from synthetic flows carries."""
        if self.spec.synthetic:
            return "Learnt on synthetic flows, not on real traffic."
        return None

    def history(self, signature: int) -> list[ConfidencePoint]:
        """How a signature's confidence moved.

        Raises:
            InputError: a snapshot, which has no history, or no such signature.
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
        return folders.confidence_of(self.folder, self.spec, signature)

    def teach(self, lessons: Sequence[Lesson]) -> None:
        """Teaches the graph at its source; raises :class:`InputError` where that cannot be."""
        if self.live is not None:
            self.live.teach(lessons)
        else:
            folders.teach(self._changed(), self.spec, lessons)

    def withdraw(self, provenance: str) -> int:
        """Withdraws a source's lessons there; returns how many."""
        if self.live is not None:
            return self.live.withdraw(provenance)
        return folders.withdraw(self._changed(), self.spec, provenance)

    def _changed(self) -> Path:
        """Its folder, to be written to."""
        if self.folder is None:
            raise InputError(
                "a snapshot is never changed",
                where=self.name,
                expected="a run, a graph's folder or a live graph",
                mend="Teach the run that the snapshot was taken from",
            )
        return self.folder


def find(name: str) -> GraphSource:
    """The graph of that name; for a live one, Ray must be connected.

    Args:
        name: path of a run, a store or a snapshot, or ``graph:`` and a live graph's name.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    if name.startswith(LIVE):
        return _live(name)
    path = Path(name)
    run = RunFolder(path)
    if run.exists():
        rules = run.scenario().signatures.rule
        graph, spec = folders.read(run.graph_folder)
        return GraphSource(name, graph, spec, rules, run.graph_folder)
    if folders.has_store(path):
        graph, spec = folders.read(path)
        return GraphSource(name, graph, spec, folder=path)
    if folders.has_snapshot(path):
        return GraphSource(name, *folders.load_whole(path))
    raise InputError("holds no knowledge graph", where=name, expected=EXPECTED, mend="Check it")


def create(folder: Path, scenario: Scenario) -> GraphSource:
    """An empty graph of a scenario, in a folder of its own, for runs to share."""
    GraphStore.open(folder, GraphSpec.of(scenario)).close()
    return find(str(folder))


def restore(run: RunFolder, folder: Path | None = None) -> tuple[Path, Path | None]:
    """Puts a snapshot in the place of a run's graph; what was there is kept beside it.

    Args:
        run: the run.
        folder: of the snapshot; by default the run's latest.

    Returns:
        The snapshot, and where the graph that was there is now, if there was one.

    Raises:
        InputError: there is no snapshot, it is another scenario's or cut otherwise, or the graph
            is in use.
    """
    manifest = run.manifest()
    found = folder or snapshot.newest(run.path)
    if found is None:
        raise InputError(
            "has no snapshot yet",
            where=str(run.path),
            mend="Train the run again; its first checkpoint holds the first snapshot",
        )
    states, specs = folders.load(found)
    prior = config.beta_prior(manifest.settings.prior)
    half_life = manifest.settings.graph.half_life
    for spec in specs:
        expected = replace(spec, fingerprint=manifest.fingerprint, prior=prior, half_life=half_life)
        expected.check_same(spec, str(found))
    shards = manifest.settings.graph.shards
    if len(specs) != shards:
        raise InputError(
            f"holds a graph in {len(specs)} shard(s)",
            where=str(found),
            expected=f"{shards}, as in the run's settings",
            mend="Take one of the run's own snapshots",
        )
    return found, folders.restore(states, specs, run.graph_folder, manifest.name)


def _live(name: str) -> GraphSource:
    from kg_actor import client

    live = client.find(name)
    return GraphSource(name, live.graph(), live.spec, live=live)


@contextlib.contextmanager
def as_input_error(where: str) -> Iterator[None]:
    """Turns an unknown id or name into one message."""
    try:
        yield
    except KeyError as error:
        raise InputError(str(error.args[0]), where=where) from error
