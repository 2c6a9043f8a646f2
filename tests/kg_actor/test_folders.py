"""A graph's folder in shards: read, taught and restored as one, and told when it is none."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from envs import BetaPrior, Catalogue, InputError, InteractionTable
from kg_actor import GraphSpec, Keyed, KnowledgeGraph, Lesson, MergeKey, folders, store
from kg_actor.history import confidence_of
from kg_actor.sharding import shards_of, split

PAPER = Catalogue.named("paper")

SPEC = GraphSpec("3f8a" * 16, "synthetic", np.array([1, 2, 6, 0, 0], np.int8), PAPER, BetaPrior())
SHARDS = shards_of(5, 2)
SPECS = [shard.spec(SPEC) for shard in SHARDS]
FEED = Lesson("DoS", "Audit", -1.5, 40.0, "feed")
TEAM = Lesson("Web", "Audit", 2.0, 10.0, "team")


def iteration(number: int) -> list[Keyed]:
    """Two tables; the second knows nothing of the second shard's signatures."""
    first = InteractionTable.tally([0, 1, 3, 4], [0, 3, 14, 2], [1, 2, 0, number % 8])
    second = InteractionTable.tally([0, 2], [1, 1], [2, 6], [number + 1, 1])
    tables = (first, second)
    return [Keyed(MergeKey("run", number, i), table) for i, table in enumerate(tables)]


def merge(folder: Path, *numbers: int, only: int | None = None) -> None:
    """Merges iterations into both shards, or into one of them, as if all ended then."""
    with folders.opened(folder, SPECS) as stores:
        for number in numbers:
            for i, part in enumerate(split(iteration(number), SPEC, SHARDS)):
                if only in (None, i):
                    stores[i].merge(part)


def whole(*numbers: int, lessons: tuple[Lesson, ...] = ()) -> KnowledgeGraph:
    graph = SPEC.new_graph()
    for number in numbers:
        graph.merge_all(iteration(number))
    if lessons:
        graph.teach(lessons)
    return graph


def same(graph: KnowledgeGraph, expected: KnowledgeGraph) -> bool:
    """Whether they tell the same; digests apart, which are made of slices'."""
    told, wanted = graph.state(), expected.state()
    merged = {
        key: replace(entry, digest=wanted.merged[key].digest) for key, entry in told.merged.items()
    }
    return replace(told, merged=merged).equals(wanted)


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    """A graph in two shards, of three iterations."""
    merge(tmp_path / "graph", 0, 1, 2)
    return tmp_path / "graph"


def test_a_cut_graph_is_read_as_one(cut: Path) -> None:
    graph, spec = folders.read(cut)

    assert sorted(path.name for path in cut.iterdir()) == ["0-of-2", "1-of-2"]
    assert same(graph, whole(0, 1, 2))
    SPEC.check_same(spec, "here")
    assert np.array_equal(spec.predicted, SPEC.predicted)


def test_a_graph_that_is_not_cut_is_read_as_ever(tmp_path: Path) -> None:
    with folders.opened(tmp_path, [SPEC]) as (only,):
        only.merge(iteration(0))

    assert folders.read(tmp_path)[0].state().equals(whole(0).state())
    assert (tmp_path / store.FILE).is_file()


@pytest.mark.parametrize("ahead", [0, 1])
def test_a_merge_that_did_not_come_to_all_shards_is_none(cut: Path, ahead: int) -> None:
    merge(cut, 3, only=ahead)
    assert same(folders.read(cut)[0], whole(0, 1, 2))

    merge(cut, 3)
    assert same(folders.read(cut)[0], whole(0, 1, 2, 3))


def test_history_is_that_of_the_graph_that_is_not_cut(cut: Path, tmp_path: Path) -> None:
    with folders.opened(tmp_path / "whole", [SPEC]) as (only,):
        for number in range(3):
            only.merge(iteration(number))

    for signature in range(5):
        points = confidence_of(tmp_path / "whole", signature)
        assert folders.confidence_of(cut, SPEC, signature) == points
        assert folders.confidence_of(tmp_path / "whole", SPEC, signature) == points
    with pytest.raises(KeyError, match="no signature 5; ids go from 0 to 4"):
        folders.confidence_of(cut, SPEC, 5)


def test_lessons_are_taught_to_all_shards_and_count_once(cut: Path) -> None:
    folders.teach(cut, SPEC, [FEED, TEAM])
    assert same(folders.read(cut)[0], whole(0, 1, 2, lessons=(FEED, TEAM)))
    assert folders.withdraw(cut, SPEC, "team") == 1

    for shard in SHARDS:
        graph, _ = store.read(shard.folder(cut))
        assert (graph.lessons, graph.version) == ((FEED,), 5)


@pytest.mark.parametrize("next_lesson", [FEED, TEAM])
def test_lessons_that_came_to_one_shard_alone_are_mended_by_the_next(
    cut: Path, next_lesson: Lesson
) -> None:
    with folders.opened(cut, SPECS) as (first, _):
        first.teach([FEED])

    folders.teach(cut, SPEC, [next_lesson])

    told = [store.read(shard.folder(cut))[0] for shard in SHARDS]
    assert told[0].lessons == told[1].lessons == tuple(dict.fromkeys([FEED, next_lesson]))
    assert told[0].version == told[1].version


def test_snapshots_are_read_back_and_restored(cut: Path, tmp_path: Path) -> None:
    with folders.opened(cut, SPECS) as stores:
        folders.save([each.state() for each in stores], SPECS, tmp_path / "saved")
    merge(cut, 3)

    graph, spec = folders.load_whole(tmp_path / "saved")
    states, specs = folders.load(tmp_path / "saved")
    aside = folders.restore(states, specs, cut, "run")

    assert same(graph, whole(0, 1, 2))
    assert same(folders.read(cut)[0], whole(0, 1, 2))
    assert aside is not None
    assert same(folders.read(aside)[0], whole(0, 1, 2, 3))
    assert spec.shard is None
    merge(cut, 3)
    assert same(folders.read(cut)[0], whole(0, 1, 2, 3))


def test_nothing_is_restored_over_a_shard_in_use(cut: Path, tmp_path: Path) -> None:
    with folders.opened(cut, SPECS) as stores:
        states = [each.state() for each in stores]
        with pytest.raises(InputError, match=r"0-of-2: is being written"):
            folders.restore(states, SPECS, cut, "run")

    assert same(folders.read(cut)[0], whole(0, 1, 2))


def _missing(cut: Path) -> None:
    shutil.rmtree(cut / "1-of-2")


def _exchanged(cut: Path) -> None:
    shutil.rmtree(cut / "1-of-2")
    shutil.copytree(cut / "0-of-2", cut / "1-of-2")


def _foreign(cut: Path) -> None:
    shutil.rmtree(cut / "1-of-2")
    with folders.opened(cut, [replace(SPECS[1], fingerprint="0" * 64)]):
        pass


def _several(cut: Path) -> None:
    with folders.opened(cut, [shards_of(5, 3)[0].spec(SPEC)]):
        pass


def _damaged(cut: Path) -> None:
    (cut / "1-of-2" / store.FILE).write_bytes(b"no database" * 1000)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (_missing, r"1-of-2: a shard of the graph is missing"),
        (_exchanged, r"1-of-2: is shard 0-of-2 of 2 signatures\. Expected shard 1-of-2"),
        (_foreign, r"1-of-2: belongs to scenario 000000000000"),
        (_several, r"holds shards of several graphs \(0-of-2, 0-of-3, 1-of-2\)"),
        (_damaged, r"1-of-2/graph\.sqlite: is damaged"),
    ],
)
def test_what_is_no_whole_graph_is_refused_by_name(
    cut: Path, harm: Callable[[Path], None], message: str
) -> None:
    harm(cut)

    with pytest.raises(InputError, match=message):
        folders.read(cut)


def test_a_damaged_shard_names_the_last_good_snapshot(cut: Path) -> None:
    saved = cut.parent / "checkpoints" / "15" / "graph"
    with folders.opened(cut, SPECS) as stores:
        folders.save([each.state() for each in stores], SPECS, saved)
    _damaged(cut)

    with pytest.raises(InputError) as refusal:
        folders.read(cut)

    assert f"{saved}: kirl graph restore {cut.parent}" in str(refusal.value)


def test_shards_that_merged_differently_for_good_are_refused(
    cut: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "ATTEMPTS", 2)
    monkeypatch.setattr(folders, "_level", lambda parts: [store.read(each) for each in parts])
    merge(cut, 3, only=0)

    with pytest.raises(InputError, match="hold different merges"):
        folders.read(cut)


def test_a_shard_alone_is_no_graph(cut: Path) -> None:
    with pytest.raises(InputError, match=r"is shard 0-of-2 of a graph\. Expected the whole graph"):
        folders.read(cut / "0-of-2")


def test_a_folder_keeps_its_number_of_shards(cut: Path, tmp_path: Path) -> None:
    folders.check_layout(cut, SHARDS)
    folders.check_layout(tmp_path / "new", SHARDS)

    for other in (1, 3):
        with pytest.raises(InputError, match=r"0-of-2: is in the way of a graph in \d shard"):
            folders.check_layout(cut, shards_of(5, other))


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    assert not folders.has_store(tmp_path)
    assert not folders.has_snapshot(tmp_path / "none")
    with pytest.raises(InputError, match="holds no knowledge graph"):
        folders.read(tmp_path)
