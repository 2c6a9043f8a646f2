"""A sketch as the elements of an interactive drawing: JSON-able nodes and edges.

Nodes go by made-up ids (``n0``, ``n1``, ...), so no name from outside is ever an
identifier. Places are those of the still picture, with y downwards.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

from envs.errors import printable
from kg_actor.drawing.columns import in_columns
from kg_actor.drawing.layout import Layout
from kg_actor.drawing.rings import on_rings
from kg_actor.drawing.selection import Sketch, edges_of
from kg_actor.drawing.style import (
    CONFUSED_LINE,
    LINE,
    SIGNATURE_RADIUS,
    TYPE_RADIUS,
    reward_colour,
    shares,
    shares_label,
    signed,
    thickness,
)
from kg_actor.view import ACTION, CONFUSED, EARNED, PREDICTS, SIGNATURE, TYPE


def ids_of(part: Sketch) -> dict[str, str]:
    """The id of each node of a sketch."""
    return {name: f"n{i}" for i, name in enumerate(part.view)}


def elements(part: Sketch) -> dict[str, list[dict[str, Any]]]:
    """Nodes and edges of a sketch, each as a flat dictionary."""
    layout = in_columns(part.view, part.centre) if part.centre else on_rings(part.view)
    ids = ids_of(part)
    edges = [*_earned(part, layout), *_predicts(part), *_confused(part, layout)]
    for i, edge in enumerate(edges):
        edge |= {"id": f"e{i}", "source": ids[edge["source"]], "target": ids[edge["target"]]}
    return {"nodes": _nodes(part, layout), "edges": edges}


def _nodes(part: Sketch, layout: Layout) -> list[dict[str, Any]]:
    ids, found = ids_of(part), []
    for name, data in part.view.nodes(data=True):
        lines = layout.lines(data["kind"], str(data["label"]))
        wide, high = {
            TYPE: (2 * TYPE_RADIUS, 2 * TYPE_RADIUS),
            SIGNATURE: (2 * SIGNATURE_RADIUS, 2 * SIGNATURE_RADIUS),
            ACTION: layout.box(len(lines)),
        }[data["kind"]]
        x, y = layout.places[name]
        found.append(
            {
                "id": ids[name],
                "kind": data["kind"],
                "name": printable(str(data["label"])),
                "label": "\n".join(lines),
                "x": round(x, 1),
                "y": round(-y, 1),
                "width": wide,
                "height": high,
                "faded": name in part.refuted,
            }
        )
    return found


def _earned(part: Sketch, layout: Layout) -> list[dict[str, Any]]:
    found = []
    for source, target, data in edges_of(part.view, EARNED):
        sources = ", ".join(data.get("sources") or ())
        found.append(
            {
                "kind": EARNED,
                "source": source,
                "target": target,
                "label": signed(data["mean_reward"]),
                "said": f"mean reward {signed(data['mean_reward'])}, {data['count']:,} flows"
                + (f", taught by {sources}" if sources else ""),
                "colour": reward_colour(data["mean_reward"]),
                "width": _width(data["count"] + data.get("taught_weight", 0)),
                "bend": _bend(layout, EARNED, source, target),
                "taught": bool(data.get("taught")),
                "faded": target in part.refuted and source == part.centre,
                "port": bool(layout.port),
                # Two edges to one action would carry their labels in one place.
                "offset": 34 if source == part.centre else 84,
            }
        )
    return found


def _predicts(part: Sketch) -> list[dict[str, Any]]:
    return [
        {
            "kind": PREDICTS,
            "source": source,
            "target": target,
            "label": f"B {data['confidence']:.3f}",
            "said": f"confidence {data['confidence']:.4f}, {data['seen']:,} flows",
            "colour": LINE[SIGNATURE],
            "width": 1.6,
            "bend": 0,
        }
        for source, target, data in edges_of(part.view, PREDICTS)
    ]


def _confused(part: Sketch, layout: Layout) -> list[dict[str, Any]]:
    met: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for source, target, data in edges_of(part.view, CONFUSED):
        met[source, target].append(data)
    return [
        {
            "kind": CONFUSED,
            "source": source,
            "target": target,
            "label": shares_label(between),
            "said": f"share of flows really of the other type, {', '.join(shares(between))}",
            "colour": CONFUSED_LINE,
            "width": _width(sum(data["count"] for data in between)),
            "bend": _bend(layout, CONFUSED, source, target),
        }
        for (source, target), between in met.items()
    ]


def _bend(layout: Layout, kind: str, source: str, target: str) -> float:
    """How far an edge's control point lies beside the straight line, in pixels."""
    start, end = layout.places[source], layout.places[target]
    return round(layout.bend(kind, start, end) * math.dist(start, end), 1)


def _width(count: float) -> float:
    return round(1.4 * thickness(count), 2)
