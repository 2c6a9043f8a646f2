"""``kirl prepare --labels`` with labels that stand in a file of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from envs import InputError
from rayapp.commands.prepare import prepare
from tests.envs.datasets.logs import eve


def test_both_meanings_of_labels_work_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, labels, meaning = tmp_path / "eve.json", tmp_path / "labels.csv", tmp_path / "means.yaml"
    records = [
        eve(number, dest_port=22 if number % 2 else 443, flow_id=number) for number in range(120)
    ]
    data.write_text("".join(json.dumps(record) + "\n" for record in records))
    rows = [f"{number},{'guessing' if number % 2 else 'fine'}\n" for number in range(100)]
    labels.write_text("flow_id,label\n" + "".join(rows))
    out = tmp_path / "scenario"

    with pytest.raises(InputError, match="no class"):
        prepare(out=str(out), data=[data], labels=[labels])
    assert not out.exists()
    meaning.write_text("guessing: SSH Brute Force\nfine: Benign\n")
    prepare(out=str(out), data=[data], labels=[labels, meaning], as_json=True, cross_fit=0)

    printed = capsys.readouterr()
    manifest = json.loads(printed.out)
    assert {name: count for name, count in manifest["classes"].items() if count} == {
        "Benign": 50,
        "SSH Brute Force": 50,
    }
    assert manifest["source"]["dropped"]["unlabelled"] == 20
    assert "joined by id: 100 of 120 flows have a label, 0 of 100 labels have no flow" in (
        printed.err.replace("\n", " ")
    )
