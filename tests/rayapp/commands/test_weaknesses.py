"""``kirl prepare`` tells what is weak about the flows that it was given."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from envs.datasets.cicflowmeter import SCHEMA
from rayapp.__main__ import app
from rayapp.commands.weaknesses import tell_weaknesses


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 flows of two classes; the first 40 stand there a second time."""
    rng = np.random.default_rng(0)
    rows = [
        ",".join([*(f"{cell:.3f}" for cell in rng.normal(4 * attack, 1, len(SCHEMA))), label])
        for attack, label in [(0, "BENIGN"), (1, "DDoS")]
        for _ in range(60)
    ]
    path = tmp_path_factory.mktemp("flows") / "flows.csv"
    path.write_text("\n".join([",".join([*SCHEMA.names, "Label"]), *rows, *rows[:40], ""]))
    return path


@pytest.mark.parametrize("deduplicate", [False, True])
def test_duplicates_and_warnings_are_told_beside_the_result(
    table: Path, tmp_path: Path, deduplicate: bool
) -> None:
    options = ["--deduplicate"] if deduplicate else []
    out = str(tmp_path / "scenario")

    done = CliRunner().invoke(
        app, ["prepare", "--data", str(table), "--out", out, "--json", *options]
    )

    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["duplicates"]["rows"] == 40
    assert sum(told["classes"].values()) == (120 if deduplicate else 160)
    assert [warning.partition(":")[0] for warning in told["warnings"]] == [
        "Fewer than 50 flows to train on",
        "6 of the catalogue's 8 classes never occur",
    ]
    for warning in told["warnings"]:
        assert f"Warning: {warning}\n" in done.stderr
    if deduplicate:
        assert "40 flows that equal an earlier one were left out.\n" in done.stderr
    else:
        met = told["duplicates"]["test_rows_in_train"]
        assert met > 0
        assert f"40 of 160 flows equal an earlier one, and {met} of 48 test flows" in done.stderr
        assert "Add --deduplicate to leave them out before the split.\n" in done.stderr


def test_nothing_is_told_of_a_sound_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    tell_weaknesses(
        {"duplicates": {"rows": 0, "removed": 0, "test_rows_in_train": 0}, "warnings": []}
    )

    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
