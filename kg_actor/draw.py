"""Draws the knowledge graph, as a picture or as a page to explore.

This needs matplotlib, so ``kg_actor`` itself does not import it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from envs import InputError
from envs.files import replacing
from kg_actor.drawing.files import save_figure
from kg_actor.drawing.picture import Picture
from kg_actor.drawing.selection import sketch
from kg_actor.graph import KnowledgeGraph
from kg_actor.interactive import page


def draw(
    graph: KnowledgeGraph,
    path: Path,
    *,
    signature: int | None = None,
    traffic: str | None = None,
    note: str | None = None,
    title: str = "Knowledge graph",
    rules: Sequence[str] | None = None,
    command: str = "kirl graph show SOURCE",
) -> Path:
    """Draws a graph to a file and returns its path; the same graph gives the same file.

    Args:
        graph: the graph.
        path: a page (``.html``) or a picture (``.svg``, or ``.png`` with 200 dots per inch).
        signature: draw what is connected to the signature of this id. With neither this nor a
            type, the part of the whole graph that tells most is drawn.
        traffic: draw what is connected to the traffic type of this name.
        note: a remark such as that the flows were synthetic.
        title: of a page.
        rules: for a page, the readable condition of every signature, by id.
        command: for a page, the command that draws this graph; the page shows it, with
            options, for nodes that are not drawn.

    Raises:
        InputError: another ending, no such signature or type, both of them, nothing known of
            the type, or the file cannot be written.
        ValueError: not one rule per signature.
    """
    ending = path.suffix.lower()
    if ending not in {".html", ".svg", ".png"}:
        raise InputError(f"{path.name!r} ends in neither .html, .svg nor .png")
    if rules is not None and len(rules) != len(graph.predicted):
        raise ValueError(f"{len(graph.predicted)} signatures need as many rules, not {len(rules)}")
    part = sketch(graph, signature=signature, traffic=traffic)
    if ending != ".html":
        caption = f"{note or ''} {part.caption}".strip()
        return save_figure(Picture(part, caption).figure, path)
    text = page(graph, part, note=note, title=title, rules=rules, command=command)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
