"""``kirl prepare`` with labels that nobody has mapped yet, and what reads flows like it later."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs import InputError, Scenario
from envs.datasets import cicflowmeter
from envs.reading import further_flows, labelling_of, reading_of
from rayapp.commands.prepare import prepare

NAMES = [*cicflowmeter.WRITTEN, "Protocol", "Fwd RST Flags", "Flow IAT Mean", "Label"]
OF = {"BENIGN": 0, "scanning": 10, "Hulk?": 20, "DDoS": 30, "DoS Hulk - Attempted": 40}


def table(path: Path, labels: dict[str, int], *, names: list[str] = NAMES, seed: int = 0) -> Path:
    """Flows whose features follow their labels."""
    rng = np.random.default_rng(seed)
    lines = [",".join(names)]
    for label, rows in labels.items():
        for row in np.abs(rng.normal(OF.get(label, 0), 1, (rows, len(names) - 1))):
            lines.append(",".join([*(f"{cell:.3f}" for cell in row), label]))
    path.write_text("\n".join(lines) + "\n")
    return path


def manifest(capsys: pytest.CaptureFixture[str], out: Path, **options: Any) -> dict[str, Any]:  # noqa: ANN401
    prepare(out=str(out), as_json=True, cross_fit=0, **options)
    told: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return told


def test_following_the_message_of_unknown_labels_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = table(tmp_path / "flows.csv", {"BENIGN": 60, "scanning": 50, "Hulk?": 40, "DDoS": 30})
    out = tmp_path / "scenario"
    with pytest.raises(InputError, match="these labels mean no class") as caught:
        prepare(out=str(out), data=[data])
    assert not out.exists()
    below = str(caught.value.below)
    assert f'scanning: "?"  # 50 flows; first in {data}, row 62' in below

    labels = tmp_path / "labels.yaml"
    labels.write_text(below)
    with pytest.raises(InputError, match="the label 'scanning' has no class yet") as unfilled:
        prepare(out=str(out), data=[data], labels=[labels])
    assert unfilled.value.where == f"{labels}, line 2"
    filled = below.replace('scanning: "?"', "scanning: Portscan").replace('"?"', "drop")
    labels.write_text(filled)
    told = manifest(capsys, out, data=[data], labels=[labels])

    assert {name: count for name, count in told["classes"].items() if count} == {
        **{"Benign": 60, "Portscan": 50, "DDoS": 30}
    }
    assert told["source"]["dropped"]["left out"] == 40
    assert told["source"]["reading"] == {"labels": {"scanning": "Portscan", "Hulk?": "drop"}}
    assert told["catalogue"]["name"] == "cicids2017-corrected"


def test_further_flows_are_read_as_the_scenarios_were(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("label,class\nscanning,Portscan\n")
    seen = {"BENIGN": 60, "scanning": 50, "DoS Hulk - Attempted": 40}
    data = table(tmp_path / "flows.csv", seen)
    told = manifest(capsys, tmp_path / "scenario", data=[data], labels=[labels], attempted="attack")
    assert {name: count for name, count in told["classes"].items() if count} == {
        **{"Benign": 60, "Portscan": 50, "DoS": 40}
    }
    scenario = Scenario.load(tmp_path / "scenario")
    more = table(
        tmp_path / "more.csv", seen | {"DDoS": 5}, names=[*NAMES[::-1][1:], "Label"], seed=1
    )

    flows = further_flows(scenario, [more]).read()

    names = scenario.catalogue.class_names
    found = Counter(names[number] for number in flows.actual)
    assert found == {"Benign": 60, "Portscan": 50, "DoS": 40, "DDoS": 5}
    assert flows.schema == scenario.schema
    plain = table(tmp_path / "plain.csv", {"BENIGN": 5})
    assert len(further_flows(scenario, [plain]).read()) == 5
    assert labelling_of(scenario).attempted == "attack"
    assert reading_of(scenario, labelled=False, keys=True).labelling is None


def test_a_scenario_is_never_applied_to_flows_of_another_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = table(tmp_path / "flows.csv", {"BENIGN": 60, "DDoS": 50})
    manifest(capsys, tmp_path / "scenario", data=[data])
    scenario = Scenario.load(tmp_path / "scenario")
    other = table(
        tmp_path / "published.csv",
        {"BENIGN": 5},
        names=["Flow Duration", "Total Fwd Packets", "Total Backward Packets",
               "Total Length of Fwd Packets", "Label"],
    )  # fmt: skip

    with pytest.raises(InputError) as caught:
        further_flows(scenario, [other])

    assert caught.value.what == "the file is of the kind cicids2017, not cicids2017-corrected"
    assert f"kirl prepare --data {other} --dataset cicids2017 " in str(caught.value.mend)
    unlabelled = tmp_path / "unlabelled.csv"
    unlabelled.write_text("".join(f"{line.rpartition(',')[0]}\n" for line in data.open()))
    with pytest.raises(InputError, match="kirl decide"):
        further_flows(scenario, [unlabelled]).read()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"attempted": "drop"}, "--attempted drop has no effect: no label ends in 'Attempted'"),
        ({"data": None, "synthetic_rows": 300, "attempted": "drop"}, "no effect without --data"),
        ({"data": None, "synthetic_rows": 300, "labels": "labels.yaml"}, "--labels has no effect"),
        ({"labels": "flows.csv"}, "does not say what labels mean"),
        ({"labels": "none.yaml"}, "cannot be read"),
        ({"catalogue": "nothing"}, "there is no catalogue 'nothing'"),
        ({"dataset": "cicflowmeter-python"}, "is of the kind cicids2017-corrected"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    data = table(tmp_path / "flows.csv", {"BENIGN": 60, "DDoS": 50})
    given: dict[str, Any] = {"data": [data]} | options
    if "labels" in options:
        given["labels"] = [tmp_path / options["labels"]]
    with pytest.raises(InputError) as caught:
        prepare(out=str(tmp_path / "scenario"), **given)
    assert said in str(caught.value)
    assert not (tmp_path / "scenario").exists()


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"BENIGN": 60}, r"all 60 flows are of one class \(Benign\): there are no attacks"),
        ({"DDoS": 60}, r"of one class \(DDoS\): there are no benign flows \(Benign\)"),
    ],
)
def test_flows_of_one_class_are_refused_with_what_is_missing(
    tmp_path: Path, labels: dict[str, int], said: str
) -> None:
    data = table(tmp_path / "flows.csv", labels)
    with pytest.raises(InputError, match=said) as caught:
        prepare(out=str(tmp_path / "scenario"), data=[data])
    assert caught.value.where == "flows.csv"


def test_files_of_a_folder_that_are_not_used_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    days = tmp_path / "days"
    days.mkdir()
    table(days / "1.csv", {"BENIGN": 60, "DDoS": 50})
    (days / "notes.txt").write_text("once upon a time")
    prepare(out=str(tmp_path / "scenario"), data=[days], as_json=True)
    err = capsys.readouterr().err
    assert f"{days}/notes.txt is not read: it is no table of the corrected CICIDS2017." in err
    assert "76 of 83 features are not in the files: Destination Port, Total Length of Bwd" in err
