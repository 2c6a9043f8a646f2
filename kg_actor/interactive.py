"""The knowledge graph as a page to explore: one HTML file that needs no network.

The drawing is done by Cytoscape.js, which lies in ``vendor/cytoscape`` and goes into the
page whole. What the page tells of a node is written into it as plain tables, readable
without scripts; the side panel shows copies of them. Names come from data and may be
hostile: they are escaped where they are HTML or JSON, and scripts only ever handle them
as text.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from envs.errors import printable
from envs.files import replacing
from kg_actor.drawing.elements import elements, ids_of
from kg_actor.drawing.records import Cell, Record, Table, records
from kg_actor.drawing.selection import Sketch, around, edges_of, sketch
from kg_actor.drawing.style import BEST, CONFUSED_LINE, FILL, LINE, WORST, reward_colour
from kg_actor.graph import KnowledgeGraph
from kg_actor.view import ACTION, EARNED, SIGNATURE, TYPE

_KINDS = {TYPE: "traffic type", ACTION: "mitigation action", SIGNATURE: "signature"}


def write_page(
    graph: KnowledgeGraph,
    path: Path,
    *,
    signature: int | None = None,
    traffic: str | None = None,
    rules: Sequence[str] | None = None,
    title: str = "Knowledge graph",
    note: str | None = None,
) -> Path:
    """Writes the page; the same graph gives the same file.

    Args:
        graph: the graph.
        path: of the HTML file.
        signature: show what is connected to this signature.
        traffic: show what is connected to this traffic type, in place of a signature. With
            neither, the page shows the part of the whole graph that tells most.
        rules: the readable condition of every signature, by id.
        title: of the page.
        note: a remark set off above the drawing, such as that the flows were synthetic.

    Raises:
        InputError: no such signature or type, nothing known of the type, or the file cannot
            be written.
        ValueError: signature and type are both given, or not one rule per signature.
    """
    if rules is not None and len(rules) != len(graph.predicted):
        raise ValueError(f"{len(graph.predicted)} signatures need as many rules, not {len(rules)}")
    if signature is None and traffic is None:
        part = sketch(graph)
    else:
        part = around(graph, signature=signature, traffic=traffic)
    text = _page(part, records(graph, part, rules), title, note)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _page(part: Sketch, told: list[Record], title: str, note: str | None) -> str:
    library, script = _asset("vendor/cytoscape/cytoscape.min.js"), _asset("interactive.js")
    ids = ids_of(part)
    return Template(_asset("interactive.html")).substitute(
        policy=_policy(library, script),
        title=_html(title),
        note=f'<p class="note" role="note">{_html(note)}</p>' if note else "",
        caption=_html(part.caption),
        css=_asset("interactive.css"),
        legend=_legend(part),
        records="\n".join(_article(record, ids) for record in told),
        elements=_json(elements(part)),
        library=library,
        script=script,
    )


def _asset(name: str) -> str:
    return resources.files("kg_actor").joinpath(name).read_text(encoding="utf-8")


def _policy(*scripts: str) -> str:
    """Nothing from anywhere, and no script but these."""
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts)
    allowed = " ".join(f"'sha256-{text}'" for text in hashes)
    # Cytoscape.js adds a style element of its own, so inline styles have to be allowed.
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _html(text: str) -> str:
    return escape(printable(text))


def _json(data: dict[str, list[dict[str, Any]]]) -> str:
    """JSON that can stand in a script element: ASCII, and without a way to end it."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _article(record: Record, ids: dict[str, str]) -> str:
    facts = "".join(f"<dt>{_html(what)}</dt><dd>{_html(how)}</dd>" for what, how in record.facts)
    if record.url:
        facts += (
            f'<dt>See</dt><dd><a href="{escape(record.url)}" rel="noopener noreferrer" '
            f'target="_blank">{escape(record.url)}</a></dd>'
        )
    tables = "".join(_table(table, ids) for table in record.tables)
    return (
        f'<article id="{ids[record.node]}"><h2>{_html(record.title)}</h2>'
        f'<p class="kind">{_KINDS[record.kind]}</p><dl>{facts}</dl>{tables}</article>'
    )


def _table(table: Table, ids: dict[str, str]) -> str:
    head = "".join(f'<th scope="col">{_html(text)}</th>' for text in table.head)
    body = "".join(
        f'<tr><th scope="row">{_cell(row[0], ids)}</th>'
        + "".join(f"<td>{_cell(cell, ids)}</td>" for cell in row[1:])
        + "</tr>"
        for row in table.rows
    )
    return (
        f'<div class="wide"><table><caption>{_html(table.caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(cell: Cell, ids: dict[str, str]) -> str:
    """A cell's text, as a link where the node it names is part of the page."""
    node = ids.get(cell.node) if cell.node else None
    text = _html(cell.text)
    return f'<a href="#{node}" data-node="{node}">{text}</a>' if node else text


def _legend(part: Sketch) -> str:
    box = 'width="30" height="14" aria-hidden="true"'
    kinds = {
        TYPE: '<circle cx="15" cy="7" r="6"',
        ACTION: '<rect x="3" y="2" width="24" height="10" rx="3"',
        SIGNATURE: '<path d="M9 7 12 1.8h6L21 7l-3 5.2h-6z"',
    }
    items = [
        f'<span><svg {box}>{mark} fill="{FILL[kind]}" stroke="{LINE[kind]}"/></svg>{_KINDS[kind]}'
        "</span>"
        for kind, mark in kinds.items()
    ]
    lines = [
        (LINE[SIGNATURE], "", "signature to predicted type: confidence B"),
        (CONFUSED_LINE, "7 4", "type to actual type: share of a signature’s flows misdetected"),
    ]
    if any(data.get("taught") for *_, data in edges_of(part.view, EARNED)):
        lines.append((reward_colour(BEST), "2 3", "dotted: taught"))
    scale = "".join(
        f'<path d="M{1 + 4 * i} 7h4" stroke="{reward_colour(reward)}" stroke-width="4"/>'
        for i, reward in enumerate(range(WORST, BEST + 1, 2))
    )
    low, high = f"−{-WORST}", f"+{BEST}"
    items.append(f"<span>{low}<svg {box}>{scale}</svg>{high} mean reward of an action</span>")
    items += [
        f'<span><svg {box}><path d="M1 7h28" stroke="{colour}" stroke-width="2.5" '
        f'stroke-dasharray="{dashes or "none"}"/></svg>{said}</span>'
        for colour, dashes, said in lines
    ]
    if part.refuted:
        items.append("<span>faded: left out of the prompt</span>")
    return "".join(items)
