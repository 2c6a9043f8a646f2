"""``kirl reproduce`` as its users meet it: interrupted, gone on with, and its files."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from envs import Scenario
from rayapp.__main__ import app

# The command's own process, with trainings that are short even for --quick.
TINY = """
from rayapp.lab.reproduction import reproduction
from rayapp.lab.reproduction.plan import Scale
reproduction.QUICK = Scale(most=12_000, least=12_000, figure_3=40_000, supervised=2)
from rayapp.__main__ import main
main()
"""


def command(scenario: Scenario, out: Path) -> list[str]:
    return [
        *(sys.executable, "-c", TINY, "reproduce", "--scenario", str(scenario.path)),
        *("--out", str(out), "--settings", "paper", "--seeds", "1", "--quick"),
        *("--advisor", "graph-reader", "--json"),
    ]


def test_it_explains_itself_with_an_example() -> None:
    done = CliRunner().invoke(app, ["reproduce", "--help"])

    assert done.exit_code == 0
    assert "Example: kirl reproduce" in " ".join(done.stdout.split())


def test_the_same_scenario_twice_is_refused(scenario: Scenario, tmp_path: Path) -> None:
    twice = ["--scenario", str(scenario.path)] * 2

    done = CliRunner().invoke(app, ["reproduce", *twice, "--out", str(tmp_path / "out")])

    assert done.exit_code != 0
    assert "given twice" in str(done.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_an_interrupted_reproduction_goes_on_to_its_page(
    scenario: Scenario, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with subprocess.Popen(
        command(scenario, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        until = time.monotonic() + 240
        while not list(out.glob("runs/*/progress.jsonl")):
            assert running.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)
        running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=60)

    assert running.returncode == 130
    assert told.count("Interrupted; the same command continues") == 1
    assert "Traceback" not in told
    assert not (out / "index.html").exists()

    done = subprocess.run(
        command(scenario, out), capture_output=True, text=True, timeout=600, check=False
    )

    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["quick"] is True
    assert figures == json.loads((out / "results.json").read_text())
    assert {one["name"] for one in figures["systems"] if one["experiment"] == "main"} == {
        *("ppo", "ppo-kg", "ppo-kg-pt", "llm-kg", "dl")
    }
    assert "Quick run" in (out / "index.html").read_text(encoding="utf-8")
    assert (out / "data" / "table_4_paper.csv").is_file()
    assert (out / "figures" / "figure_5_paper.png").is_file()
