"""``kirl prepare --labels`` with labels that stand in a file of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from envs import InputError
from rayapp.__main__ import app
from tests.envs.datasets.logs import eve


def kirl(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)


def test_both_meanings_of_labels_work_together(tmp_path: Path) -> None:
    data, labels, meaning = tmp_path / "eve.json", tmp_path / "labels.csv", tmp_path / "means.yaml"
    records = [
        eve(number, dest_port=22 if number % 2 else 443, flow_id=number) for number in range(120)
    ]
    data.write_text("".join(json.dumps(record) + "\n" for record in records))
    rows = [f"{number},{'guessing' if number % 2 else 'fine'}\n" for number in range(100)]
    labels.write_text("flow_id,label\n" + "".join(rows))
    out = tmp_path / "scenario"
    command = ("prepare", "--data", data, "--labels", labels, "--out", out)

    with pytest.raises(InputError, match="no class"):
        kirl(*command)
    assert not out.exists()
    meaning.write_text("guessing: SSH Brute Force\nfine: Benign\n")
    printed = kirl(*command, "--labels", meaning, "--json", "--cross-fit", 0)

    manifest = json.loads(printed.stdout)
    assert {name: count for name, count in manifest["classes"].items() if count} == {
        "Benign": 50,
        "SSH Brute Force": 50,
    }
    assert manifest["source"]["dropped"]["unlabelled"] == 20
    assert "joined by id: 100 of 120 flows have a label, 0 of 100 labels have no flow" in (
        printed.stderr.replace("\n", " ")
    )
