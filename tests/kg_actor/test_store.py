"""The store on a real disk: what returns is kept, a key counts once, trouble is named."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import PAPER, BetaPrior, InputError, InteractionTable
from kg_actor import GraphSpec, GraphState, Keyed, KnowledgeGraph, Lesson, MergeKey, snapshot, store
from kg_actor.database import FILE
from kg_actor.history import read_journal
from kg_actor.store import GraphStore, read

SPEC = GraphSpec("3f8a" * 16, "synthetic", np.array([1, 2, 6], np.int8), PAPER, BetaPrior())
FEED = Lesson("DoS", "Audit", -1.5, 40.0, "feed")

rows = st.tuples(st.integers(0, 2), st.integers(0, 14), st.integers(0, 7), st.integers(1, 2**40))
tables = st.lists(rows, max_size=8).map(
    lambda part: InteractionTable.tally(*np.array(part, np.int64).reshape(-1, 4).T)
)


def table(count: int) -> InteractionTable:
    """``count`` flows, some of them misdetected."""
    return InteractionTable.tally([0, 0, 1], [0, 3, 14], [1, 2, 2], [count, count, 1])


def iteration(number: int, run: str = "run", runners: int = 2) -> list[Keyed]:
    keys = [MergeKey(run, number, runner) for runner in range(runners)]
    return [Keyed(key, table(7 * number + key.runner + 1)) for key in keys]


def graph_of(*merges: list[Keyed], spec: GraphSpec = SPEC) -> KnowledgeGraph:
    graph = spec.new_graph()
    for merge in merges:
        graph.merge_all(merge)
    return graph


def same(left: KnowledgeGraph, right: KnowledgeGraph) -> bool:
    return left.state().equals(right.state())


def now(opened: GraphStore) -> KnowledgeGraph:
    graph = opened.spec.new_graph()
    graph.restore(opened.state())
    return graph


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[GraphStore]:
    opened = GraphStore.open(tmp_path / "graph", SPEC)
    yield opened
    opened.close()


def test_what_was_merged_is_there_when_the_store_is_opened_again(tmp_path: Path) -> None:
    first = GraphStore.open(tmp_path / "graph", SPEC)
    for number in range(3):
        first.merge(iteration(number))
    first.teach([FEED])
    first.merge(iteration(3))
    before = now(first)
    first.close()

    again = GraphStore.open(tmp_path / "graph", SPEC)

    assert same(now(again), before)
    assert again.counts().version == 5
    again.close()


def test_a_merge_that_is_repeated_counts_once(opened: GraphStore) -> None:
    opened.merge(iteration(0))
    counts = opened.merge(iteration(0))
    some = opened.merge([*iteration(0), *iteration(1)])

    assert counts.version == 1
    assert some.equals(graph_of(iteration(0), iteration(1)).counts())


@given(st.lists(tables, min_size=1, max_size=5), st.data())
def test_any_order_and_repetition_of_merges_leaves_the_same_store(
    tmp_path_factory: pytest.TempPathFactory, parts: list[InteractionTable], data: st.DataObject
) -> None:
    merges = [Keyed(MergeKey("run", i // 2, i % 2), part) for i, part in enumerate(parts)]
    order = data.draw(st.permutations(merges + data.draw(st.lists(st.sampled_from(merges)))))
    folder = tmp_path_factory.mktemp("store")
    opened = GraphStore.open(folder, SPEC)
    for keyed in order:
        opened.merge([keyed])
        if data.draw(st.booleans()):
            opened.close()
            opened = GraphStore.open(folder, SPEC)
    opened.close()

    graph, _ = read(folder)

    assert graph.counts().equals(graph_of(merges).counts())
    assert set(graph.merged) == {keyed.key for keyed in merges}


def test_a_table_that_does_not_fit_leaves_nothing_behind(opened: GraphStore) -> None:
    stranger = Keyed(MergeKey("run", 1, 2), InteractionTable.tally([3], [0], [0]))

    with pytest.raises(ValueError, match="context must be in 0"):
        opened.merge([*iteration(1), stranger])

    assert read(opened.folder)[0].version == opened.counts().version == 0


def test_others_may_read_while_it_is_written(opened: GraphStore) -> None:
    opened.merge(iteration(0))

    graph, spec = read(opened.folder)
    opened.merge(iteration(1))

    assert same(graph, graph_of(iteration(0)))
    assert spec.to_json() == SPEC.to_json()


def test_a_copy_without_its_log_can_be_read_where_nothing_can_be_written(tmp_path: Path) -> None:
    opened = GraphStore.open(tmp_path / "graph", SPEC)
    opened.merge(iteration(0))
    opened.close()
    left = sorted(path.name for path in (tmp_path / "graph").iterdir())
    (tmp_path / "graph").chmod(0o500)

    try:
        assert same(read(tmp_path / "graph")[0], graph_of(iteration(0)))
    finally:
        (tmp_path / "graph").chmod(0o700)
    assert left == [FILE, "lock"]


WRITER = """
import sys
from pathlib import Path
import numpy as np
from envs import PAPER, BetaPrior, InteractionTable
from kg_actor import GraphSpec, Keyed, MergeKey
from kg_actor.store import GraphStore

predicted = np.array([1, 2, 6], np.int8)
spec = GraphSpec("3f8a" * 16, "synthetic", predicted, PAPER, BetaPrior())
store = GraphStore.open(Path(sys.argv[1]), spec, wait=20)
for number in range(100_000):
    table = InteractionTable.tally([0, 2], [3, 14], [1, 2], [number + 1, 1])
    store.merge([Keyed(MergeKey("run", number, 0), table)])
    print(number, flush=True)
"""


def test_a_writer_killed_at_any_moment_loses_nothing_it_has_reported(tmp_path: Path) -> None:
    """Six lives, each killed with SIGKILL while merging as fast as it can."""
    folder, rng, known = tmp_path / "graph", np.random.default_rng(0), 0
    for _ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        reported = [int(writer.stdout.readline())]
        time.sleep(float(rng.uniform(0, 0.15)))
        writer.kill()
        reported += map(int, writer.stdout.read().split())
        assert writer.wait() == -signal.SIGKILL
        known = max(known, reported[-1] + 1)

        graph, _ = read(folder)

        merged = sorted(key.iteration for key in graph.merged)
        assert merged == list(range(len(merged)))
        # The merge that it was at may have reached the disk unreported.
        assert len(merged) in (known, known + 1)
        known = len(merged)
        assert graph.counts().signature_actual[0, 1] == known * (known + 1) // 2
        assert graph.counts().signature_actual[2, 2] == known


def test_one_process_writes_at_a_time(opened: GraphStore) -> None:
    with pytest.raises(InputError, match="being written by another process"):
        GraphStore.open(opened.folder, SPEC)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"fingerprint": "0" * 64}, "belongs to scenario 3f8a3f8a3f8a. Expected .* 000000000000"),
        ({"prior": BetaPrior(2, 1)}, "the prior"),
        ({"half_life": 9.0}, "the half-life"),
    ],
)
def test_a_store_of_another_kind_is_refused(
    tmp_path: Path, changed: dict[str, object], message: str
) -> None:
    GraphStore.open(tmp_path / "graph", SPEC).close()

    with pytest.raises(InputError, match=message):
        GraphStore.open(tmp_path / "graph", replace(SPEC, **changed))

    GraphStore.open(tmp_path / "graph", SPEC).close()


def garble_pages(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    path.write_bytes(data)


def garble_header(path: Path) -> None:
    path.write_bytes(b"not a database, surely" * 500)


def garble_interactions(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE merges SET interactions = x'00ff' WHERE version = 2")


def swap_interactions(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(
            "UPDATE merges SET interactions = (SELECT interactions FROM merges WHERE version = 1)"
        )


def flip_a_bit_in_a_base(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        [(state,)] = connection.execute("SELECT state FROM bases ORDER BY version DESC LIMIT 1")
        flipped = bytearray(state)
        flipped[-12] ^= 4
        connection.execute("UPDATE bases SET state = ?", (bytes(flipped),))


def tell_of_other_signatures(path: Path) -> None:
    change_spec(path, predicted=[1, 2, 300])


def nest_the_spec(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE about SET spec = ?", ("[" * 100_000,))


def forge_a_lesson(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO lessons VALUES ('x', 'DoS', 'Audit', 'much', 1)")


def forge_a_number(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE merges SET flows = 'many' WHERE version = 2")


def claim_a_terabyte(path: Path) -> None:
    huge = (2**40).to_bytes(8, "little") + b"\x28\xb5\x2f\xfd"
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE merges SET interactions = ? WHERE version = 2", (huge,))


def change_spec(path: Path, **changed: object) -> None:
    with sqlite3.connect(path) as connection:
        [(text,)] = connection.execute("SELECT spec FROM about")
        spec = json.dumps({**json.loads(text), **changed})
        connection.execute("UPDATE about SET spec = ?", (spec,))


def lose_a_merge(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE merges SET flows = flows + 1 WHERE version = 1")


@pytest.mark.parametrize(
    "damage",
    [
        *(garble_pages, garble_header, garble_interactions, swap_interactions, lose_a_merge),
        *(flip_a_bit_in_a_base, tell_of_other_signatures, nest_the_spec, forge_a_lesson),
        *(forge_a_number, claim_a_terabyte),
    ],
)
def test_a_damaged_store_is_refused_and_the_last_good_snapshot_offered(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    opened = GraphStore.open(tmp_path / "graph", SPEC)
    opened.merge(iteration(0))
    good = tmp_path / "checkpoints" / "15" / "graph"
    snapshot.save(opened.state(), SPEC, good)
    opened.merge(iteration(1))
    if damage is flip_a_bit_in_a_base:
        opened.teach([FEED])  # writes a base
    opened.close()

    damage(tmp_path / "graph" / FILE)

    for use in (
        lambda: GraphStore.open(tmp_path / "graph", SPEC),
        lambda: read(tmp_path / "graph"),
    ):
        with pytest.raises(InputError, match="is damaged") as refusal:
            use()
        assert str(good) in str(refusal.value)
        assert "kirl graph restore" in str(refusal.value)


def test_a_file_that_is_something_else_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")

    for use in (lambda: GraphStore.open(tmp_path, SPEC), lambda: read(tmp_path)):
        with pytest.raises(InputError, match="not a knowledge graph of kirl"):
            use()


def test_a_view_in_a_tables_place_is_refused_before_it_computes(tmp_path: Path) -> None:
    GraphStore.open(tmp_path, SPEC).close()
    endless = (
        "CREATE VIEW merges AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)"
        " SELECT x AS version FROM n"
    )
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("DROP TABLE merges")
        connection.execute(endless)

    for use in (lambda: GraphStore.open(tmp_path, SPEC), lambda: read(tmp_path)):
        with pytest.raises(InputError, match="not a knowledge graph of kirl"):
            use()


@pytest.mark.parametrize(
    "changed",
    [
        {"prior": {"alpha": -1, "beta": 1}},
        {"half_life": 0},
        {"half_life": float("inf")},
        {"kind": "\x1b[31mreal"},
        {"fingerprint": 7},
        {"predicted": [0.5, 1, 2]},
        {"predicted": []},
        {"catalogue": {"actions": [], "classes": []}},
    ],
)
def test_a_spec_that_makes_no_sense_is_damage(tmp_path: Path, changed: dict[str, object]) -> None:
    GraphStore.open(tmp_path, SPEC).close()
    change_spec(tmp_path / FILE, **changed)

    with pytest.raises(InputError, match="is damaged"):
        read(tmp_path)


def test_a_missing_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no knowledge graph"):
        read(tmp_path)


def test_a_place_that_cannot_be_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(InputError, match="cannot be used"):
        GraphStore.open(tmp_path / "file" / "graph", SPEC)


def test_a_store_that_has_become_read_only_is_named(opened: GraphStore) -> None:
    opened._connection.execute("PRAGMA query_only = ON")

    with pytest.raises(InputError, match=r"is read-only.*Make folder and files writable"):
        opened.merge(iteration(0))

    opened._connection.execute("PRAGMA query_only = OFF")
    assert opened.merge(iteration(0)).version == 1


def test_a_full_disk_is_named_and_loses_nothing(opened: GraphStore) -> None:
    """SQLite's own limit on pages gives SQLite's own error."""
    opened.merge(iteration(0))
    pages = opened._connection.execute("PRAGMA page_count").fetchone()[0]
    opened._connection.execute(f"PRAGMA max_page_count = {pages}")
    many = [Keyed(MergeKey("run", 1, i), table(i + 1)) for i in range(500)]

    with pytest.raises(InputError, match=r"the disk is full.*nothing merged was lost"):
        opened.merge(many)

    assert same(now(opened), graph_of(iteration(0)))
    opened._connection.execute("PRAGMA max_page_count = 1000000")
    assert opened.merge(many).equals(graph_of(iteration(0), many).counts())


def test_a_file_that_another_program_holds_is_named(opened: GraphStore) -> None:
    opened._connection.execute("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(opened.folder / FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(InputError, match="is locked"):
        opened.merge(iteration(0))

    other.execute("ROLLBACK")
    other.close()
    assert opened.merge(iteration(0)).version == 1


def test_restoring_a_checkpoint_drops_later_merges(opened: GraphStore) -> None:
    opened.merge(iteration(0))
    checkpoint = opened.state()
    opened.merge(iteration(1))
    opened.merge(iteration(2))

    opened.restore(checkpoint, "run")

    assert same(now(opened), graph_of(iteration(0)))
    assert same(read(opened.folder)[0], graph_of(iteration(0)))
    opened.merge(iteration(1))
    assert same(read(opened.folder)[0], graph_of(iteration(0), iteration(1)))


def test_a_checkpoint_restores_a_store_that_was_lost(opened: GraphStore, tmp_path: Path) -> None:
    for number in range(3):
        opened.merge(iteration(number))
    opened.teach([FEED])
    checkpoint = opened.state()

    other = GraphStore.open(tmp_path / "new", SPEC)
    other.restore(checkpoint, "run")
    other.merge(iteration(2))
    other.merge(iteration(3))
    other.close()

    again, _ = read(tmp_path / "new")
    assert again.counts().equals(graph_of(*map(iteration, range(4))).counts())
    assert again.lessons == (FEED,)


def test_restoring_leaves_what_was_taught_since(opened: GraphStore) -> None:
    opened.merge(iteration(0))
    checkpoint = opened.state()
    opened.teach([FEED])
    opened.merge(iteration(1))

    opened.restore(checkpoint, "run")

    assert opened.state().lessons == (FEED,)
    assert opened.counts().equals(graph_of(iteration(0)).counts())


def test_going_back_in_a_shared_graph_takes_out_ones_own_merges_alone(opened: GraphStore) -> None:
    opened.merge(iteration(0, "mine"))
    opened.merge(iteration(0, "theirs"))
    checkpoint = opened.state()
    opened.merge(iteration(1, "mine"))
    opened.merge(iteration(1, "theirs"))
    version = opened.counts().version

    opened.restore(checkpoint, "mine")

    left = graph_of(iteration(0, "mine"), iteration(0, "theirs"), iteration(1, "theirs"))
    assert opened.counts().equals(left.counts())
    assert opened.counts().version == version + 1
    assert same(read(opened.folder)[0], now(opened))
    # What another run asked for before must be asked again.
    assert set(opened.state().changes.signature) == {version + 1}


def test_a_shared_graph_that_lacks_the_checkpoints_merges_is_refused(
    opened: GraphStore, tmp_path: Path
) -> None:
    opened.merge(iteration(0, "mine"))
    checkpoint = opened.state()
    other = GraphStore.open(tmp_path / "new", SPEC)
    other.merge(iteration(0, "theirs"))

    with pytest.raises(InputError, match="lacks merges of the checkpoint"):
        other.restore(checkpoint, "mine")

    assert other.counts().equals(graph_of(iteration(0, "theirs")).counts())
    other.close()


def test_two_runs_that_share_a_graph_may_both_go_back(opened: GraphStore) -> None:
    """Neither undoes the other's going back, nor what the other has merged since."""
    opened.merge(iteration(0, "mine"))
    opened.merge(iteration(0, "theirs"))
    their_checkpoint = opened.state()
    opened.merge(iteration(1, "theirs"))
    my_checkpoint = opened.state()
    opened.merge(iteration(1, "mine"))
    opened.restore(their_checkpoint, "theirs")
    anew = [Keyed(MergeKey("theirs", 1, 0), table(99))]
    opened.merge(anew)

    opened.restore(my_checkpoint, "mine")

    left = graph_of(iteration(0, "mine"), iteration(0, "theirs"), anew)
    assert opened.counts().equals(left.counts())
    opened.merge([Keyed(MergeKey("theirs", 2, 0), table(5))])
    assert same(read(opened.folder)[0], now(opened))


def test_going_back_to_a_checkpoint_with_lessons_is_exact(opened: GraphStore) -> None:
    opened.teach([FEED])
    opened.merge(iteration(0))
    checkpoint = opened.state()
    opened.merge(iteration(1))

    opened.restore(checkpoint, "run")

    assert opened.state().equals(checkpoint)


def test_merges_can_be_taken_out_before_and_after_folding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "BASE_EVERY", 4)
    monkeypatch.setattr(store, "KEEP", 8)
    opened = GraphStore.open(tmp_path, SPEC)
    merges = []
    for number in range(40):
        run = "mine" if number % 3 == 0 else "theirs"
        checkpoint = opened.state()
        opened.merge(iteration(number, run))
        merges.append(iteration(number, run))
        if number % 7 == 6:
            opened.restore(checkpoint, "mine")
            if run == "mine":
                merges.pop()

    assert opened.counts().equals(graph_of(*merges).counts())
    assert same(read(tmp_path)[0], now(opened))
    opened.close()


@given(st.data())
def test_any_history_of_merges_teaching_and_going_back_is_what_is_on_disk(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    half_life = data.draw(st.sampled_from([None, 50.0]))
    spec = replace(SPEC, half_life=half_life)
    opened = GraphStore.open(tmp_path_factory.mktemp("store"), spec)
    checkpoints: list[GraphState] = [opened.state()]
    for number in range(data.draw(st.integers(1, 8))):
        step = data.draw(st.sampled_from(["merge", "merge", "teach", "withdraw", "keep", "back"]))
        if step == "merge":
            opened.merge([Keyed(MergeKey("run", number, 0), data.draw(tables))])
        elif step == "teach":
            opened.teach([FEED])
        elif step == "withdraw":
            opened.withdraw("feed")
        elif step == "keep":
            checkpoints.append(opened.state())
        else:
            opened.restore(data.draw(st.sampled_from(checkpoints)), "run")
        assert same(read(opened.folder)[0], now(opened))
    opened.close()


def test_old_tables_are_folded_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "BASE_EVERY", 4)
    monkeypatch.setattr(store, "KEEP", 8)
    opened = GraphStore.open(tmp_path / "graph", SPEC)
    for number in range(30):
        opened.merge(iteration(number, runners=1))
    opened.close()

    with sqlite3.connect(tmp_path / "graph" / FILE) as connection:
        kept = connection.execute("SELECT count(interactions), count(*) FROM merges").fetchone()
    again = GraphStore.open(tmp_path / "graph", SPEC)

    assert kept == (10, 30)
    assert same(now(again), graph_of(*[iteration(i, runners=1) for i in range(30)]))
    assert again.merge(iteration(3, runners=1)).version == 30
    again.close()


def test_the_journal_tells_the_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BASE_EVERY", 4)
    monkeypatch.setattr(store, "KEEP", 4)
    opened = GraphStore.open(tmp_path, SPEC)
    for number in range(10):
        opened.merge(iteration(number, runners=1))
    opened.close()

    told = read_journal(tmp_path)

    assert [counts.version for counts in told.folded] == [4]
    assert [version for version, _ in told.tables] == [5, 6, 7, 8, 9, 10]
    assert told.tables[0][1] == iteration(4, runners=1)[0].table
    assert told.spec.to_json() == SPEC.to_json()


def test_a_moved_store_is_the_same_store(opened: GraphStore, tmp_path: Path) -> None:
    opened.merge(iteration(0))
    opened.close()
    shutil.move(opened.folder, tmp_path / "moved")

    moved = GraphStore.open(tmp_path / "moved", SPEC)

    assert moved.merge(iteration(0)).version == 1
    moved.close()


def test_no_graph_is_begun_beside_the_shards_of_another(tmp_path: Path) -> None:
    (tmp_path / "0-of-2").mkdir()
    (tmp_path / "1-of-2").mkdir()

    with pytest.raises(InputError, match=r"belongs to a graph in shards.*no longer supports"):
        GraphStore.open(tmp_path, SPEC)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["0-of-2", "1-of-2"]
