"""Any matplotlib figure as an SVG or PNG file, or as an ``<svg>`` element for a page."""

from __future__ import annotations

import io
import re
from html import escape
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from envs import InputError
from envs.files import replacing
from kg_actor.drawing.style import BACKGROUND, INK


def picture_format(path: Path) -> str:
    """The format that a picture's name asks for: ``svg`` or ``png``.

    Raises:
        InputError: the name ends otherwise.
    """
    ending = path.suffix.lower().lstrip(".")
    if ending not in {"svg", "png"}:
        raise InputError(f"{path.name!r} ends neither in .svg nor in .png")
    return ending


def save_figure(figure: Figure, path: Path) -> Path:
    """Writes a figure as ``.svg``, or as ``.png`` with 200 dots per inch; returns ``path``.

    The same figure gives the same bytes.

    Raises:
        InputError: another ending, or the file cannot be written.
    """
    data = _encoded(figure, picture_format(path), path.stem)
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return path


def inline_svg(figure: Figure, name: str, label: str) -> str:
    """A figure as an ``<svg>`` element to put into an HTML page.

    Text stays text. ``INK`` becomes the page's ``currentColor`` and ``BACKGROUND`` its CSS
    variable ``--paper``, so that one picture serves light and dark pages.

    Args:
        figure: any matplotlib figure.
        name: begins all ids of the element, so that they are unique within the page.
        label: what a screen reader says.
    """
    text = _encoded(figure, "svg", name).decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<defs>\s*<style.*?</defs>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r'\b(id="|xlink:href="#|url\(#)', rf"\g<1>{name}-", text)
    # Without a size of its own it takes the page's; its viewBox keeps the proportions.
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    text = text.replace(INK, "currentColor").replace(BACKGROUND, f"var(--paper, {BACKGROUND})")
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1).strip()


def _encoded(figure: Figure, ending: str, salt: str) -> bytes:
    """The figure's file; ``salt`` is what SVG ids are derived from."""
    buffer = io.BytesIO()
    keys = ("Creator", "Date", "Format", "Type")
    metadata = dict.fromkeys(keys) if ending == "svg" else {"Software": None}
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        figure.savefig(buffer, format=ending, dpi=200, facecolor=BACKGROUND, metadata=metadata)
    return buffer.getvalue()
