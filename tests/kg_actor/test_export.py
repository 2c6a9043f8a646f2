from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import networkx as nx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import PAPER, Catalogue, InputError, InteractionTable
from envs.catalogue import Mitigation, TrafficClass
from kg_actor import KnowledgeGraph, MergeKey, to_networkx
from kg_actor.export import Format, escaped, export, to_graphml, to_node_link
from kg_actor.lessons import Lesson

DOS, BENIGN, DDOS, WEB = (PAPER.class_index(n) for n in ("DoS", "Benign", "DDoS", "Web"))
FINGERPRINT = "3f8a" * 16

any_character = st.characters(exclude_categories=())
names = st.text(any_character, min_size=1)
Row = tuple[int, int, int, int]
rows = st.tuples(st.integers(0, 3), st.integers(0, 14), st.integers(0, 7), st.integers(1, 2**40))
lessons = st.builds(
    Lesson,
    st.sampled_from(PAPER.class_names),
    st.sampled_from(PAPER.action_names),
    st.floats(-5, 5),
    st.floats(1e-3, 1e6),
    st.sampled_from(["feed", 'analyst <A> & "B"', "Ünïcode, 分析"]),
)


def unescaped(text: str) -> str:
    """The inverse of :func:`escaped`."""
    return re.sub(r"\\u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), text)


def graph_of(
    merged: list[Row], taught: list[Lesson] | None = None, catalogue: Catalogue = PAPER
) -> KnowledgeGraph:
    """Signatures 0 to 3 predict DoS, Benign, Web and DoS, or the only type there is."""
    last = len(catalogue.classes) - 1
    predicted = [min(index, last) for index in (DOS, BENIGN, WEB, DOS)]
    graph = KnowledgeGraph(np.array(predicted, np.int8), catalogue)
    table = InteractionTable.tally(*np.array(merged, np.int64).reshape(-1, 4).T)
    graph.merge(table, MergeKey("run", 0, 0))
    graph.teach(taught or [])
    return graph


graphs = st.builds(graph_of, st.lists(rows, max_size=8), st.lists(lessons, max_size=3))


@pytest.fixture
def graph() -> KnowledgeGraph:
    merged = [(0, 0, DOS, 7), (0, 1, DDOS, 2), (1, 14, BENIGN, 9), (3, 0, DOS, 1)]
    return graph_of(merged, [Lesson("DoS", "Audit", 1.5, 10.0, "feed")])


def hostile(name: str) -> KnowledgeGraph:
    """A graph whose one type and one action have a name that somebody chose with care."""
    catalogue = Catalogue((TrafficClass(name, (name,), (0,)),), (Mitigation(name, None),))
    return graph_of([(0, 0, 0, 3)], [Lesson(name, name, 1.0, 2.0, "feed")], catalogue)


def comparable(view: nx.MultiDiGraph[str]) -> tuple[Any, Any]:
    """Nodes and edges with their attributes; one that is missing equals one that is None."""

    def kept(data: dict[str, Any]) -> str:
        return repr(sorted((k, v) for k, v in data.items() if v is not None))

    nodes = {node: kept(data) for node, data in view.nodes(data=True)}
    return nodes, Counter((a, b, kept(data)) for a, b, data in view.edges(data=True))


@given(graphs)
def test_graphml_gives_back_the_view(graph: KnowledgeGraph) -> None:
    back = nx.parse_graphml(to_graphml(graph, FINGERPRINT), force_multigraph=True)

    view = to_networkx(graph)
    for *_, data in view.edges(data=True):
        if "sources" in data:  # GraphML knows no lists
            data["sources"] = json.dumps(data["sources"], ensure_ascii=False)
    assert comparable(back) == comparable(view)
    assert back.graph["scenario"] == FINGERPRINT
    assert back.graph["version"] == graph.version


@given(graphs)
def test_node_link_json_gives_back_the_view(graph: KnowledgeGraph) -> None:
    data = json.loads(to_node_link(graph, FINGERPRINT), parse_constant=pytest.fail)

    back = nx.node_link_graph(data, edges="edges")

    view = to_networkx(graph)
    assert comparable(back) == comparable(view)
    assert set(back.edges(keys=True)) == set(view.edges(keys=True))
    assert back.graph == {"version": graph.version, "scenario": FINGERPRINT}


def test_graphml_types_its_attributes(graph: KnowledgeGraph) -> None:
    root = ElementTree.fromstring(to_graphml(graph, FINGERPRINT))  # noqa: S314 (our own)

    types = {(k.get("for"), k.get("attr.name")): k.get("attr.type") for k in root if k.get("id")}
    assert types["edge", "count"] == "long"
    assert types["edge", "mean_reward"] == "double"
    assert types["edge", "taught"] == "boolean"
    assert types["node", "kind"] == "string"


def test_graphml_edges_have_ids_of_their_own(graph: KnowledgeGraph) -> None:
    back = nx.parse_graphml(to_graphml(graph, FINGERPRINT), force_multigraph=True)

    ids = [key for *_, key in back.edges(keys=True)]
    assert len(set(ids)) == len(ids) == to_networkx(graph).number_of_edges()


@given(names)
def test_any_name_survives_graphml(name: str) -> None:
    text = to_graphml(hostile(name), FINGERPRINT)

    back = nx.parse_graphml(text, force_multigraph=True)
    labels = {unescaped(data["label"]) for _, data in back.nodes(data=True)}
    assert name in labels
    assert f"type:{name}" in {unescaped(node) for node in back}


@pytest.mark.parametrize(
    "name",
    ["<b>&amp;\"'</b>]]>", "Ünïcode 分析 \U0001f600", "back\\slash", "two\nlines\t", "a\u2028b"],
)
def test_names_that_xml_can_hold_stay_as_they_are(name: str) -> None:
    assert escaped(name) == name
    assert f"action:{name}" in nx.parse_graphml(to_graphml(hostile(name), FINGERPRINT))


@given(st.text(any_character))
def test_escaping_can_be_undone_and_leaves_only_what_xml_allows(text: str) -> None:
    assert unescaped(escaped(text)) == text
    ElementTree.fromstring(f"<x>{escaped(text).replace('&', '').replace('<', '')}</x>")  # noqa: S314


def test_two_names_never_become_one() -> None:
    assert len({escaped(name) for name in ("a\x00", "a\\u0000", "a\\u005cu0000", "a\x01")}) == 4


@given(names)
def test_any_name_survives_node_link_json(name: str) -> None:
    data = json.loads(to_node_link(hostile(name), FINGERPRINT))

    assert f"type:{name}" in nx.node_link_graph(data, edges="edges")


def test_parquet_holds_typed_columns(graph: KnowledgeGraph, tmp_path: Path) -> None:
    export(graph, tmp_path / "graph", Format.PARQUET, FINGERPRINT)

    nodes = pq.read_table(tmp_path / "graph" / "nodes.parquet")
    edges = pq.read_table(tmp_path / "graph" / "edges.parquet")
    assert nodes.column_names[:3] == ["id", "kind", "label"]
    assert edges.column_names[:3] == ["source", "target", "kind"]
    assert edges.schema.field("count").type == pa.int64()
    assert edges.schema.field("mean_reward").type == pa.float64()
    assert edges.schema.field("taught").type == pa.bool_()
    assert edges.schema.field("sources").type == pa.list_(pa.string())
    assert edges.schema.metadata[b"kirl.scenario"].decode() == FINGERPRINT


@given(graphs)
def test_parquet_holds_the_view(
    tmp_path_factory: pytest.TempPathFactory, graph: KnowledgeGraph
) -> None:
    folder = tmp_path_factory.mktemp("export") / "graph"
    export(graph, folder, Format.PARQUET, FINGERPRINT)

    back: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    for row in pq.read_table(folder / "nodes.parquet").to_pylist():
        back.add_node(row.pop("id"), **row)
    for row in pq.read_table(folder / "edges.parquet").to_pylist():
        back.add_edge(row.pop("source"), row.pop("target"), **row)
    assert comparable(back) == comparable(to_networkx(graph))


def test_parquet_holds_hostile_names(tmp_path: Path) -> None:
    export(hostile("\ud800\x00"), tmp_path / "graph", Format.PARQUET, FINGERPRINT)

    ids = pq.read_table(tmp_path / "graph" / "nodes.parquet")["id"].to_pylist()
    assert "type:\ud800\x00" in [unescaped(node) for node in ids]


@pytest.mark.parametrize("format", [Format.GRAPHML, Format.NODE_LINK, Format.STIX])
def test_files_are_utf8_and_replace_what_stood_there(
    graph: KnowledgeGraph, tmp_path: Path, format: Format
) -> None:
    path = tmp_path / "deep" / "graph.out"
    export(graph, path, format, FINGERPRINT)
    first = path.read_text(encoding="utf-8")

    export(graph_of([]), path, format, FINGERPRINT)

    assert path.read_text(encoding="utf-8") != first
    assert [entry.name for entry in path.parent.iterdir()] == ["graph.out"]


def test_parquet_replaces_its_own_folder(graph: KnowledgeGraph, tmp_path: Path) -> None:
    export(graph, tmp_path / "graph", Format.PARQUET, FINGERPRINT)

    export(graph_of([]), tmp_path / "graph", Format.PARQUET, FINGERPRINT)

    assert pq.read_table(tmp_path / "graph" / "nodes.parquet").num_rows == 0


@pytest.mark.parametrize("format", list(Format))
def test_folder_with_other_things_is_left_alone(
    graph: KnowledgeGraph, tmp_path: Path, format: Format
) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")

    with pytest.raises(InputError, match=r"is a folder|holds more than an exported graph"):
        export(graph, tmp_path, format, FINGERPRINT)

    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("format", list(Format))
def test_unwritable_place_is_named(graph: KnowledgeGraph, tmp_path: Path, format: Format) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(InputError, match=r"file/graph: cannot be written"):
        export(graph, tmp_path / "file" / "graph", format, FINGERPRINT)
