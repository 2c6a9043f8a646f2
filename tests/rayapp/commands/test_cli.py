"""The command line as its users meet it: real files, and real processes where these matter."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from envs.datasets.cicflowmeter import SCHEMA
from tests.kirl import Done, kirl, kirl_alone, on_the_tests_ray

FEATURES = SCHEMA.names

HEADER = ",".join([*(f" {name}" for name in FEATURES[:-1]), FEATURES[-1], " Label"])


def csv_of(path: Path, labels: dict[str, int], seed: int = 0) -> Path:
    """Flows in the published format whose classes can be told apart, mostly."""
    rng = np.random.default_rng(seed)
    lines = [HEADER]
    for number, (label, rows) in enumerate(labels.items()):
        for row in np.abs(rng.normal(10 * number, 8, (rows, len(FEATURES)))):
            lines.append(",".join(f"{value:.3f}" for value in row) + f",{label}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_commands_are_there_before_heavy_libraries_are() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import sys, rayapp.__main__; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {"ray", "torch", "sklearn", "pandas", "transformers", "matplotlib"}
    assert not heavy & set(told.stdout.split())


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    csv_of(folder / "flows.csv", {"BENIGN": 120, "DoS Hulk": 60, "Web Attack – XSS": 40})
    done = kirl("prepare", "--data", folder / "flows.csv", "--out", folder / "scenario", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["classes"]["Web"] == 40
    return folder


@pytest.fixture(scope="module")
def trained(ray_local: ModuleType, prepared: Path) -> Path:
    with on_the_tests_ray():
        done = kirl(
            *("train", "--scenario", prepared / "scenario", "--algo", "ppo-kg", "--passes", 30),
            *("--set", "learning.flows_per_iteration=500", "--out", prepared / "run", "--json"),
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["flows_trained"] == 30 * 154
    return prepared / "run"


def assert_refused(done: Done, *said: str) -> None:
    told = " ".join(done.stderr.split())
    assert done.returncode == 2, told
    assert "Traceback" not in told
    assert told.count("kirl: ") == 1
    for words in said:
        assert re.search(words, told), f"{words!r} not in {told!r}"


def test_a_finished_runs_graph_can_be_asked(trained: Path) -> None:
    done = kirl("graph", "stats", trained, "--json")

    told = json.loads(done.stdout)
    assert told["flows"] == 30 * 154
    assert told["runs"] == 1
    assert told["kind"] == "cicids2017"


def test_a_question_that_cannot_be_answered_is_refused(trained: Path) -> None:
    assert_refused(kirl("graph", "query", trained, "--signature", 99999), "no signature 99999")


@pytest.mark.slow
def test_runs_share_a_graph_and_learn_from_lessons(prepared: Path) -> None:
    (prepared / "lessons.csv").write_text(
        "type,action,reward,weight,provenance\nDoS,Audit,2.5,100,red-team\n"
    )
    for name in ("one", "two"):
        done = kirl_alone(
            *("train", "--scenario", prepared / "scenario", "--flows", 1000),
            *("--graph", prepared / "team", "--lessons", prepared / "lessons.csv"),
            *("--set", "learning.flows_per_iteration=500", "--out", prepared / name),
        )
        assert done.returncode == 0, done.stderr

    told = json.loads(kirl("graph", "stats", prepared / "team", "--json").stdout)
    assert (told["flows"], told["runs"], told["sources"]) == (2000, 2, ["red-team"])
    assert not (prepared / "one" / "graph").exists()


def test_lessons_that_cannot_be_used_are_refused_before_anything_is_written(
    prepared: Path,
) -> None:
    (prepared / "wrong.csv").write_text(
        "type,action,reward,weight,provenance\nDoS,Pray,2.5,100,red-team\n"
    )

    done = kirl(
        *("train", "--scenario", prepared / "scenario", "--flows", 1000),
        *("--lessons", prepared / "wrong.csv", "--out", prepared / "untaught"),
    )

    assert_refused(done, "wrong.csv", "Pray")
    assert not (prepared / "untaught").exists()


def test_evaluate_prints_the_documented_object(trained: Path) -> None:
    done = kirl("evaluate", "--run", trained, "--json")

    card = json.loads(done.stdout)
    assert card["flows"] == 66
    assert set(card["per_class"]) == {"Benign", "DoS", "Web"}
    assert set(card["correct_action"]) == {"all", "detected_correctly", "misdetected"}
    for bound in ("predicted_class", "signature_oracle"):
        assert set(card["bounds"][bound]) == {"average_reward", "class_mean_reward", "per_class"}
    assert card["average_reward"] <= card["bounds"]["signature_oracle"]["average_reward"]


def test_evaluate_shows_a_table_for_people(trained: Path) -> None:
    done = kirl("evaluate", "--run", trained)

    assert done.returncode == 0
    assert "class mean" in done.stdout
    assert "ppo-kg" in done.stdout


def test_flows_never_seen_are_scored_with_the_runs_own_detector(trained: Path) -> None:
    unseen = csv_of(trained.parent / "unseen.csv", {"BENIGN": 30, "DoS Hulk": 20}, seed=9)
    with gzip.open(trained.parent / "unseen.csv.gz", "wb") as file:
        file.write(unseen.read_bytes())

    done = kirl("evaluate", "--run", trained, "--data", trained.parent / "unseen.csv.gz", "--json")

    card = json.loads(done.stdout)
    assert card["flows_per_class"] == {"DoS": 20, "Benign": 30}


def test_one_class_alone_can_be_scored(trained: Path) -> None:
    unseen = csv_of(trained.parent / "benign.csv", {"BENIGN": 10}, seed=9)

    done = kirl("evaluate", "--run", trained, "--data", unseen, "--json")

    assert json.loads(done.stdout)["flows"] == 10


def broken(folder: Path, what: str) -> Path:
    """A bad input of one kind."""
    path = folder / f"{what}.csv"
    good = csv_of(folder / "good.csv", {"BENIGN": 20, "DDoS": 20}).read_text().splitlines()
    cells = good[4].split(",")
    contents: dict[str, list[str]] = {
        "renamed-column": [good[0].replace("Flow Duration", "Flow Durations"), *good[1:]],
        "unknown-label": [*good[:4], ",".join([*cells[:-1], "Ransomware"]), *good[5:]],
        "text-in-number": [*good[:4], ",".join(["http", *cells[1:]]), *good[5:]],
        "truncated": [*good[:-1], good[-1][:-150]],
        "empty": [],
    }
    if what in contents:
        path.write_text("\n".join(contents[what]))
    elif what == "one-class":
        csv_of(path, {"BENIGN": 40})
    elif what == "not-a-csv":
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20)
    elif what == "folder-with-nothing-usable":
        path.mkdir()
        (path / "readme.txt").write_text("nothing here")
    return path


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("renamed-column", ["'?Flow Duration'?", "Flow Durations"]),
        ("unknown-label", ["Ransomware", "(row|line) 5"]),
        ("text-in-number", ["Destination Port", "(row|line) 5", "http"]),
        ("truncated", ["(row|line) 41"]),
        ("empty", ["empty"]),
        ("one-class", ["one class", "Benign"]),
        ("not-a-csv", ["PNG|not a CSV|binary"]),
        ("no-such-file", ["no such file"]),
        ("folder-with-nothing-usable", ["csv"]),
    ],
)
def test_bad_data_ends_with_one_message_and_nothing_written(
    tmp_path: Path, what: str, said: list[str]
) -> None:
    data = broken(tmp_path, what)

    done = kirl("prepare", "--data", data, "--out", tmp_path / "scenario")

    assert_refused(done, *said)
    # One class is the fault of all files together, every other one that of a place.
    assert what == "one-class" or data.name in done.stderr
    assert not list(tmp_path.glob("*scenario*"))


def test_a_process_that_refuses_its_input_ends_alike(tmp_path: Path) -> None:
    data = broken(tmp_path, "text-in-number")

    done = kirl_alone("prepare", "--data", data, "--out", tmp_path / "scenario")

    assert_refused(done, "Destination Port", "(row|line) 5", "http", data.name)
    assert not done.stdout
    assert not list(tmp_path.glob("*scenario*"))


def test_evaluate_refuses_bad_data_alike(trained: Path, tmp_path: Path) -> None:
    data = broken(tmp_path, "text-in-number")

    done = kirl("evaluate", "--run", trained, "--data", data)

    assert_refused(done, "Destination Port", "(row|line) 5", "http")


def test_prepare_wants_data_or_synthetic(tmp_path: Path) -> None:
    assert_refused(
        kirl("prepare", "--out", tmp_path / "s"),
        "--data PATH, --alerts PATH, --pcap CAPTURE and --synthetic ROWS",
    )


def test_prepare_leaves_what_is_there(prepared: Path, tmp_path: Path) -> None:
    again = kirl("prepare", "--synthetic", 300, "--out", prepared / "scenario")
    assert_refused(again, "holds a scenario already", "--overwrite")

    (tmp_path / "precious.txt").write_text("mine")
    assert_refused(
        kirl("prepare", "--synthetic", 300, "--overwrite", "--out", tmp_path),
        "more than a scenario",
    )
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_overwrite_takes_nothing_but_scenarios(prepared: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "precious.txt").write_text("mine")

    done = kirl("prepare", "--synthetic", 300, "--overwrite", "--out", tmp_path)

    assert_refused(done, "more than a scenario")
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_names_are_printed_as_they_are(prepared: Path, tmp_path: Path) -> None:
    odd = tmp_path / "flows[red]\x1b[2J.csv"
    odd.write_bytes(b"")

    done = kirl("prepare", "--data", odd, "--out", tmp_path / "s")

    assert_refused(done, r"flows\[red\]\\x1b\[2J\.csv")
    assert "\x1b" not in done.stderr


def test_overwrite_replaces_a_scenario(tmp_path: Path) -> None:
    for seed in (1, 2):
        done = kirl(
            *("prepare", "--synthetic", 2000, "--seed", seed, "--overwrite", "--json"),
            *("--out", tmp_path / "scenario"),
        )
        assert json.loads(done.stdout)["split"]["seed"] == seed


def test_synthetic_scenarios_say_so(tmp_path: Path) -> None:
    done = kirl("prepare", "--synthetic", 2000, "--out", tmp_path / "scenario")

    assert done.returncode == 0
    assert "synthetic" in done.stdout
    manifest = json.loads((tmp_path / "scenario" / "manifest.json").read_text())
    assert manifest["source"]["kind"] == "synthetic"


def test_train_names_a_missing_scenario(tmp_path: Path) -> None:
    done = kirl("train", "--scenario", tmp_path / "none", "--out", tmp_path / "run")

    assert_refused(done, "none", "not a scenario")
    assert not (tmp_path / "run").exists()


def test_train_names_an_unknown_algorithm(prepared: Path, tmp_path: Path) -> None:
    done = kirl(
        *("train", "--scenario", prepared / "scenario", "--algo", "sac"),
        *("--out", tmp_path / "run"),
    )

    assert_refused(done, "no algorithm is called 'sac'", "ppo, ppo-kg", "linucb")


def test_train_leaves_a_strangers_folder_alone(prepared: Path, tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")

    done = kirl("train", "--scenario", prepared / "scenario", "--out", tmp_path)

    assert_refused(done, "not a training run")
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_evaluate_names_what_is_no_run(tmp_path: Path) -> None:
    assert_refused(kirl("evaluate", "--run", tmp_path), r"no run\.json")


def assert_demo(demo: Callable[..., Done], out: Path) -> None:
    done = demo("demo", "--rows", 3000, "--flows", 40_000, "--out", out)

    assert done.returncode == 0, done.stderr
    assert "ppo-kg" in done.stdout
    explorer = (out / "graph.html").read_text()
    assert "Learnt on synthetic flows" in explorer
    page = (out / "index.html").read_text()
    assert "synthetic" in page.lower()
    assert "<svg" in page

    again = demo("demo", "--rows", 3000, "--flows", 40_000, "--out", out, "--json")

    told = json.loads(again.stdout)
    assert told["page"] == str(out / "index.html")
    assert {name: run["flows_trained"] for name, run in told["runs"].items()} == {
        "ppo": 40_000,
        "ppo-kg": 40_000,
    }
    assert all(-5 <= run["class_mean_reward"] <= 5 for run in told["runs"].values())


def test_demo_runs_end_to_end_on_little(ray_local: ModuleType, tmp_path: Path) -> None:
    with on_the_tests_ray():
        assert_demo(kirl, tmp_path / "demo")


@pytest.mark.slow
def test_demo_starts_and_ends_a_ray_for_each_training(tmp_path: Path) -> None:
    assert_demo(kirl_alone, tmp_path / "demo")
