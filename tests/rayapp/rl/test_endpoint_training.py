"""A training whose language model is behind a real HTTP server that dies and comes back."""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import pytest

from envs import Scenario
from rayapp import config
from rayapp.runs.folder import ProgressLine, RunFolder, begin
from rayapp.runs.tracking import scalars
from rayapp.runs.training import train

sys.path.insert(0, str(Path(__file__).parents[2] / "llm_actor"))
from scripted import chosen, serving

COOLDOWN = 0.3


def test_a_dead_endpoint_shows_in_every_line_and_so_does_its_return(
    ray_local: ModuleType, scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    life = ExitStack()
    server = life.enter_context(serving(lambda _: chosen("[A]")))
    advice = {"advisor": "endpoint", "url": server.url, "model": "phi", "wait": "true"}
    advice |= {"retries": "0", "concurrency": "1", "circuit_failures": "2"}
    advice["circuit_cooldown"] = str(COOLDOWN)
    given = [f"advice.{name}={value}" for name, value in advice.items()]
    given += ["learning.flows_per_iteration=600", "network.hidden=[16]"]
    folder = RunFolder(tmp_path / "run")
    begin(folder, config.load(None, given, {"flows": 3_600}), scenario)

    def meanwhile(line: ProgressLine, _: int) -> None:
        if line.iteration == 2:
            life.close()
        if line.iteration == 4:
            life.enter_context(serving(lambda _: chosen("[A]"), server.server_port))
            time.sleep(COOLDOWN)

    with life:
        train(folder, meanwhile)

    lines = [json.loads(line) for line in folder.progress_file.read_text().splitlines()]
    assert [line["circuit"] for line in lines] == ["closed"] * 2 + ["open"] * 2 + ["closed"] * 2
    for line in lines:
        assert (line["fallbacks"] > 0) == (line["circuit"] == "open")
        assert line["fallbacks"] in (0, line["prompts_asked"])
    assert lines[4]["prompts_asked"] > 0
    curves = dict(scalars(folder.progress()[3]))
    assert curves["advice/circuit_open"] == 1
    assert curves["advice/fallbacks"] == lines[3]["fallbacks"]


def test_other_advisors_have_no_circuit() -> None:
    line = ProgressLine(1, 600, 0.1, 4.5, {}, 1, 0)

    assert line.circuit is None
    assert not [name for name, _ in scalars(line) if "circuit" in name or "fallbacks" in name]
