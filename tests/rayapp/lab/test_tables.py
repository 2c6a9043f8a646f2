"""Tables as text, for a terminal and as files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from envs import InputError
from rayapp.lab.tables import as_text, terminal_table, write_csv, write_latex


def test_numbers_come_back_from_csv_as_they_were(tmp_path: Path) -> None:
    odd = 'a "quoted", name\nover two lines'
    frame = pd.DataFrame({"name": [odd, "b"], "value": [1 / 3, -5], "missing": [None, None]})

    write_csv(frame, tmp_path / "new" / "folder" / "odd.csv")

    again = pd.read_csv(tmp_path / "new" / "folder" / "odd.csv")
    assert again["name"].tolist() == [odd, "b"]
    assert again["value"].tolist() == [1 / 3, -5]
    assert again["missing"].isna().all()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file in the way")

    with pytest.raises(InputError, match="data"):
        write_csv(pd.DataFrame(), tmp_path / "data" / "numbers.csv")


def test_latex_is_escaped(tmp_path: Path) -> None:
    write_latex(pd.DataFrame({"a_b": ["5 %"]}, index=["x & y"]), tmp_path / "table.tex")

    text = (tmp_path / "table.tex").read_text()
    assert r"a\_b" in text
    assert r"x \& y & 5 \% \\" in text


def test_formats_apply_by_column_and_what_is_missing_is_a_dash() -> None:
    frame = pd.DataFrame({"share": [0.5, None], "flows": [1_234, 5]}, index=["a", "b"])

    text = as_text(frame, {"share": ".1%", "flows": ","})

    assert text["share"].tolist() == ["50.0%", "–"]
    assert text["flows"].tolist() == ["1,234", "5"]


def test_a_terminal_shows_index_heads_and_cells() -> None:
    frame = pd.DataFrame({"flows": [1_234]}, index=pd.Index(["[bold]"], name="class"))
    console = Console(width=60, record=True, markup=False, file=None)

    with console.capture() as captured:
        console.print(terminal_table(frame, formats={"flows": ","}, title="Flows"))

    shown = captured.get()
    assert "class" in shown
    assert "[bold]" in shown
    assert "1,234" in shown
