from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import PAPER, BetaPrior, InputError, InteractionTable
from envs.files import sha256
from kg_actor import GraphSpec, KnowledgeGraph, Lesson, MergeKey
from kg_actor.snapshot import load, newest, save

SPEC = GraphSpec("3f8a" * 16, "synthetic", np.array([1, 2, 6], np.int8), PAPER, BetaPrior())
TABLES = ["context_actual", "lessons", "merged", "signatures", "type_action"]
FILES = [f"{name}.parquet" for name in TABLES]

rows = st.tuples(st.integers(0, 2), st.integers(0, 14), st.integers(0, 7), st.integers(1, 2**40))


@pytest.fixture
def graph() -> KnowledgeGraph:
    graph = SPEC.new_graph()
    graph.merge(InteractionTable.tally([0, 0, 2], [0, 0, 14], [1, 2, 6]), MergeKey("a", 0, 0))
    graph.merge(InteractionTable.tally([1], [14], [2], [2**60]), MergeKey("a", 0, 1))
    graph.merge(InteractionTable.empty(), MergeKey("b", 7, 0))
    graph.teach([Lesson("DoS", "Audit", -1.5, 40.0, "team"), Lesson("Web", "Audit", 3, 1, "feed")])
    return graph


@pytest.fixture
def saved(graph: KnowledgeGraph, tmp_path: Path) -> Path:
    save(graph.state(), SPEC, tmp_path / "graph")
    return tmp_path / "graph"


def same(left: KnowledgeGraph, right: KnowledgeGraph) -> bool:
    return left.state().equals(right.state())


def loaded(folder: Path) -> KnowledgeGraph:
    state, spec = load(folder)
    graph = spec.new_graph()
    graph.restore(state)
    return graph


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_saved_is_loaded(graph: KnowledgeGraph, saved: Path) -> None:
    assert same(loaded(saved), graph)
    assert names(saved) == sorted(["graph.json", *FILES])


def test_a_snapshot_says_itself_what_it_is_about(saved: Path) -> None:
    _, spec = load(saved)

    assert spec.to_json() == SPEC.to_json()


@given(st.lists(st.lists(rows, max_size=8), max_size=5), st.sampled_from([None, 5.0, 1e12]))
def test_any_graph_survives_the_disk(
    tmp_path_factory: pytest.TempPathFactory,
    parts: list[list[tuple[int, int, int, int]]],
    half_life: float | None,
) -> None:
    spec = replace(SPEC, half_life=half_life)
    graph = spec.new_graph()
    for number, part in enumerate(parts):
        table = InteractionTable.tally(*np.array(part, np.int64).reshape(-1, 4).T)
        graph.merge(table, MergeKey("run", number, 0))
    folder = tmp_path_factory.mktemp("snapshot") / "graph"

    save(graph.state(), spec, folder)

    assert same(loaded(folder), graph)


def test_loaded_graph_does_not_merge_again_what_it_holds(saved: Path) -> None:
    again = loaded(saved).merge(
        InteractionTable.tally([1], [14], [2], [2**60]), MergeKey("a", 0, 1)
    )

    assert again is False


def test_saving_again_replaces_the_old_graph(saved: Path) -> None:
    save(SPEC.new_graph().state(), SPEC, saved)

    assert loaded(saved).version == 0
    assert names(saved.parent) == ["graph"]


def test_failed_saving_leaves_the_old_graph(
    graph: KnowledgeGraph, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", full)
        with pytest.raises(InputError, match="No space left"):
            save(SPEC.new_graph().state(), SPEC, saved)

    assert same(loaded(saved), graph)
    assert names(saved.parent) == ["graph"]


def test_the_newest_of_a_runs_snapshots_is_found(graph: KnowledgeGraph, tmp_path: Path) -> None:
    assert newest(tmp_path) is None
    for flows in (900, 1000):
        save(graph.state(), SPEC, tmp_path / "checkpoints" / str(flows) / "graph")

    assert newest(tmp_path) == tmp_path / "checkpoints" / "1000" / "graph"


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def overwrite(path: Path) -> None:
    path.write_text("not a table")


@pytest.mark.parametrize("damage", [truncate, overwrite, Path.unlink])
@pytest.mark.parametrize("name", ["graph.json", *FILES])
def test_damaged_file_is_refused_by_name(
    saved: Path, name: str, damage: Callable[[Path], None]
) -> None:
    damage(saved / name)

    with pytest.raises(InputError, match=name):
        load(saved)


@pytest.mark.parametrize(("source", "target"), list(permutations(FILES, 2)))
def test_files_that_took_each_others_places_are_refused(
    saved: Path, source: str, target: str
) -> None:
    (saved / target).write_bytes((saved / source).read_bytes())

    with pytest.raises(InputError, match=target):
        load(saved)


def forge(folder: Path, name: str, table: pa.Table) -> None:
    """Changes a table and its hash, as someone would who means harm."""
    pq.write_table(table, folder / f"{name}.parquet")
    about = json.loads((folder / "graph.json").read_text())
    about["sha256"][name] = sha256(folder / f"{name}.parquet")
    (folder / "graph.json").write_text(json.dumps(about))


@pytest.mark.parametrize(
    ("signature", "actual", "count"),
    [([3], [0], [5]), ([-1], [0], [5]), ([0], [8], [5]), ([0], [0], [-5]), ([0], [0], [None])],
    ids=["signature-too-high", "signature-negative", "actual-too-high", "count<1", "count-missing"],
)
def test_records_that_do_not_fit_the_scenario_are_refused(
    saved: Path, signature: list[int], actual: list[int], count: list[int | None]
) -> None:
    columns = {"signature": signature, "actual": actual, "count": pa.array(count, pa.int64())}
    forge(saved, "context_actual", pa.table(columns))

    with pytest.raises(InputError, match="do not fit together"):
        load(saved)


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        ("lessons", "action", "Pray"),
        ("lessons", "weight", float("nan")),
        ("lessons", "provenance", "a\nb"),
        ("merged", "flows", 1),
        ("type_action", "action", 15),
    ],
)
def test_forged_values_are_refused(saved: Path, name: str, column: str, value: object) -> None:
    table = pq.read_table(saved / f"{name}.parquet")
    place = table.column_names.index(column)
    forged = pa.array([value] * len(table), table.schema.field(column).type)
    forge(saved, name, table.set_column(place, column, forged))

    with pytest.raises(InputError, match="do not fit together"):
        load(saved)


@pytest.mark.parametrize("version", [-3, 1, 2**80, float("inf"), "4", None])
def test_a_version_that_cannot_be_is_refused(saved: Path, version: object) -> None:
    about = json.loads((saved / "graph.json").read_text())
    about["version"] = version
    (saved / "graph.json").write_text(json.dumps(about))

    with pytest.raises(InputError, match="do not fit together"):
        load(saved)


def test_types_that_count_other_flows_than_signatures_are_refused(saved: Path) -> None:
    table = pq.read_table(saved / "type_action.parquet")
    forge(saved, "type_action", table.slice(0, 1))

    with pytest.raises(InputError, match="contexts and types count different flows"):
        load(saved)


def test_a_small_file_that_unpacks_to_much_is_refused_unread(saved: Path) -> None:
    forge(saved, "signatures", pa.table({"version": np.zeros(5_000_000, np.int64)}))
    assert (saved / "signatures.parquet").stat().st_size < 2**20

    with pytest.raises(InputError, match="larger than it can be"):
        load(saved)
