from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import PAPER, InputError, InteractionTable
from kg_actor import KnowledgeGraph, MergeKey
from kg_actor.store import load, save

PREDICTED = np.array([1, 2, 6], np.int8)
FINGERPRINT = "3f8a" * 16
FILES = ["merged.parquet", "signature_actual.parquet", "type_action.parquet"]


def empty() -> KnowledgeGraph:
    return KnowledgeGraph(PREDICTED, PAPER)


@pytest.fixture
def graph() -> KnowledgeGraph:
    graph = empty()
    graph.merge(InteractionTable.tally([0, 0, 2], [0, 0, 14], [1, 2, 6]), MergeKey("a", 0, 0))
    graph.merge(InteractionTable.tally([1], [14], [2], [2**60]), MergeKey("a", 0, 1))
    graph.merge(InteractionTable.empty(), MergeKey("b", 7, 0))
    return graph


@pytest.fixture
def saved(graph: KnowledgeGraph, tmp_path: Path) -> Path:
    save(graph, tmp_path / "graph", FINGERPRINT)
    return tmp_path / "graph"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_saved_is_loaded(graph: KnowledgeGraph, saved: Path) -> None:
    loaded = empty()

    load(loaded, saved, FINGERPRINT)

    assert loaded.counts().equals(graph.counts())
    assert loaded.merged == graph.merged
    assert loaded.version == 3
    assert names(saved) == FILES


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 14), st.integers(0, 7), st.integers(1, 2**40)),
        max_size=20,
    )
)
def test_any_graph_survives_the_disk(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int, int, int]]
) -> None:
    graph, loaded = empty(), empty()
    table = InteractionTable.tally(*np.array(rows, np.int64).reshape(-1, 4).T)
    graph.merge(table, MergeKey("run", 0, 0))
    folder = tmp_path_factory.mktemp("store") / "graph"

    save(graph, folder, FINGERPRINT)
    load(loaded, folder, FINGERPRINT)

    assert loaded.counts().equals(graph.counts())


def test_loaded_graph_does_not_merge_again_what_it_holds(saved: Path) -> None:
    loaded = empty()
    load(loaded, saved, FINGERPRINT)

    again = loaded.merge(InteractionTable.tally([0], [0], [1]), MergeKey("a", 0, 1))

    assert again is False


def test_saving_again_replaces_the_old_graph(saved: Path) -> None:
    save(empty(), saved, FINGERPRINT)

    loaded = empty()
    load(loaded, saved, FINGERPRINT)
    assert loaded.version == 0
    assert names(saved.parent) == ["graph"]


def test_failed_saving_leaves_the_old_graph(
    graph: KnowledgeGraph, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("kg_actor.store._write", full)
        with pytest.raises(InputError, match="No space left"):
            save(empty(), saved, FINGERPRINT)

    loaded = empty()
    load(loaded, saved, FINGERPRINT)
    assert loaded.counts().equals(graph.counts())
    assert names(saved.parent) == ["graph"]


def test_graph_of_another_scenario_is_refused_by_name(saved: Path) -> None:
    graph = empty()

    with pytest.raises(InputError, match=r"belongs to scenario 3f8a3f8a3f8a.*scenario 0000000000"):
        load(graph, saved, "0" * 64)

    assert graph.version == 0


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def overwrite(path: Path) -> None:
    path.write_text("not a table")


@pytest.mark.parametrize("damage", [truncate, overwrite, Path.unlink])
@pytest.mark.parametrize("name", FILES)
def test_damaged_file_is_refused_by_name_and_the_graph_stays_empty(
    saved: Path, name: str, damage: Callable[[Path], None]
) -> None:
    damage(saved / name)
    graph = empty()

    with pytest.raises(InputError, match=name):
        load(graph, saved, FINGERPRINT)

    assert graph.version == 0
    assert graph.counts().equals(empty().counts())


@pytest.mark.parametrize(("source", "target"), list(permutations(FILES, 2)))
def test_files_that_took_each_others_places_are_refused(
    saved: Path, source: str, target: str
) -> None:
    (saved / target).write_bytes((saved / source).read_bytes())

    with pytest.raises(InputError):
        load(empty(), saved, FINGERPRINT)


@pytest.mark.parametrize(
    ("signature", "actual", "count"),
    [([3], [0], [5]), ([-1], [0], [5]), ([0], [8], [5]), ([0], [0], [-5]), ([0], [0], [None])],
    ids=["signature-too-high", "signature-negative", "actual-too-high", "count<1", "count-missing"],
)
def test_records_that_do_not_fit_the_scenario_are_refused(
    saved: Path, signature: list[int], actual: list[int], count: list[int | None]
) -> None:
    columns = {"signature": signature, "actual": actual, "count": pa.array(count, pa.int64())}
    table = pa.table(columns).replace_schema_metadata({"kirl.fingerprint": FINGERPRINT})
    pq.write_table(table, saved / "signature_actual.parquet")

    with pytest.raises(InputError):
        load(empty(), saved, FINGERPRINT)
