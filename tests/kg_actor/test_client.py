"""A live graph on a real Ray, its actor killed for real."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from envs import PAPER, BetaPrior, InputError, InteractionTable
from kg_actor import (
    GraphCounts,
    GraphSpec,
    Keyed,
    Lesson,
    MergeKey,
    history,
    neighbourhood,
    store,
)
from kg_actor.client import GraphClient, find, names, start
from kg_actor.database import FILE

SPEC = GraphSpec("3f8a" * 16, "synthetic", np.array([1, 2, 6], np.int8), PAPER, BetaPrior())
FIRST = Keyed(MergeKey("run", 0, 0), InteractionTable.tally([0, 0, 2], [0, 0, 14], [1, 2, 6]))
SECOND = Keyed(MergeKey("run", 0, 1), InteractionTable.tally([1], [14], [2]))

Begin = Callable[..., GraphClient]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graphs")


@pytest.fixture(scope="module")
def begin(ray_local: ModuleType, folder: Path) -> Begin:
    def start_run(run: str, spec: GraphSpec = SPEC) -> GraphClient:
        return start(run, spec, folder / run)

    return start_run


@pytest.fixture(scope="module")
def started(begin: Begin) -> list[GraphClient]:
    """Two runs' graphs; starting a process takes seconds, so the tests share them."""
    return [begin("tested"), begin("other")]


def emptied(graph: GraphClient) -> GraphClient:
    graph.restore(SPEC.new_graph().state(), "run")
    return graph


@pytest.fixture
def graph(started: list[GraphClient]) -> GraphClient:
    """The graph of the run 'tested', emptied."""
    return emptied(started[0])


@pytest.fixture
def other(started: list[GraphClient]) -> GraphClient:
    """The graph of the run 'other', emptied."""
    return emptied(started[1])


@pytest.fixture(scope="module")
def expected() -> GraphCounts:
    graph = SPEC.new_graph()
    graph.merge_all([FIRST, SECOND])
    return graph.counts()


def test_a_run_has_one_graph_however_often_it_is_started(
    begin: Begin, graph: GraphClient, expected: GraphCounts
) -> None:
    same = begin("tested")

    graph.merge([FIRST]).counts()
    counts = same.merge([SECOND]).counts()

    assert same.handle == graph.handle
    assert counts.equals(expected)
    assert counts.version == 2


def test_other_runs_have_other_graphs(graph: GraphClient, other: GraphClient) -> None:
    graph.merge([FIRST]).counts()

    assert other.counts().version == 0


def test_a_graph_is_found_by_its_name(graph: GraphClient, other: GraphClient) -> None:
    graph.merge([FIRST]).counts()

    found = find("graph:tested")

    assert found.handle == graph.handle
    assert found.spec.fingerprint == SPEC.fingerprint
    assert found.state().equals(graph.state())
    assert found.graph().state().equals(graph.state())
    assert {"graph:other", "graph:tested"} <= set(names())


def test_a_graph_that_is_not_there_is_named(graph: GraphClient) -> None:
    with pytest.raises(InputError, match=r"graph:none: no such live .* one of .*graph:tested"):
        find("graph:none")


def test_graph_of_another_scenario_is_refused_by_name(begin: Begin, graph: GraphClient) -> None:
    with pytest.raises(InputError, match=r"graph:tested: belongs to scenario 3f8a3f8a3f8a.*0000"):
        begin("tested", replace(SPEC, fingerprint="0" * 64))

    assert find("graph:tested").spec.fingerprint == SPEC.fingerprint


def test_merging_again_changes_nothing(graph: GraphClient, expected: GraphCounts) -> None:
    for tables in ([FIRST, SECOND], [SECOND], [FIRST, FIRST]):
        counts = graph.merge(tables).counts()

        assert counts.equals(expected)
        assert counts.version == 1


def test_table_that_does_not_fit_is_refused_and_the_graph_lives_on(graph: GraphClient) -> None:
    unknown = Keyed(MergeKey("run", 1, 0), InteractionTable.tally([3], [0], [0]))

    with pytest.raises(ValueError, match="context must be in 0"):
        graph.merge([unknown]).counts()

    assert graph.counts().version == 0


def test_questions_are_answered_over_the_wire(graph: GraphClient, folder: Path) -> None:
    local = SPEC.new_graph()
    local.merge_all([FIRST])
    graph.merge([FIRST]).counts()

    assert graph.neighbourhood(0) == neighbourhood(local, 0)
    assert graph.history(0) == history.confidence_of(folder / "tested", 0)
    with pytest.raises(KeyError, match="no signature 3"):
        graph.neighbourhood(3)


def test_snapshot_of_one_graph_restores_another(
    graph: GraphClient, other: GraphClient, expected: GraphCounts
) -> None:
    graph.merge([SECOND, FIRST]).counts()

    state = graph.state()
    counts = other.restore(state, "run")

    assert set(state.merged) == {FIRST.key, SECOND.key}
    assert counts.equals(expected)
    assert other.merge([FIRST]).counts().equals(expected)


def test_a_run_that_begins_anew_drops_what_it_had_merged(graph: GraphClient) -> None:
    graph.merge([FIRST]).counts()

    assert not graph.begin("run").signature_actual.any()


def test_lessons_are_taught_and_withdrawn(graph: GraphClient) -> None:
    lesson = Lesson("DoS", "Audit", 1.0, 10.0, "feed")

    graph.teach([lesson])

    assert graph.state().lessons == (lesson,)
    assert graph.withdraw("feed") == 1
    assert graph.state().lessons == ()


def test_an_actor_that_is_killed_comes_back_with_its_graph(begin: Begin, folder: Path) -> None:
    """Merges are sent without waiting, and the process is killed while it is at them."""
    graph = begin("killed")
    tables = [InteractionTable.tally([0], [i % 15], [1], [i + 1]) for i in range(60)]
    keyed = [Keyed(MergeKey("run", i, 0), table) for i, table in enumerate(tables)]
    lives = set()
    for life in range(3):
        lives.add(process := graph.process())
        sent = [graph.merge([each]) for each in keyed[20 * life : 20 * life + 20]]
        time.sleep(0.01 * life)
        os.kill(process, signal.SIGKILL)
        for merging in sent:
            merging.counts()

    counts = graph.counts()

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


def test_an_actor_ends_with_its_last_user(ray_local: ModuleType, folder: Path) -> None:
    shared = [start(run, SPEC, folder / "team", shared="team") for run in ("one", "two")]
    shared[0].merge([replace(FIRST, key=MergeKey("one", 0, 0))]).counts()

    shared[0].stop("one")
    counts = shared[1].merge([replace(FIRST, key=MergeKey("two", 0, 0))]).counts()
    shared[1].stop("two")

    assert counts.signature_actual.sum() == 6
    assert store.read(folder / "team")[0].counts().equals(counts)
    assert is_gone("graph:team", ray_local)


def test_a_store_that_cannot_be_used_is_one_clear_message(begin: Begin, folder: Path) -> None:
    (folder / "broken").mkdir()
    (folder / "broken" / FILE).write_bytes(b"no database" * 1000)

    with pytest.raises(InputError, match="is damaged") as refusal:
        begin("broken")

    assert "Traceback" not in str(refusal.value)
