"""The knowledge graph as a picture, in the manner of the paper's Fig. 2.

A whole graph is drawn on rings, as far as it can be read; what is connected to one
signature or one traffic type is drawn in columns, with all of the type's actions. This
needs matplotlib, so ``kg_actor`` itself does not import it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure

from envs import InputError
from envs.files import replacing
from kg_actor.drawing.picture import inline_svg, picture, saved
from kg_actor.drawing.selection import Sketch, View, around, salient, sketch
from kg_actor.drawing.style import INK, PAPER
from kg_actor.graph import KnowledgeGraph

__all__ = [
    "INK",
    "PAPER",
    "Sketch",
    "around",
    "draw",
    "draw_neighbourhood",
    "figure",
    "inline_svg",
    "picture",
    "salient",
    "save_figure",
    "sketch",
]


def draw(
    graph: KnowledgeGraph,
    path: Path,
    *,
    signatures: int = 12,
    actions: int = 3,
    note: str | None = None,
) -> Path:
    """Draws a graph, with its caption, to a file.

    Args:
        graph: the graph.
        path: ends in ``.svg`` or ``.png`` (1,100 pixels wide, twice that in dots).
        signatures: how many of the most telling signatures to draw.
        actions: how many actions per type to draw.
        note: a remark before the caption, such as that the flows were synthetic.

    Raises:
        InputError: another suffix, or the file cannot be written.
    """
    _kind(path)
    return _write(sketch(graph, signatures, actions), path, note)


def draw_neighbourhood(
    graph: KnowledgeGraph,
    path: Path,
    *,
    signature: int | None = None,
    traffic: str | None = None,
    signatures: int = 8,
    note: str | None = None,
) -> Path:
    """Draws what is connected to one signature or one traffic type (paper, Fig. 2).

    All actions of the type in the middle are drawn; those that the filter of section III-C
    leaves out for the signature are faded. Edges that were taught are dotted, and the key names
    their sources.

    Args:
        graph: the graph.
        path: ends in ``.svg`` or ``.png`` (1,100 pixels wide, twice that in dots).
        signature: id of the signature.
        traffic: name of the type, in place of a signature.
        signatures: how many of a type's most telling signatures to draw.
        note: a remark before the caption, such as that the flows were synthetic.

    Raises:
        InputError: another suffix, no such signature or type, nothing known of the type, or
            the file cannot be written.
        ValueError: signature and type are both given, or none.
    """
    _kind(path)
    part = around(graph, signature=signature, traffic=traffic, signatures=signatures)
    return _write(part, path, note)


def figure(view: View[str], caption: str | None = None) -> Figure:
    """The picture of a view on rings, 1,100 pixels wide.

    Args:
        view: nodes and edges as :func:`kg_actor.to_networkx` makes them, few enough to read.
        caption: set below the picture, if given.
    """
    return picture(Sketch(view, caption or ""))


def _kind(path: Path) -> str:
    kind = path.suffix.lower().lstrip(".")
    if kind not in {"svg", "png"}:
        raise InputError(f"{path.name!r} ends neither in .svg nor in .png")
    return kind


def save_figure(content: Figure, path: Path) -> Path:
    """Writes any figure to a file that ends in ``.svg`` or ``.png``.

    Raises:
        InputError: another suffix, or the file cannot be written.
    """
    data = saved(content, _kind(path), path.stem)
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return path


def _write(part: Sketch, path: Path, note: str | None) -> Path:
    if note:
        part = replace(part, caption=f"{note} {part.caption}".strip())
    return save_figure(picture(part), path)
