"""A sketch as a matplotlib figure, and a figure as a file or as SVG for a page."""

from __future__ import annotations

import io
import re
from html import escape

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from kg_actor.drawing.columns import in_columns
from kg_actor.drawing.edges import draw_edges
from kg_actor.drawing.key import draw_key, key_height
from kg_actor.drawing.labels import place_labels, write
from kg_actor.drawing.nodes import draw_nodes
from kg_actor.drawing.rings import on_rings
from kg_actor.drawing.selection import Sketch
from kg_actor.drawing.style import INK, PAPER, WIDTH, wrap


def picture(part: Sketch) -> Figure:
    """The picture of a sketch, 1,100 pixels wide.

    Args:
        part: what to draw, little enough to read; its caption, if any, stands below.

    """
    layout = in_columns(part.view, part.centre) if part.centre else on_rings(part.view)
    lines = wrap(part.caption, 150) if part.caption else []
    key = key_height(part)
    below = key + 17 * len(lines) + (20 if lines else 0)
    result = Figure(figsize=(WIDTH / 100, (layout.height + below) / 100), dpi=100, facecolor=PAPER)
    FigureCanvasAgg(result)
    axes = result.add_axes((0, 0, 1, 1))
    low = -layout.height / 2
    axes.set(xlim=(-WIDTH / 2, WIDTH / 2), ylim=(low - below, -low))
    axes.axis("off")
    patches = draw_nodes(axes, part, layout)
    place_labels(axes, list(patches.values()), draw_edges(axes, part, layout, patches))
    draw_key(axes, part, low - 14)
    for i, line in enumerate(lines):
        write(axes, (-WIDTH / 2 + 30, low - key - 18 - 17 * i), line, 8.5, ha="left")
    return result


def saved(content: Figure, kind: str, name: str) -> bytes:
    """The figure's file: the same bytes for the same figure, and text as text in SVG.

    Args:
        content: any matplotlib figure.
        kind: ``svg`` or ``png``.
        name: from which SVG ids are derived.
    """
    buffer = io.BytesIO()
    keys = ("Creator", "Date", "Format", "Type")
    metadata = dict.fromkeys(keys) if kind == "svg" else {"Software": None}
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        content.savefig(buffer, format=kind, dpi=200, facecolor=PAPER, metadata=metadata)
    return buffer.getvalue()


def inline_svg(content: Figure, name: str, label: str) -> str:
    """A figure as an ``<svg>`` element to put into an HTML page.

    Text stays text; :data:`INK` becomes the page's ``currentColor`` and :data:`PAPER` its CSS
    variable ``--paper``, so that one picture serves light and dark pages.

    Args:
        content: any matplotlib figure.
        name: makes the element's ids unique within the page.
        label: what a screen reader says.
    """
    text = saved(content, "svg", name).decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<defs>\s*<style.*?</defs>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r'\b(id="|xlink:href="#|url\(#)', rf"\g<1>{name}-", text)
    # Without a size of its own it takes the page's; its viewBox keeps the proportions.
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    text = text.replace(INK, "currentColor").replace(PAPER, f"var(--paper, {PAPER})")
    head = f'<svg role="img" aria-label="{escape(label)}"'
    return text.replace("<svg", head, 1).strip()
