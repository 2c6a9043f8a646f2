"""``kirl graph`` on a run's folder, a graph's own, a snapshot and a live actor."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import networkx as nx
import pyarrow.parquet as pq
import pytest
import stix2
from click.testing import Result
from typer.testing import CliRunner

from envs import InputError, InteractionTable, Scenario
from kg_actor import GraphSpec, Keyed, MergeKey, snapshot
from kg_actor.client import start
from kg_actor.database import FILE
from kg_actor.lesson_files import read_lessons
from kg_actor.store import GraphStore
from rayapp.commands.graph import app
from rayapp.config import TrainingSettings
from rayapp.runs import graphs
from rayapp.runs.folder import RunFolder, RunManifest

CSV = "type,action,reward,weight\nDoS,Audit,1.5,40\nweb,M1051,-2,10\n"


def run(*arguments: object) -> Result:
    """Runs a command that must work."""
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def asked(*arguments: object) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(run(*arguments, "--json").stdout)
    return answer


def refused(*arguments: object) -> str:
    """What a command says that must be refused."""
    with pytest.raises(InputError) as refusal:
        CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    return str(refusal.value)


@pytest.fixture(scope="module")
def spec(scenario: Scenario) -> GraphSpec:
    return GraphSpec.of(scenario)


@pytest.fixture(scope="module")
def trained(scenario: Scenario, spec: GraphSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with three merges, and a checkpoint's snapshot after the second."""
    folder = RunFolder(tmp_path_factory.mktemp("graphs") / "run")
    scenario.copy_to(folder.scenario_folder)
    settings = TrainingSettings(flows=600)
    folder.write(
        RunManifest(
            name="run-1", settings=settings, fingerprint=scenario.fingerprint, kind=scenario.kind
        )
    )
    opened = GraphStore.open(folder.graph_folder, spec)
    signature, actual = scenario.test
    for number in range(3):
        table = InteractionTable.tally(signature, (actual + number) % 15, actual)
        opened.merge([Keyed(MergeKey("run-1", number, 0), table)])
        if number == 1:
            snapshot.save(opened.state(), spec, folder.path / "checkpoints" / "400" / "graph")
    opened.close()
    return folder.path


@pytest.fixture
def mine(trained: Path, tmp_path: Path) -> Path:
    """A run of one's own, to change."""
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def test_a_graph_is_found_wherever_it_is(trained: Path, scenario: Scenario) -> None:
    flows = len(scenario.test[0])
    snapshot_folder = trained / "checkpoints" / "400" / "graph"

    for source, merges in ((trained, 3), (trained / "graph", 3), (snapshot_folder, 2)):
        told = asked("stats", source)
        assert told["merges"] == merges
        assert told["flows"] == merges * flows
        assert told["kind"] == "synthetic"


def test_stats_are_told_as_a_table(trained: Path, scenario: Scenario) -> None:
    told = run("stats", trained).stdout

    assert "synthetic" in told
    assert f"{3 * len(scenario.test[0]):,} flows in 3 tables of 1 run(s)" in told


def test_every_question_has_its_answer(trained: Path) -> None:
    wrong = asked("query", trained, "--error-prone", 3)["answers"]
    signature = asked("query", trained, "--signature", wrong[0]["signature"])
    traffic = asked("query", trained, "--traffic", signature["predicted"])
    top = asked("query", trained, "--top", 2)["answers"]
    history = asked("query", trained, "--history", signature["signature"])["answers"]
    changed = asked("query", trained, "--since", 3)["answers"]

    assert [one["wrong"] for one in wrong] == sorted((one["wrong"] for one in wrong), reverse=True)
    assert signature["seen"] - signature["correct"] == wrong[0]["wrong"]
    assert signature["signature"] in [one["signature"] for one in traffic["signatures"]]
    assert all(len(one["actions"]) <= 2 for one in top)
    assert [point["version"] for point in history] == [1, 2, 3]
    assert history[-1]["confidence"] == signature["confidence"]
    assert changed == []


@pytest.mark.parametrize(
    "question",
    [
        ("--signature", "0"),
        ("--traffic", "DoS"),
        ("--top", "2"),
        ("--error-prone", "2"),
        ("--history", "0"),
        ("--since", "0"),
    ],
)
def test_every_answer_is_also_a_table(trained: Path, question: tuple[str, str]) -> None:
    assert "━" in run("query", trained, *question).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "0 questions are asked"),
        (("--signature", "0", "--top", "3"), "2 questions are asked"),
        (("--signature", "9999"), "no signature 9999"),
        (("--history", "-1"), "no signature -1"),
        (("--traffic", "Worm"), "Worm"),
        (("--top", "0"), "0 is not a number of answers"),
    ],
)
def test_other_questions_are_refused(
    trained: Path, arguments: tuple[str, ...], message: str
) -> None:
    assert message in refused("query", trained, *arguments)


def test_a_snapshot_has_no_history_and_learns_nothing(trained: Path, tmp_path: Path) -> None:
    folder = trained / "checkpoints" / "400" / "graph"
    (tmp_path / "lessons.csv").write_text(CSV)

    assert "has no history" in refused("query", folder, "--history", 0)
    assert "never changed" in refused(
        "import", folder, tmp_path / "lessons.csv", "--provenance", "team"
    )


@pytest.mark.parametrize("ending", ["html", "svg", "png"])
@pytest.mark.parametrize("what", [(), ("--signature", "0"), ("--traffic", "DoS")])
def test_show_draws_pages_and_pictures(
    trained: Path, tmp_path: Path, ending: str, what: tuple[str, ...]
) -> None:
    out = tmp_path / f"graph.{ending}"

    run("show", trained, "--out", out, *what)

    content = out.read_bytes()
    assert content.startswith({"html": b"<!DOCTYPE", "svg": b"<?xml", "png": b"\x89PNG"}[ending])
    if ending != "png":
        assert b"ynthetic" in content


def test_exports_are_read_back_by_other_tools(trained: Path, tmp_path: Path) -> None:
    nodes = sum(asked("stats", trained)["nodes"].values())

    for name in ("g.graphml", "g.json", "g.parquet", "g.stix.json"):
        run("export", trained, "--out", tmp_path / name)

    assert len(nx.read_graphml(tmp_path / "g.graphml")) == nodes
    data = json.loads((tmp_path / "g.json").read_text())
    assert len(nx.node_link_graph(data, edges="edges")) == nodes
    assert pq.read_table(tmp_path / "g.parquet" / "nodes.parquet").num_rows == nodes
    bundle = stix2.parse((tmp_path / "g.stix.json").read_text(), allow_custom=False)
    assert any(each["type"] == "course-of-action" for each in bundle.objects)


def test_a_name_that_tells_no_format_is_refused(trained: Path, tmp_path: Path) -> None:
    assert "does not say which format" in refused("export", trained, "--out", tmp_path / "graph")
    run("export", trained, "--out", tmp_path / "graph", "--format", "graphml")
    assert (tmp_path / "graph").read_text().startswith("<?xml")


def test_diff_tells_what_a_snapshot_lacks(trained: Path, scenario: Scenario) -> None:
    before = trained / "checkpoints" / "400" / "graph"
    flows = len(scenario.test[0])

    told = asked("diff", before, trained)

    assert told["flows"] == [2 * flows, 3 * flows]
    assert told["merges_gained"] == [["run-1", 2, 0]]
    assert told["merges_lost"] == []
    assert "2 " in run("diff", before, trained).stdout


def test_lessons_are_taught_marked_and_withdrawn(mine: Path, tmp_path: Path) -> None:
    before = asked("query", mine, "--traffic", "DoS")
    (tmp_path / "lessons.csv").write_text(CSV)

    for _ in range(2):  # the second time replaces the first
        told = asked("import", mine, tmp_path / "lessons.csv", "--provenance", "red-team")
        assert told == {"taught": 2, "sources": ["red-team"]}

    after = asked("query", mine, "--traffic", "DoS")
    [audit] = [one for one in after["actions"] if one["action"] == "Audit"]
    assert (audit["sources"], audit["taught_weight"]) == (["red-team"], 40)
    assert asked("stats", mine)["sources"] == ["red-team"]
    assert "40 by red-team" in run("query", mine, "--traffic", "DoS").stdout
    assert "nothing was taught by 'nobody'" in refused("import", mine, "--withdraw", "nobody")
    assert asked("import", mine, "--withdraw", "red-team")["withdrawn"] == 2
    again = asked("query", mine, "--traffic", "DoS")
    assert {**again, "version": 0} == {**before, "version": 0}


def test_a_new_graph_to_share_is_made_on_the_way(scenario: Scenario, tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_text(CSV)
    (tmp_path / "bad.csv").write_text("type,action\n")
    where = ("--scenario", scenario.path, "--provenance", "team")

    refused("import", tmp_path / "team", tmp_path / "bad.csv", *where)
    assert not (tmp_path / "team").exists()
    run("import", tmp_path / "team", tmp_path / "good.csv", *where)

    told = asked("stats", tmp_path / "team")
    assert (told["flows"], told["lessons"]) == (0, 2)


def test_a_new_graph_is_not_made_in_a_place_that_is_taken(
    mine: Path, scenario: Scenario, tmp_path: Path
) -> None:
    (tmp_path / "good.csv").write_text(CSV)
    where = ("--scenario", scenario.path, "--provenance", "team")
    before = sorted(mine.iterdir())

    for source, *rest in (
        (mine, tmp_path / "good.csv"),
        ("graph:run-1", tmp_path / "good.csv"),
        (tmp_path / "new", "--withdraw", "team"),
    ):
        assert "--scenario makes a new graph" in refused("import", source, *rest, *where)
    bad_reward = ("import", tmp_path / "new", tmp_path / "good.csv", *where, "--reward", 99)
    assert "99" in refused(*bad_reward)
    assert sorted(mine.iterdir()) == before
    assert not (tmp_path / "new").exists()


def test_a_cluster_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    told = refused("stats", "graph:run-1", "--address", "127.0.0.1:1")

    assert "127.0.0.1:1: no Ray cluster answers" in told


def test_a_graph_in_use_is_not_taught(mine: Path, spec: GraphSpec, tmp_path: Path) -> None:
    (tmp_path / "lessons.csv").write_text(CSV)
    opened = GraphStore.open(mine / "graph", spec)

    told = refused("import", mine, tmp_path / "lessons.csv", "--provenance", "team")

    assert "being written by another process" in told
    assert asked("stats", mine)["merges"] == 3  # but it can be asked
    opened.close()


def test_a_damaged_graph_is_restored_from_its_last_snapshot(mine: Path) -> None:
    good, file = mine / "checkpoints" / "400" / "graph", mine / "graph" / FILE
    file.write_bytes(b"\xa5" * file.stat().st_size)

    refusal = refused("stats", mine)
    assert str(good) in refusal
    assert f"kirl graph restore {mine}" in refusal
    told = asked("restore", mine)

    assert asked("stats", mine)["merges"] == 2
    assert asked("diff", good, mine)["flows"] == [asked("stats", good)["flows"]] * 2
    [aside] = mine.glob("graph-before-*")
    assert told == {"snapshot": str(good), "aside": str(aside)}
    assert (aside / FILE).read_bytes().startswith(b"\xa5")


def test_restoring_takes_the_runs_own_snapshots_alone(
    mine: Path, spec: GraphSpec, tmp_path: Path
) -> None:
    other = replace(spec, fingerprint="0" * 64)
    snapshot.save(other.new_graph().state(), other, tmp_path / "other")

    assert "belongs to scenario 0000" in refused("restore", mine, "--snapshot", tmp_path / "other")
    shutil.rmtree(mine / "checkpoints")
    assert "has no snapshot yet" in refused("restore", mine)
    assert asked("stats", mine)["merges"] == 3


def test_places_without_a_graph_are_named(tmp_path: Path) -> None:
    told = refused("stats", tmp_path)

    assert str(tmp_path) in told
    assert "holds no knowledge graph. Expected a run" in told


def test_a_live_graph_wants_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    assert "Give --address or set RAY_ADDRESS" in refused("stats", "graph:run-1")


@pytest.fixture
def live(ray_local: ModuleType, spec: GraphSpec, mine: Path) -> Iterator[str]:
    graph = start("live-1", spec, mine / "graph")
    yield graph.name
    graph.stop("live-1")


def test_a_live_graph_is_asked_and_taught(live: str, mine: Path, tmp_path: Path) -> None:
    found = graphs.find(live)
    (tmp_path / "lessons.csv").write_text(CSV)
    lessons = read_lessons(tmp_path / "lessons.csv", found.spec.catalogue, "team")

    found.teach(lessons)

    assert found.graph.counts().equals(graphs.find(str(mine)).graph.counts())
    assert found.history(0) == graphs.find(str(mine)).history(0)
    assert graphs.find(live).graph.lessons == tuple(lessons)
    assert found.withdraw("team") == 2
    assert graphs.find(live).graph.lessons == ()


def test_a_live_graph_that_is_not_there_is_named(live: str) -> None:
    with pytest.raises(InputError, match="one of graph:live-1"):
        graphs.find("graph:live-2")


@pytest.mark.parametrize("command", ["stats", "import"])
@pytest.mark.parametrize("inside", ["", "/0-of-2"])
@pytest.mark.parametrize("graph", ["graph", "checkpoints/400/graph"])
def test_a_graph_in_shards_is_refused_by_name(
    mine: Path, tmp_path: Path, graph: str, inside: str, command: str
) -> None:
    """The folders are laid out as earlier versions of kirl did."""
    for folder in (mine / "graph", mine / "checkpoints" / "400" / "graph"):
        folder.rename(folder.with_name("moved"))
        folder.mkdir()
        folder.with_name("moved").rename(folder / "0-of-2")
        shutil.copytree(folder / "0-of-2", folder / "1-of-2")
    with sqlite3.connect(mine / "graph" / "0-of-2" / FILE) as connection:
        connection.execute("UPDATE about SET spec = json_set(spec, '$.shard', '0-of-2')")
    connection.close()
    about = mine / "checkpoints" / "400" / "graph" / "0-of-2" / "graph.json"
    told = json.loads(about.read_text())
    told["spec"]["shard"] = "0-of-2"
    about.write_text(json.dumps(told))
    (tmp_path / "lessons.csv").write_text(CSV)
    rest = {"stats": (), "import": (tmp_path / "lessons.csv", "--provenance", "team")}[command]

    source = f"{mine / graph}{inside}"
    assert f"{source}: belongs to a graph in shards" in refused(command, source, *rest)
