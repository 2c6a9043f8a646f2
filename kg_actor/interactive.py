"""The knowledge graph as a page to explore: one HTML file that needs no network.

The page shows the picture itself, as SVG; a small script adds search, zoom and a panel with
the record of a node. All records are also tables, readable without scripts. Names come from
data and may be hostile: the template escapes them, and the script handles them as text only.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections import defaultdict
from html import escape
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from envs.errors import printable
from kg_actor.drawing.files import inline_svg
from kg_actor.drawing.picture import KIND_NAMES, Picture
from kg_actor.drawing.selection import Sketch
from kg_actor.drawing.style import percent, signed
from kg_actor.expected import Expected
from kg_actor.graph import KnowledgeGraph
from kg_actor.neighbourhood import Answers
from kg_actor.records import ActionRecord
from kg_actor.view import ACTION, SIGNATURE, TYPE

_ATTACK_ID = re.compile(r"[A-Z]{1,4}\d{4}(\.\d{3})?")


def page(graph: KnowledgeGraph, part: Sketch, **about: Any) -> str:  # noqa: ANN401
    """The page's HTML, with ``about`` as :func:`kg_actor.draw.draw` takes it."""
    catalogue, answers, drawn = graph.catalogue, Answers(graph), Picture(part)
    # What is drawn comes first, most telling first.
    signatures = dict.fromkeys([*part.signatures, *range(len(graph.predicted))])
    types = [answers.around_type(name) for name in catalogue.class_names]
    earned: dict[str, list[tuple[str, ActionRecord]]] = defaultdict(list)
    for known in types:
        for record in known.actions:
            earned[record.action].append((known.traffic, record))
    names = [f"{SIGNATURE}:{i}" for i in signatures]
    names += [f"{TYPE}:{name}" for name in catalogue.class_names]
    names += [f"{ACTION}:{name}" for name in catalogue.action_names]
    ids = {name: f"n{i}" for i, name in enumerate(dict.fromkeys([*drawn.ids, *names]))}
    script = _asset("interactive.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = Environment(
        loader=PackageLoader("kg_actor", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # What the template marks as safe is our own; all else may hold control characters.
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.filters |= {"signed": signed, "percent": percent, "comma": "{:,}".format}
    return environment.get_template("interactive.html").render(
        about,
        # Nothing from anywhere, and no script but this one. The picture has inline styles.
        policy=f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'",
        css=_asset("interactive.css"),
        script=script,
        svg=_titled(drawn),
        part=part,
        ids=ids,
        kinds=KIND_NAMES,
        signatures=answers.around(list(signatures)),
        types=types,
        actions=catalogue.actions,
        earned_by=earned,
        expected=Expected(graph),
        places={name: i for i, name in enumerate(catalogue.action_names)},
        attack_id=_ATTACK_ID.fullmatch,
        quote=shlex.quote,
    )


def _asset(name: str) -> str:
    return resources.files("kg_actor").joinpath(name).read_text(encoding="utf-8")


def _titled(drawn: Picture) -> str:
    """The picture as SVG that says in words what each node, edge and label is."""
    return re.sub(
        r'<g id="graph-(n[^"]+)">',
        lambda group: f"{group[0]}<title>{escape(printable(drawn.titles[group[1]]))}</title>",
        inline_svg(drawn.figure, "graph", "The graph as a picture"),
    )
