"""The graph's actor on a real Ray, killed for real."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from envs import BetaPrior, Catalogue, InputError, InteractionTable
from kg_actor import (
    GraphCounts,
    GraphSpec,
    Keyed,
    Lesson,
    MergeKey,
    neighbourhood,
    store,
)
from kg_actor.actor import Place, ask, start, stop

PAPER = Catalogue.named("paper")

Actor = Any
"""Ray's handles have their methods only at run time."""

SPEC = GraphSpec("3f8a" * 16, "synthetic", np.array([1, 2, 6], np.int8), PAPER, BetaPrior())
FIRST = Keyed(MergeKey("run", 0, 0), InteractionTable.tally([0, 0, 2], [0, 0, 14], [1, 2, 6]))
SECOND = Keyed(MergeKey("run", 0, 1), InteractionTable.tally([1], [14], [2]))

Begin = Callable[..., Actor]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graphs")


@pytest.fixture(scope="module")
def begin(ray_local: ModuleType, folder: Path) -> Begin:
    def start_run(run: str, spec: GraphSpec = SPEC) -> Actor:
        return start(run, Place(f"graph:{run}", folder / run, spec))

    return start_run


@pytest.fixture(scope="module")
def actors(begin: Begin) -> list[Actor]:
    """Two runs' graphs; starting a process takes seconds, so the tests share them."""
    return [begin("tested"), begin("other")]


def emptied(actor: Actor) -> Actor:
    ask(actor.restore.remote(SPEC.new_graph().state(), "run"))
    return actor


@pytest.fixture
def graph(actors: list[Actor]) -> Actor:
    """The graph of the run 'tested', emptied."""
    return emptied(actors[0])


@pytest.fixture
def other(actors: list[Actor]) -> Actor:
    """The graph of the run 'other', emptied."""
    return emptied(actors[1])


@pytest.fixture(scope="module")
def expected() -> GraphCounts:
    graph = SPEC.new_graph()
    graph.merge_all([FIRST, SECOND])
    return graph.counts()


def test_a_run_has_one_graph_however_often_it_is_started(
    begin: Begin, ray_local: ModuleType, graph: Actor, expected: GraphCounts
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
    assert ray_local.get(found.spec.remote()).fingerprint == SPEC.fingerprint


def test_graph_of_another_scenario_is_refused_by_name(begin: Begin, graph: Actor) -> None:
    with pytest.raises(InputError, match=r"graph:tested: belongs to scenario 3f8a3f8a3f8a.*0000"):
        begin("tested", replace(SPEC, fingerprint="0" * 64))

    assert ask(graph.spec.remote()).fingerprint == SPEC.fingerprint


def test_merging_again_changes_nothing(
    ray_local: ModuleType, graph: Actor, expected: GraphCounts
) -> None:
    for tables in ([FIRST, SECOND], [SECOND], [FIRST, FIRST]):
        counts = ray_local.get(graph.merge.remote(tables))

        assert counts.equals(expected)
        assert counts.version == 1


def test_table_that_does_not_fit_is_refused_and_the_graph_lives_on(
    graph: Actor, ray_local: ModuleType
) -> None:
    unknown = Keyed(MergeKey("run", 1, 0), InteractionTable.tally([3], [0], [0]))

    with pytest.raises(ValueError, match="signature must be in 0"):
        ask(graph.merge.remote([unknown]))

    assert ray_local.get(graph.counts.remote()).version == 0


def test_neighbourhoods_come_over_the_wire(ray_local: ModuleType, graph: Actor) -> None:
    local = SPEC.new_graph()
    local.merge_all([FIRST])
    ray_local.get(graph.merge.remote([FIRST]))

    assert ray_local.get(graph.neighbourhood.remote(0)) == neighbourhood(local, 0)
    every = ray_local.get(graph.neighbourhoods.remote())
    assert [each.signature for each in every] == [0, 2]
    assert ray_local.get(graph.neighbourhoods.remote(1)) == ()
    assert ray_local.get(graph.type_neighbourhood.remote("DoS")).traffic == "DoS"


def test_unknown_signature_is_a_key_error(graph: Actor) -> None:
    with pytest.raises(KeyError, match="no signature 3"):
        ask(graph.neighbourhood.remote(3))


def test_snapshot_of_one_graph_restores_another(
    ray_local: ModuleType, graph: Actor, other: Actor, expected: GraphCounts
) -> None:
    ray_local.get(graph.merge.remote([SECOND, FIRST]))

    state = ray_local.get(graph.state.remote())
    counts = ray_local.get(other.restore.remote(state, "run"))

    assert set(state.merged) == {FIRST.key, SECOND.key}
    assert counts.equals(expected)
    assert ray_local.get(other.merge.remote([FIRST])).equals(expected)


def test_lessons_are_taught_and_withdrawn(graph: Actor) -> None:
    lesson = Lesson("DoS", "Audit", 1.0, 10.0, "feed")

    ask(graph.teach.remote([lesson]))

    assert ask(graph.state.remote()).lessons == (lesson,)
    assert ask(graph.withdraw.remote("feed")) == 1
    assert ask(graph.state.remote()).lessons == ()


def test_an_actor_that_is_killed_comes_back_with_its_graph(begin: Begin, folder: Path) -> None:
    """Merges are sent without waiting, and the process is killed while it is at them."""
    graph = begin("killed")
    tables = [InteractionTable.tally([0], [i % 15], [1], [i + 1]) for i in range(60)]
    keyed = [Keyed(MergeKey("run", i, 0), table) for i, table in enumerate(tables)]
    lives = set()
    for life in range(3):
        lives.add(process := ask(graph.process.remote()))
        sent = [graph.merge.remote([each]) for each in keyed[20 * life : 20 * life + 20]]
        time.sleep(0.01 * life)
        os.kill(process, signal.SIGKILL)
        for answer in sent:
            ask(answer)

    counts = ask(graph.counts.remote())

    assert len(lives) == 3
    assert counts.signature_actual[0, 1] == sum(range(1, 61))
    assert store.read(folder / "killed")[0].counts().equals(counts)


def is_gone(name: str, ray_local: ModuleType) -> bool:
    """Whether an actor's name becomes free within ten seconds."""
    for _ in range(100):
        try:
            ray_local.get_actor(name, namespace="kirl")
        except ValueError:
            return True
        time.sleep(0.1)
    return False


def test_an_actor_ends_with_its_last_user(
    begin: Begin, ray_local: ModuleType, folder: Path
) -> None:
    team = Place("graph:team", folder / "team", SPEC, shared=True)
    shared = [start(run, team) for run in ("one", "two")]
    ask(shared[0].merge.remote([replace(FIRST, key=MergeKey("one", 0, 0))]))

    stop(shared[0], "one")
    counts = ask(shared[1].merge.remote([replace(FIRST, key=MergeKey("two", 0, 0))]))
    stop(shared[1], "two")

    assert counts.signature_actual.sum() == 6
    assert store.read(folder / "team")[0].counts().equals(counts)
    assert is_gone("graph:team", ray_local)


def test_a_store_that_cannot_be_used_is_one_clear_message(begin: Begin, folder: Path) -> None:
    (folder / "broken").mkdir()
    (folder / "broken" / store.FILE).write_bytes(b"no database" * 1000)

    with pytest.raises(InputError, match="is damaged") as refusal:
        begin("broken")

    assert "Traceback" not in str(refusal.value)
