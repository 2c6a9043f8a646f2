"""The tutorials run from top to bottom, with trainings a tenth as long."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import rayapp

REPOSITORY = Path(rayapp.__file__).parents[1]
NOTEBOOKS = sorted(REPOSITORY.glob("docs/tutorials/*.ipynb"))

SHORTER = {"--flows 1000000": "--flows 100000", "16_384": "1_638"}
"""How long the notebooks train, and how long they do here."""


def test_there_are_two() -> None:
    assert len(NOTEBOOKS) == 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "committed without outputs"
    written = [cell.source for cell in notebook.cells]
    for cell in notebook.cells:
        for long, short in SHORTER.items():
            cell.source = cell.source.replace(long, short)
    assert [cell.source for cell in notebook.cells] != written, "trains otherwise than known here"
    # The kernel runs elsewhere, and finds kirl as these tests do.
    monkeypatch.setenv("PYTHONPATH", f"{REPOSITORY}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )

    client.execute()

    # A shell command that fails is no error to a notebook, so its folder is looked for.
    assert (tmp_path / "scenario" / "manifest.json").is_file()
    shown = [cell for cell in notebook.cells if cell.get("outputs")]
    assert len(shown) >= 5
