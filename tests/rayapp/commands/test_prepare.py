"""``kirl prepare`` with a Ray of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from envs import Catalogue, Scenario
from envs.datasets.synthetic.entry import SyntheticSource
from tests.kirl import kirl, kirl_alone


@pytest.mark.slow
def test_a_stream_is_prepared_and_tells_what_it_cost(tmp_path: Path) -> None:
    done = kirl_alone(
        *("prepare", "--synthetic", 4000, "--json", "--engine", "ray", "--sample", 1000),
        *("--out", tmp_path / "scenario"),
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    flows = SyntheticSource(4000, 0, Catalogue.named("paper")).read()
    held = Scenario.prepare(flows, tmp_path / "held", sample=1000)
    assert told["fingerprint"] == held.fingerprint
    assert told["split"]["fitted_on"] == 1000
    cost = told["preparation"]
    assert cost["engine"] == "ray"
    assert cost["rows_per_second"] > 0
    # Ray's processes count: they alone take more than this one needs.
    assert 0.3 < cost["peak_memory_gib"] < 8
    assert "4,000 rows in" in done.stderr


def test_what_cannot_be_streamed_is_refused_before_ray_is_started(tmp_path: Path) -> None:
    done = kirl("prepare", "--engine", "ray", "--data", tmp_path, "--out", tmp_path / "scenario")

    assert done.returncode == 2
    assert "nothing to read in this folder" in done.stderr
    assert "Starting Ray" not in done.stderr
