"""Every table that the lab shows is a pandas DataFrame; here it becomes text or files.

Numbers stay numbers until they are shown: a table's files hold them unrounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from envs.files import replacing

if TYPE_CHECKING:
    # It takes half a second to import, which --help does without.
    import pandas as pd

NOTHING = "–"
"""What stands for a missing value."""

Formats = Mapping[str, str]
"""Format specifications by column, such as ``{"share": ".1%"}``."""


def as_text(frame: pd.DataFrame, formats: Formats) -> pd.DataFrame:
    """The same table as strings, with :data:`NOTHING` where a value is missing.

    Args:
        frame: any table.
        formats: of columns; other columns are shown as they are.
    """
    import pandas as pd

    def shown(value: object, spec: str) -> str:
        return NOTHING if pd.isna(value) else format(value, spec)  # type: ignore[call-overload]

    columns = {
        name: [shown(value, formats.get(str(name), "")) for value in frame[name]] for name in frame
    }
    return pd.DataFrame(columns, index=frame.index)


def terminal_table(
    frame: pd.DataFrame,
    *,
    formats: Formats | None = None,
    title: str | None = None,
    caption: str | None = None,
) -> Table:
    """A table for the terminal: the index stands on the left, all columns are right-aligned.

    Args:
        frame: the table; the name of its index is the head of the first column.
        formats: format specifications by column.
        title: above it.
        caption: below it.
    """
    table = Table(title=title, caption=caption, box=box.HEAVY_HEAD)
    table.add_column(str(frame.index.name or ""))
    for name in frame:
        table.add_column(str(name), justify="right")
    for key, *cells in as_text(frame, formats or {}).itertuples():
        table.add_row(str(key), *cells)
    return table


def write_csv(numbers: pd.DataFrame, path: Path) -> None:
    """Writes numbers, one figure a row; the index is left out.

    Raises:
        InputError: the file cannot be written.
    """
    with replacing(path) as temporary:
        numbers.to_csv(temporary, index=False, lineterminator="\n")


def write_latex(text: pd.DataFrame, path: Path) -> None:
    """Writes a table of text as it is shown, for the LaTeX package booktabs.

    Raises:
        InputError: the file cannot be written.
    """
    with replacing(path) as temporary:
        text.to_latex(temporary, escape=True, multicolumn_format="c")
