"""The example of a table of one's own works as it stands on the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import rayapp
from envs import Scenario
from rayapp.__main__ import app

PAGE = Path(rayapp.__file__).parents[1] / "docs" / "your-traffic.md"


def block(language: str, begins: str) -> str:
    """The first block of code that begins so."""
    found = re.search(
        rf"^```{language}\n({re.escape(begins)}.*?)^```", PAGE.read_text(), re.S | re.M
    )
    assert found
    return found[1]


def kirl(*words: str) -> None:
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0


def test_a_table_is_made_described_and_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block("python", "import csv"), PAGE, "exec"), {})  # noqa: S102 (our own page)

    kirl("schema", "office.csv", "--out", "office.yaml")

    drafted = Path("office.yaml").read_text()
    assert yaml.safe_load(drafted) == yaml.safe_load(block("yaml", "name: office"))
    Path("office.yaml").write_text(drafted.replace("'?'", "DoS"))
    kirl("prepare", "--data", "office.csv", "--schema", "office.yaml", "--out", "scenario")
    assert len(Scenario.load(Path("scenario")).schema) == 6
