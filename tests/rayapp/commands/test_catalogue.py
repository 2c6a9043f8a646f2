from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from envs import Catalogue, InputError
from envs.catalogue import shipped
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

    faulty = tmp_path / "faulty.yaml"
    faulty.write_text(EXAMPLE.read_text().replace("scope: account", "scope: acount"))
    with pytest.raises(InputError, match=r"faulty.yaml, line 9, mitigations\[1\].scope: 'acount'"):
        run("catalogue", "check", faulty)


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
