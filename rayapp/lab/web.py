"""The lab's pages: one file each, that needs neither a network nor JavaScript."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from envs.files import replacing
from kg_actor.drawing import files
from rayapp.lab.tables import NOTHING


@dataclass(frozen=True)
class Chart:
    """A figure of a page.

    Attributes:
        name: of its files, and unique on the page.
        figure: the figure.
        caption: what it shows; also what a screen reader says.
    """

    name: str
    figure: Figure
    caption: str


def write_page(path: Path, template: str, **values: object) -> Path:
    """Renders a template of the lab's to a file, and returns its path.

    Every value is escaped. The filters ``svg`` and ``table`` turn a :class:`Chart` and a DataFrame
    into elements.

    Args:
        path: of the page.
        template: its name below ``rayapp/lab``.
        values: what the template names.

    Raises:
        InputError: the file cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("rayapp.lab", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(svg=_svg, table=_table)
    text = environment.get_template(template).render(**values)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _svg(chart: Chart) -> Markup:
    # Text in it is escaped already: matplotlib writes XML.
    return Markup(files.inline_svg(chart.figure, chart.name, chart.caption))  # noqa: S704


def _table(frame: pd.DataFrame) -> Markup:
    html = frame.to_html(
        escape=True, border=0, na_rep=NOTHING, sparsify=True, index_names=False, justify="unset"
    )
    return Markup(html)  # noqa: S704 (pandas escapes)
