from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from envs import PAPER, BetaPrior, InteractionTable
from kg_actor import GraphCounts, KnowledgeGraph, MergeKey, neighbourhood
from kg_actor.actor import Keyed, start

Actor = Any
"""Ray's handles have their methods only at run time."""

PREDICTED = np.array([1, 2, 6], np.int8)
FINGERPRINT = "3f8a" * 16
FIRST = Keyed(MergeKey("run", 0, 0), InteractionTable.tally([0, 0, 2], [0, 0, 14], [1, 2, 6]))
SECOND = Keyed(MergeKey("run", 0, 1), InteractionTable.tally([1], [14], [2]))


def begin(run: str, fingerprint: str = FINGERPRINT) -> Actor:
    return start(run, PREDICTED, PAPER, BetaPrior(), fingerprint)


@pytest.fixture(scope="module")
def actors(ray_local: ModuleType) -> list[Actor]:
    """Two runs' graphs; starting a process takes seconds, so the tests share them."""
    return [begin("tested"), begin("other")]


@pytest.fixture
def graph(ray_local: ModuleType, actors: list[Actor]) -> Actor:
    """The graph of the run 'tested', emptied."""
    ray_local.get(actors[0].restore.remote(KnowledgeGraph(PREDICTED, PAPER).counts(), []))
    return actors[0]


@pytest.fixture
def other(ray_local: ModuleType, actors: list[Actor]) -> Actor:
    """The graph of the run 'other', emptied."""
    ray_local.get(actors[1].restore.remote(KnowledgeGraph(PREDICTED, PAPER).counts(), []))
    return actors[1]


@pytest.fixture(scope="module")
def expected() -> GraphCounts:
    graph = KnowledgeGraph(PREDICTED, PAPER)
    graph.merge(FIRST.table, FIRST.key)
    graph.merge(SECOND.table, SECOND.key)
    return graph.counts()


def test_a_run_has_one_graph_however_often_it_is_started(
    ray_local: ModuleType, graph: Actor, expected: GraphCounts
) -> None:
    same = begin("tested")

    ray_local.get(graph.merge.remote([FIRST]))
    counts = ray_local.get(same.merge.remote([SECOND]))

    assert same == graph
    assert counts.equals(expected)
    assert counts.version == 2


def test_other_runs_have_other_graphs(ray_local: ModuleType, graph: Actor, other: Actor) -> None:
    ray_local.get(graph.merge.remote([FIRST]))

    assert ray_local.get(other.counts.remote()).version == 0


def test_graph_is_found_by_its_name(ray_local: ModuleType, graph: Actor) -> None:
    found = ray_local.get_actor("graph:tested", namespace="kirl")

    assert found == graph
    assert ray_local.get(found.fingerprint.remote()) == FINGERPRINT


def test_graph_of_another_scenario_is_refused_by_name(ray_local: ModuleType, graph: Actor) -> None:
    with pytest.raises(ValueError, match="belongs to scenario 3f8a3f8a3f8a, not 0000"):
        begin("tested", fingerprint="0" * 64)

    assert ray_local.get(graph.fingerprint.remote()) == FINGERPRINT


def test_merging_again_changes_nothing(
    ray_local: ModuleType, graph: Actor, expected: GraphCounts
) -> None:
    for tables in ([FIRST, SECOND], [SECOND], [FIRST, FIRST]):
        counts = ray_local.get(graph.merge.remote(tables))

        assert counts.equals(expected)
        assert counts.version == 2


def test_table_that_does_not_fit_is_refused_and_the_graph_lives_on(
    ray_local: ModuleType, graph: Actor
) -> None:
    unknown = Keyed(MergeKey("run", 1, 0), InteractionTable.tally([3], [0], [0]))

    with pytest.raises(ValueError, match="signature must be in 0"):
        ray_local.get(graph.merge.remote([unknown]))

    assert ray_local.get(graph.counts.remote()).version == 0


def test_neighbourhood_and_view_come_over_the_wire(ray_local: ModuleType, graph: Actor) -> None:
    local = KnowledgeGraph(PREDICTED, PAPER)
    local.merge(FIRST.table, FIRST.key)
    ray_local.get(graph.merge.remote([FIRST]))

    view = ray_local.get(graph.networkx.remote())
    some = ray_local.get(graph.networkx.remote([2]))

    assert ray_local.get(graph.neighbourhood.remote(0)) == neighbourhood(local, 0)
    assert view.edges["signature:0", "type:DoS", 0]["seen"] == 2
    assert view.edges["type:DoS", "type:Benign", "signature:0"]["share"] == 0.5
    assert {name for name in some if name.startswith("signature:")} == {"signature:2"}


def test_unknown_signature_is_a_key_error(ray_local: ModuleType, graph: Actor) -> None:
    with pytest.raises(KeyError, match="no signature 3"):
        ray_local.get(graph.neighbourhood.remote(3))


def test_snapshot_of_one_graph_restores_another(
    ray_local: ModuleType, graph: Actor, other: Actor, expected: GraphCounts
) -> None:
    ray_local.get(graph.merge.remote([SECOND, FIRST]))

    counts, merged = ray_local.get(graph.snapshot.remote())
    ray_local.get(other.restore.remote(counts, merged))

    assert merged == [FIRST.key, SECOND.key]
    assert ray_local.get(other.counts.remote()).equals(expected)
    assert ray_local.get(other.merge.remote([FIRST])).equals(expected)
