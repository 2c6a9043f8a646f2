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
from tests.kirl import kirl

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


def manifest(out: Path, *words: object) -> dict[str, Any]:
    done = kirl("prepare", "--out", out, "--cross-fit", 0, "--json", *words)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def refusal(out: Path, *words: object) -> str:
    done = kirl("prepare", "--out", out, *words)
    assert done.returncode == 2, done.stderr
    assert not out.exists()
    return done.stderr


def test_following_the_message_of_unknown_labels_works(tmp_path: Path) -> None:
    data = table(tmp_path / "flows.csv", {"BENIGN": 60, "scanning": 50, "Hulk?": 40, "DDoS": 30})
    out, labels = tmp_path / "scenario", tmp_path / "labels.yaml"
    told = refusal(out, "--data", data)
    assert "these labels mean no class of the catalogue cicids2017-corrected" in told
    assert "'scanning' (50 flows), 'Hulk?' (40 flows)" in told
    assert f'\nscanning: "?"  # 50 flows; first in {data}, row 62\n' in told

    # As somebody copies it from the terminal.
    below = told[told.index("# Classes: Benign, Portscan") :]
    labels.write_text(below)
    told = refusal(out, "--data", data, "--labels", labels)
    assert f"{labels}, line 2: the label 'scanning' has no class yet" in told
    labels.write_text(below.replace('scanning: "?"', "scanning: Portscan").replace('"?"', "drop"))
    made = manifest(out, "--data", data, "--labels", labels)

    counts = {"Benign": 60, "Portscan": 50, "DDoS": 30}
    assert {name: count for name, count in made["classes"].items() if count} == counts
    assert made["source"]["dropped"]["left out"] == 40
    assert made["source"]["reading"] == {"labels": {"scanning": "Portscan", "Hulk?": "drop"}}
    assert made["catalogue"]["name"] == "cicids2017-corrected"


def test_further_flows_are_read_as_the_scenarios_were(tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("label,class\nscanning,Portscan\n")
    seen = {"BENIGN": 60, "scanning": 50, "DoS Hulk - Attempted": 40}
    data = table(tmp_path / "flows.csv", seen)
    options = ("--labels", labels, "--attempted", "attack")
    told = manifest(tmp_path / "scenario", "--data", data, *options)
    counts = {"Benign": 60, "Portscan": 50, "DoS": 40}
    assert {name: count for name, count in told["classes"].items() if count} == counts
    scenario = Scenario.load(tmp_path / "scenario")
    mixed = [*NAMES[::-1][1:], "Label"]
    more = table(tmp_path / "more.csv", seen | {"DDoS": 5}, names=mixed, seed=1)

    flows = further_flows(scenario, [more]).read()

    names = scenario.catalogue.class_names
    assert Counter(names[number] for number in flows.actual) == counts | {"DDoS": 5}
    assert flows.schema == scenario.schema
    # Here no label ends in 'Attempted', and none is 'scanning'.
    plain = table(tmp_path / "plain.csv", {"BENIGN": 5})
    assert len(further_flows(scenario, [plain]).read()) == 5
    assert labelling_of(scenario).attempted == "attack"
    assert reading_of(scenario, labelled=False, keys=True).labelling is None


def test_a_scenario_is_never_applied_to_flows_of_another_kind(tmp_path: Path) -> None:
    data = table(tmp_path / "flows.csv", {"BENIGN": 60, "DDoS": 50})
    manifest(tmp_path / "scenario", "--data", data)
    scenario = Scenario.load(tmp_path / "scenario")
    published = [*cicflowmeter.PUBLISHED, "Total Length of Fwd Packets", "Label"]
    other = table(tmp_path / "published.csv", {"BENIGN": 5}, names=published)

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
        (("--attempted", "drop"), "--attempted drop has no effect: no label ends in 'Attempted'"),
        (("--labels", "none.yaml"), "cannot be read"),
        (("--catalogue", "nothing"), "there is no catalogue 'nothing'"),
        (("--dataset", "cicflowmeter-python"), "is of the kind cicids2017-corrected"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    data = table(tmp_path / "flows.csv", {"BENIGN": 60, "DDoS": 50})
    assert said in refusal(tmp_path / "scenario", "--data", data, *options)


@pytest.mark.parametrize("option", ["--labels", "--attempted"])
def test_options_of_labels_need_files(tmp_path: Path, option: str) -> None:
    value = {"--labels": tmp_path / "labels.yaml", "--attempted": "drop"}[option]
    told = refusal(tmp_path / "scenario", "--synthetic", 300, option, value)
    assert option in told
    assert "no effect" in told


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"BENIGN": 60}, "flows.csv: all 60 flows are of one class (Benign): there are no attacks"),
        ({"DDoS": 60}, "of one class (DDoS): there are no benign flows (Benign)"),
    ],
)
def test_flows_of_one_class_are_refused_with_what_is_missing(
    tmp_path: Path, labels: dict[str, int], said: str
) -> None:
    data = table(tmp_path / "flows.csv", labels)
    assert said in refusal(tmp_path / "scenario", "--data", data)


def test_files_of_a_folder_that_are_not_used_are_told(tmp_path: Path) -> None:
    days = tmp_path / "days"
    days.mkdir()
    table(days / "1.csv", {"BENIGN": 60, "DDoS": 50})
    (days / "notes.txt").write_text("once upon a time")
    done = kirl("prepare", "--out", tmp_path / "scenario", "--data", days)
    assert done.returncode == 0
    told = f"{days}/notes.txt is not read: it is no table of the corrected CICIDS2017."
    assert told in done.stderr
    told = "76 of 83 features are not in the files: Destination Port, Total Length of Bwd"
    assert told in done.stderr
