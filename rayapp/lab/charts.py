"""The look of every chart of the lab: colours, axes, and how a figure is written.

Text and background of a chart that stands in a page follow the page, light or dark.
"""

from __future__ import annotations

import io
import re
from html import escape
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from envs import InputError
from envs.files import replacing

INK, BACKGROUND = "#1b1f25", "#fdfefe"
BLUE, ORANGE = "#2f7fc1", "#d9772b"

LOOKS = ((ORANGE, (0, (4, 1.6))), (BLUE, "-"), ("#00936b", "-."), ("#b0578d", ":"))
"""Colours and dashes of lines beside each other, distinguishable without seeing colours too."""


def panels(rows: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """An empty figure of ``rows`` x ``columns`` styled axes.

    Args:
        rows: of axes.
        columns: of axes.
        width: inches of each of them.
        height: inches of each of them.
    """
    figure = Figure(
        figsize=(width * columns, height * rows), facecolor=BACKGROUND, layout="constrained"
    )
    all_axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for axes in all_axes:
        axes.set_facecolor(BACKGROUND)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["bottom", "left"]].set_color(INK)
        axes.tick_params(colors=INK, labelsize=9)
        axes.grid(visible=True, color=INK, alpha=0.13, linewidth=0.6)
    return figure, all_axes


def count_flows(axes: Axes) -> None:
    """Makes the x-axis count flows, from 0."""
    wide = axes.get_figure(root=True)
    axes.xaxis.set_major_locator(
        MaxNLocator(4 if wide and wide.get_figwidth() < 4 else 6, integer=True)
    )
    axes.xaxis.set_major_formatter(lambda flows, _: flows_label(flows))
    axes.set_xlabel("flows", color=INK, fontsize=9)
    axes.set_xlim(left=0)


def flows_label(flows: float) -> str:
    """A tick on the x-axis: ``0``, ``500 k``, ``1.5 M``."""
    if abs(flows) >= 1e6:
        return f"{flows / 1e6:g} M"
    return f"{flows / 1e3:g} k" if abs(flows) >= 1e3 else f"{flows:g}"


def title(axes: Axes, text: str) -> None:
    """A title above the left end of the axes."""
    axes.set_title(text, fontsize=10, color=INK, loc="left", parse_math=False)


def legend_above(axes: Axes, columns: int) -> None:
    """The legend above the axes: inside there is no corner that no curve ever crosses."""
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1, 0.98),
        ncols=columns,
        fontsize=9,
        frameon=False,
        labelcolor=INK,
    )


def check_suffix(path: Path) -> str:
    """``svg`` or ``png``; raises :class:`InputError` for a file of another name."""
    kind = path.suffix.lower().lstrip(".")
    if kind not in {"svg", "png"}:
        raise InputError(f"{path.name!r} ends neither in .svg nor in .png")
    return kind


def save(figure: Figure, path: Path) -> Path:
    """Writes a figure to a file that ends in ``.svg`` or ``.png``, and returns its path.

    Raises:
        InputError: another suffix, or the file cannot be written.
    """
    content = _rendered(figure, check_suffix(path), path.stem)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path


def inline_svg(figure: Figure, name: str, label: str) -> str:
    """A figure as an ``<svg>`` element for a page; text in it stays text.

    Args:
        figure: the figure.
        name: makes the ids of the element unique within the page.
        label: what a screen reader says.
    """
    text = _rendered(figure, "svg", name).decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<defs>\s*<style.*?</defs>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r'\b(id="|xlink:href="#|url\(#)', rf"\g<1>{name}-", text)
    # Without a size of its own it takes the page's; its viewBox keeps the proportions.
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    text = text.replace(INK, "currentColor").replace(BACKGROUND, f"var(--paper, {BACKGROUND})")
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1).strip()


def _rendered(figure: Figure, kind: str, name: str) -> bytes:
    """The bytes of a file, the same for the same figure; SVG ids are derived from ``name``."""
    buffer = io.BytesIO()
    keys = ("Creator", "Date", "Format", "Type")
    metadata = dict.fromkeys(keys) if kind == "svg" else {"Software": None}
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format=kind, dpi=200, facecolor=BACKGROUND, metadata=metadata)
    return buffer.getvalue()
