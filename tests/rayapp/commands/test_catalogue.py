from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from envs import Catalogue, InputError
from envs.catalogue import shipped
from envs.datasets.cicids2017 import CICIDS2017
from rayapp.__main__ import app
from rayapp.commands import console

EXAMPLE = Path(__file__).parents[3] / "examples" / "mynet.yaml"


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_the_catalogues_that_ship_are_listed() -> None:
    assert "paper: 8 classes, 15 actions, rewards from -5 to 5" in run("catalogue", "list")
    listed = json.loads(run("catalogue", "list", "--json"))["catalogues"]
    assert [one["name"] for one in listed] == list(shipped())


@pytest.mark.parametrize("given", ["paper", EXAMPLE])
def test_a_catalogue_is_shown(given: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console.out, "width", 200)
    catalogue = Catalogue.find(str(given))
    shown, told = (
        run("catalogue", "show", given),
        json.loads(run("catalogue", "show", given, "--json")),
    )

    for name in (*catalogue.class_names, *catalogue.action_names):
        assert name in shown
    assert f"All other mitigations earn {catalogue.lowest_reward}." in shown
    assert told.pop("rewards") == catalogue.rewards.tolist()
    assert Catalogue.from_json(told) == catalogue


def test_a_file_is_checked(tmp_path: Path) -> None:
    assert "is a catalogue: 3 classes, 3 actions" in run("catalogue", "check", EXAMPLE)
    assert json.loads(run("catalogue", "check", EXAMPLE, "--json"))["valid"] is True


def test_all_that_is_wrong_with_a_file_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faulty = tmp_path / "faulty.yaml"
    text = EXAMPLE.read_text().replace("scope: account", "scope: acount")
    faulty.write_text(text.replace("labels: [scan]", "labels: [fine]"))

    told = CliRunner().invoke(app, ["catalogue", "check", str(faulty)])
    assert told.exit_code == 2
    lines = told.stderr.splitlines()
    assert f"{faulty}, line 9, mitigations[1].scope: 'acount' does not fit" in lines[0]
    assert f"{faulty}, line 17, classes[1].labels[0]: label 'fine' belongs to" in lines[1]
    assert len(lines) == 2

    as_json = CliRunner().invoke(app, ["catalogue", "check", str(faulty), "--json"])
    found = json.loads(as_json.stdout)
    assert (as_json.exit_code, found["valid"]) == (2, False)
    assert [(one["line"], one["field"]) for one in found["faults"]] == [
        (9, "mitigations[1].scope"),
        (17, "classes[1].labels[0]"),
    ]
    assert {*found["faults"][0]} == {"line", "field", "what", "expected", "mend"}

    with pytest.raises(InputError, match="cannot be read"):
        run("catalogue", "check", tmp_path / "gone.yaml")


def test_further_labels_techniques_and_sentences_are_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(console.out, "width", 400)
    shown = run("catalogue", "show", "enterprise-network")

    assert "Scan: Addresses or ports are tried to find out which services answer." in shown
    assert "SSH Brute Force; also SSH-Patator" in shown
    assert "T1110.001, T1133" in shown
    told = json.loads(run("catalogue", "show", "enterprise-network", "--json"))["classes"]
    assert told[2]["technique"] == ["T1110.001", "T1133"]
    assert "SSH-Patator" in told[2]["also"]
    assert "ATT&CK techniques" in run("catalogue", "list")
    listed = json.loads(run("catalogue", "list", "--json"))["catalogues"]
    assert {one["name"]: one["techniques"] for one in listed}["iot-23"][0] == "T1046"


def test_a_catalogue_is_started_filled_in_and_checked(tmp_path: Path) -> None:
    out = tmp_path / "mine.yaml"
    said = run("catalogue", "new", "--labels", "BENIGN, DoS Hulk,Zorp", "--out", out)
    assert "3 classes, 2 with the mitigations" in said
    assert "To be filled in: the rankings of Zorp." in said

    checked = CliRunner().invoke(app, ["catalogue", "check", str(out)])
    assert checked.exit_code == 2
    assert "classes[2].ranking: [] does not fit here" in checked.stderr
    out.write_text(out.read_text().replace("ranking: []", "ranking: [Filter Network Traffic]"))
    assert "is a catalogue: 3 classes" in run("catalogue", "check", out)

    with pytest.raises(InputError, match="is there already"):
        run("catalogue", "new", "--labels", "a", "--out", out)


def test_a_catalogue_is_started_from_flows_and_from_a_list(tmp_path: Path) -> None:
    flows = tmp_path / "flows.csv"
    names = CICIDS2017.schema.names
    rows = [[*["1"] * len(names), label] for label in ("DDoS", "Worse", "DDoS - Attempted")]
    flows.write_text("\n".join(map(",".join, [[*names, "Label"], *rows])) + "\n")
    listed = tmp_path / "labels.csv"
    listed.write_text("Label,Flows\nsshbruteforce,12\nFine,900\n")
    told = json.loads(
        run(
            *("catalogue", "new", "--from", flows, "--from", listed, "--labels", "Zorp"),
            *("--benign", "Fine", "--name", "mine", "--out", tmp_path / "mine.yaml", "--json"),
        )
    )

    assert told["recognised"]["sshbruteforce"] == "SSH Brute Force"
    assert told["benign"] == "Fine"
    assert told["classes"] == ["Zorp", "DDoS", "Worse", "sshbruteforce", "Fine"]
    assert told["to_fill_in"] == ["Zorp", "Worse"]


def test_kinds_of_data_set_are_listed_and_shown() -> None:
    listed = json.loads(run("datasets", "--json"))["datasets"]
    assert {"cicids2017", "synthetic"} <= {one["name"] for one in listed}
    assert "synthetic" in run("datasets")

    shown = run("datasets", "cicids2017")
    assert "Sharafaldin" in shown
    assert "Label column: Label" in shown
    assert "DoS slowloris" in shown
    columns = json.loads(run("datasets", "cicids2017", "--json"))["datasets"][0]["features"][
        "columns"
    ]
    assert {"name": "Flow Duration", "unit": "us"} in columns
