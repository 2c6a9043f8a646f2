"""The knowledge graph in formats that other tools read.

Everything but STIX is the networkx view (:mod:`kg_actor.view`) with the scenario's fingerprint
added to the graph's attributes. Names come from scenarios, which may be anyone's, so no format
is trusted to hold every character: what a format cannot hold is escaped, see :func:`to_graphml`.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import networkx as nx
import pyarrow as pa
import pyarrow.parquet as pq

from envs import InputError
from envs.files import replacing
from kg_actor.graph import KnowledgeGraph
from kg_actor.view import to_networkx

PARQUET_FILES = ("edges.parquet", "nodes.parquet")

# What XML 1.0 forbids, the carriage return that its parsers turn into a line feed, and a
# backslash only where it would otherwise read as one of these escapes.
_UNFIT = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|\\\\(?=u[0-9a-f]{4})")


class Format(StrEnum):
    """What :func:`export` writes."""

    GRAPHML = "graphml"
    NODE_LINK = "node-link"
    PARQUET = "parquet"
    STIX = "stix"


def export(
    graph: KnowledgeGraph,
    path: Path,
    format: Format,
    fingerprint: str,
    at: datetime | None = None,
) -> None:
    """Writes a graph to a file, or to a folder of two tables for Parquet.

    Args:
        graph: the graph.
        path: what stood there is replaced once everything is written.
        format: what to write.
        fingerprint: of the graph's scenario.
        at: the moment that STIX objects carry (default: now).

    Raises:
        InputError: the place cannot be written to, or holds other things.
        ValueError: ``at`` has no time zone, or is before STIX 2.1.
    """
    _check_replaceable(path, format)
    if format is Format.PARQUET:
        _write_parquet(graph, path, fingerprint)
        return
    text = {
        Format.GRAPHML: lambda: to_graphml(graph, fingerprint),
        Format.NODE_LINK: lambda: to_node_link(graph, fingerprint),
        Format.STIX: lambda: _stix(graph, fingerprint, at),
    }[format]()
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def to_graphml(graph: KnowledgeGraph, fingerprint: str) -> str:
    r"""The view as GraphML.

    Edges get ids ``e0``, ``e1``, ...: many tools merge edges of equal ids, and the view's keys
    are unique between two nodes only. Values that are missing are left out. Lists, which
    GraphML does not know, are written as JSON. A character that XML cannot hold is written as
    ``\uXXXX``; all other names stay as they are.
    """
    view = _view(graph, fingerprint)
    plain: nx.MultiDiGraph[str] = nx.MultiDiGraph(**_fit(view.graph))
    plain.add_nodes_from((escaped(node), _fit(data)) for node, data in view.nodes(data=True))
    for number, (source, target, data) in enumerate(view.edges(data=True)):
        ends = escaped(source), escaped(target)
        plain.add_edge(*ends, key := f"e{number}")
        # Not as keywords: an attribute may have the name of a parameter.
        plain.edges[(*ends, key)].update(_fit(data))
    written = io.BytesIO()
    nx.write_graphml_xml(plain, written)
    return written.getvalue().decode("utf-8") + "\n"


def to_node_link(graph: KnowledgeGraph, fingerprint: str) -> str:
    """The view as node-link JSON, which ``networkx.node_link_graph(..., edges="edges")`` reads.

    The text is ASCII; other characters are escaped as JSON does it.
    """
    data = nx.node_link_data(_view(graph, fingerprint), edges="edges")
    return json.dumps(data, allow_nan=False, indent=1) + "\n"


def escaped(text: str) -> str:
    r"""Text in which everything that XML 1.0 cannot hold is written as ``\uXXXX``."""
    return _UNFIT.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _check_replaceable(path: Path, format: Format) -> None:
    """Refuses to swap out a folder that export did not write."""
    if not path.is_dir():
        return
    if format is not Format.PARQUET:
        raise InputError("is a folder", where=str(path), mend=f"Name a file for {format}")
    try:
        strangers = {entry.name for entry in path.iterdir()} - set(PARQUET_FILES)
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror})", where=str(path), mend="Choose another folder"
        ) from error
    if strangers:
        raise InputError(
            "holds more than an exported graph",
            where=str(path),
            expected=f"an empty or a new folder, or one with only {' and '.join(PARQUET_FILES)}",
            mend="Choose another folder",
        )


def _stix(graph: KnowledgeGraph, fingerprint: str, at: datetime | None) -> str:
    # The library takes a fifth of a second to import, and the other formats do without it.
    from kg_actor.stix import to_stix

    return to_stix(graph, fingerprint, at)


def _view(graph: KnowledgeGraph, fingerprint: str) -> nx.MultiDiGraph[str]:
    view = to_networkx(graph)
    view.graph["scenario"] = fingerprint
    return view


def _fit(data: dict[str, Any]) -> dict[str, Any]:
    """Attributes as GraphML knows them."""
    return {name: _text(value) for name, value in data.items() if value is not None}


def _text(value: Any) -> Any:  # noqa: ANN401 (attributes of a view)
    if isinstance(value, list):
        value = json.dumps(value, ensure_ascii=False)
    return escaped(value) if isinstance(value, str) else value


def _write_parquet(graph: KnowledgeGraph, folder: Path, fingerprint: str) -> None:
    view = _view(graph, fingerprint)
    metadata = {f"kirl.{name}": escaped(str(value)) for name, value in view.graph.items()}
    nodes = [{"id": node, **data} for node, data in view.nodes(data=True)]
    edges = [
        {"source": source, "target": target, **data}
        for source, target, data in view.edges(data=True)
    ]
    with replacing(folder) as temporary:
        temporary.mkdir()
        for name, rows, first in (
            ("nodes.parquet", nodes, ("id", "kind", "label")),
            ("edges.parquet", edges, ("source", "target", "kind")),
        ):
            table = pa.table(_columns(rows, first)).replace_schema_metadata(metadata)
            pq.write_table(table, temporary / name)


def _columns(rows: list[dict[str, Any]], first: Iterable[str]) -> dict[str, Any]:
    """One column per attribute of any row; null where a row lacks it."""
    names = dict.fromkeys([*first, *(name for row in rows for name in row)])
    return {name: _column([row.get(name) for row in rows]) for name in names}


def _column(values: list[Any]) -> pa.Array:
    """A column of the one type that holds all values; what has none in common becomes text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {list} and all(isinstance(item, str) for value in values for item in value or ()):
        strings = [value and [escaped(item) for item in value] for value in values]
        return pa.array(strings, pa.list_(pa.string()))
    for known, dtype in (
        ({bool}, pa.bool_()),
        ({int}, pa.int64()),
        ({int, float}, pa.float64()),
    ):
        if kinds and kinds <= known:
            return pa.array(values, dtype)
    return pa.array([None if v is None else str(_text(v)) for v in values], pa.string())
