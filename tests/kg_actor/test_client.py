"""A live graph in two shards on a real Ray: to its users it is the graph that is not cut."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from envs import BetaPrior, Catalogue, InputError, InteractionTable
from kg_actor import (
    GraphSpec,
    Keyed,
    KnowledgeGraph,
    Lesson,
    MergeKey,
    client,
    folders,
    neighbourhood,
    neighbourhoods,
    type_neighbourhood,
)
from kg_actor.actor import ask
from kg_actor.client import GraphClient, find, start
from kg_actor.sharding import shards_of, split

PAPER = Catalogue.named("paper")

SPEC = GraphSpec("3f8a" * 16, "synthetic", np.array([1, 2, 6], np.int8), PAPER, BetaPrior())
TABLES = (
    InteractionTable.tally([0, 0, 2], [0, 0, 14], [1, 2, 6]),
    InteractionTable.tally([1, 2], [14, 14], [2, 1]),
    InteractionTable.tally([2], [3], [6]),
)
KEYED = [Keyed(MergeKey("cut", i, 0), table) for i, table in enumerate(TABLES)]
FEED = Lesson("DoS", "Audit", 1.0, 10.0, "feed")
TEAM = Lesson("Web", "Audit", 2.0, 10.0, "team")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cut") / "graph"


@pytest.fixture(scope="module")
def started(ray_local: ModuleType, folder: Path) -> Iterator[GraphClient]:
    """Starting processes takes seconds, so the tests share them."""
    graph = start("cut", SPEC, folder, shards=2)
    yield graph
    graph.stop("cut")


@pytest.fixture
def graph(started: GraphClient) -> GraphClient:
    """The graph of the run 'cut', emptied."""
    for provenance in ("feed", "team"):
        started.withdraw(provenance)
    started.restore([spec.new_graph().state() for spec in started.specs], "cut")
    return started


def whole(*keyed: Keyed) -> KnowledgeGraph:
    graph = SPEC.new_graph()
    for each in keyed:
        graph.merge_all([each])
    return graph


def versions(graph: GraphClient) -> list[int]:
    told: list[int] = ask([handle.version.remote() for handle in graph.handles])
    return told


def test_merges_come_to_all_shards_as_one_version(graph: GraphClient, folder: Path) -> None:
    first = graph.version()
    for each in KEYED:
        counts = graph.merge([each]).counts()
    again = graph.merge(KEYED[1:]).counts()

    assert counts.equals(whole(*KEYED).counts())
    assert again.equals(counts)
    assert counts.version == again.version == first + 3
    assert versions(graph) == [first + 3] * 2
    assert graph.counts().equals(counts)
    assert folders.read(folder)[0].counts().equals(counts)


def test_every_question_has_the_answer_of_the_graph_that_is_not_cut(graph: GraphClient) -> None:
    expected = whole(*KEYED)
    expected.teach([FEED])
    before = graph.version()
    for each in KEYED:
        graph.merge([each]).counts()
    graph.teach([FEED])
    copy = graph.graph()

    for signature in range(3):
        told = graph.neighbourhood(signature)
        wanted = neighbourhood(expected, signature)
        assert (told.actions, told.confusions) == (wanted.actions, wanted.confusions)
        assert told == neighbourhood(copy, signature)
        points = [(p.flows, p.seen, p.correct) for p in graph.history(signature)]
        assert points[-1][1:] == (wanted.seen, wanted.correct)
        assert points[-1][0] in (3, 5, 6)
    assert graph.neighbourhoods() == neighbourhoods(copy)
    assert graph.neighbourhoods(before + 4) == ()
    for name in ("DoS", "Web"):
        assert graph.type_neighbourhood(name) == type_neighbourhood(copy, name)
        assert graph.type_neighbourhood(name).actions == type_neighbourhood(expected, name).actions
    with pytest.raises(KeyError, match="no signature 3; ids go from 0 to 2"):
        graph.neighbourhood(3)
    with pytest.raises(KeyError, match="no signature 3"):
        graph.history(3)


def test_a_table_that_does_not_fit_is_merged_nowhere(graph: GraphClient) -> None:
    before = versions(graph)
    unknown = Keyed(MergeKey("cut", 9, 0), InteractionTable.tally([0, 3], [0, 0], [0, 0]))

    with pytest.raises(ValueError, match="signature must be in 0"):
        graph.merge([unknown])

    assert versions(graph) == before


def test_it_is_found_by_its_runs_name_and_travels(graph: GraphClient) -> None:
    graph.merge(KEYED).counts()

    found = find("graph:cut")

    assert found.handles == graph.handles
    assert found.state().equals(graph.state())
    assert np.array_equal(found.spec.predicted, SPEC.predicted)
    assert client.names().count("graph:cut") == 1
    assert not [name for name in client.names() if name.startswith("graph:cut/")]
    for name in ("graph:none", "graph:cut/0-of-2"):
        with pytest.raises(InputError, match=r"no such live graph .* one of .*graph:cut"):
            find(name)


def test_lessons_are_taught_to_all_and_counted_once(graph: GraphClient) -> None:
    graph.teach([FEED, TEAM])

    assert graph.state().lessons == (FEED, TEAM)
    taught = graph.counts().taught
    assert taught is not None
    assert taught.weight.sum() == 20
    assert len(set(versions(graph))) == 1
    assert graph.withdraw("team") == 1
    assert graph.withdraw("team") == 0
    assert graph.state().lessons == (FEED,)
    assert len(set(versions(graph))) == 1


@pytest.mark.parametrize("mend", ["teach again", "begin"])
def test_a_teaching_that_ended_half_way_is_mended(graph: GraphClient, mend: str) -> None:
    ask(graph.handles[0].teach.remote([FEED]))
    assert graph.state().lessons == (FEED,)

    if mend == "begin":
        graph.begin("cut")
    else:
        graph.teach([FEED])

    told = ask([handle.lessons.remote() for handle in graph.handles])
    assert told[0] == told[1]
    assert told[0][1] == (FEED,)


def test_a_merge_that_ended_half_way_is_told_and_mended(
    graph: GraphClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph.merge(KEYED[:1]).counts()
    part = split(KEYED[1:2], SPEC, graph.shards)[0]
    ask(graph.handles[0].merge.remote(part))
    monkeypatch.setattr(client, "ATTEMPTS", 2)

    with pytest.raises(InputError, match="graph:cut: its shards hold different merges"):
        graph.state()
    assert folders.read(folder)[0].counts().equals(whole(KEYED[0]).counts())

    assert graph.merge(KEYED[1:2]).counts().equals(whole(*KEYED[:2]).counts())
    ask(graph.handles[0].merge.remote(split(KEYED[2:], SPEC, graph.shards)[0]))
    assert not graph.begin("cut").signature_actual.any()
    assert len(set(versions(graph))) == 1


def test_going_back_restores_every_shard(graph: GraphClient) -> None:
    graph.merge(KEYED[:2]).counts()
    states = graph.states()
    graph.merge(KEYED[2:]).counts()
    graph.teach([FEED])

    counts = graph.restore(states, "cut")

    assert counts.equals(whole(*KEYED[:2]).counts())
    assert graph.state().lessons == (FEED,)
    assert len(set(versions(graph))) == 1
    with pytest.raises(InputError, match=r"a checkpoint of 1 shard\(s\)\. Expected one of 2"):
        graph.restore(states[:1], "cut")


def test_a_shard_that_is_killed_comes_back_with_its_part(graph: GraphClient, folder: Path) -> None:
    """Merges are sent without waiting, and one process after the other is killed meanwhile."""
    tables = [InteractionTable.tally([0, 2], [i % 15] * 2, [1, 6], [i + 1, 1]) for i in range(20)]
    keyed = [Keyed(MergeKey("cut", 100 + i, 0), table) for i, table in enumerate(tables)]
    lives = {graph.processes()}
    for life in range(2):
        sent = [graph.merge([each]) for each in keyed[10 * life : 10 * life + 10]]
        time.sleep(0.01 * life)
        os.kill(graph.processes()[life], signal.SIGKILL)
        for merging in sent:
            merging.counts()
        lives.add(graph.processes())

    assert len(lives) == 3
    assert graph.counts().equals(whole(*keyed).counts())
    assert folders.read(folder)[0].counts().equals(whole(*keyed).counts())


def test_what_cannot_be_cut_so_is_refused_at_the_start(graph: GraphClient, folder: Path) -> None:
    with pytest.raises(InputError, match="3 signatures cannot be cut into 4 shards"):
        start("more", SPEC, folder, shards=4)
    for number in (1, 3):
        with pytest.raises(InputError, match=r"0-of-2: is in the way of a graph in"):
            start("other", SPEC, folder, shards=number)


def test_a_shard_that_cannot_be_opened_leaves_no_actor(
    ray_local: ModuleType, tmp_path: Path
) -> None:
    place = shards_of(3, 2)[1].folder(tmp_path)
    place.mkdir()
    (place / "graph.sqlite").write_bytes(b"no database" * 1000)

    with pytest.raises(InputError, match=r"1-of-2/graph\.sqlite: is damaged"):
        start("broken", SPEC, tmp_path, shards=2)

    deadline = time.monotonic() + 10
    while "graph:broken" in client.names() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "graph:broken" not in client.names()
