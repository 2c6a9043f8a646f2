"""The graph as a named Ray actor: one per run, the only owner of its graph.

The only module of this package that knows Ray. Names are ``graph:<run>`` in the namespace
``kirl``, so a dashboard or a second process can find a run's graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
import ray
from numpy.typing import NDArray

from envs import BetaPrior, Catalogue, InteractionTable
from kg_actor.graph import GraphCounts, KnowledgeGraph, MergeKey
from kg_actor.neighbourhood import Neighbourhood, neighbourhood
from kg_actor.view import to_networkx

NAMESPACE = "kirl"


@dataclass(frozen=True)
class Keyed:
    """A table with the key it is merged under."""

    key: MergeKey
    table: InteractionTable


class GraphServer:
    """What runs inside the actor: a :class:`KnowledgeGraph` and its remote interface."""

    def __init__(
        self,
        predicted: NDArray[np.int8],
        catalogue: Catalogue,
        prior: BetaPrior,
        fingerprint: str,
    ) -> None:
        self._graph = KnowledgeGraph(np.asarray(predicted), catalogue, prior)
        self._fingerprint = fingerprint

    def fingerprint(self) -> str:
        """Fingerprint of the scenario whose signatures the graph holds."""
        return self._fingerprint

    def merge(self, tables: Sequence[Keyed]) -> GraphCounts:
        """Merges tables (each key once) and returns the graph's counts after them."""
        for keyed in tables:
            self._graph.merge(keyed.table, keyed.key)
        return self._graph.counts()

    def counts(self) -> GraphCounts:
        """The graph's counts as they are now."""
        return self._graph.counts()

    def neighbourhood(self, signature: int) -> Neighbourhood:
        """The records around one signature; raises ``KeyError`` for an unknown one."""
        return neighbourhood(self._graph, signature)

    def networkx(self, signatures: Sequence[int] | None = None) -> nx.MultiDiGraph[str]:
        """The networkx view, of all signatures or some."""
        return to_networkx(self._graph, signatures)

    def snapshot(self) -> tuple[GraphCounts, list[MergeKey]]:
        """Counts and merged keys, for a checkpoint."""
        return self._graph.counts(), sorted(self._graph.merged)

    def restore(self, counts: GraphCounts, merged: Sequence[MergeKey]) -> None:
        """Replaces the content by a snapshot's."""
        self._graph.restore(counts, merged)


def start(
    run: str,
    predicted: NDArray[np.int8],
    catalogue: Catalogue,
    prior: BetaPrior,
    fingerprint: str,
) -> Any:  # noqa: ANN401 (Ray's handles have their methods only at run time)
    """The graph actor of a run: found by its name, or started.

    It asks for no CPU: it works only while learner and runners wait or compute elsewhere.

    Raises:
        ValueError: an actor of that name serves another scenario's graph.
    """
    actor_class = ray.remote(GraphServer)
    handle: Any = actor_class.options(
        name=f"graph:{run}", namespace=NAMESPACE, get_if_exists=True, num_cpus=0
    ).remote(predicted, catalogue, prior, fingerprint)
    found = ray.get(handle.fingerprint.remote())
    if found != fingerprint:
        raise ValueError(
            f"the graph of run {run!r} belongs to scenario {found[:12]}, not {fingerprint[:12]}"
        )
    return handle
