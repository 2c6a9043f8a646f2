"""examples/mynet.py and mynet.yaml: a kind of data set and a catalogue of somebody else's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from envs import Catalogue
from envs.datasets import cicflowmeter, registry
from tests.kirl import Done, kirl, kirl_alone, on_the_tests_ray

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which the example is installed as pip would do it, on Python's path."""
    site = tmp_path_factory.mktemp("site")
    (site / "mynet.py").write_text((EXAMPLES / "mynet.py").read_text())
    about = site / "mynet-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mynet\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[kirl.datasets]\nmynet = mynet:MYNET\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        registry.all_kinds.cache_clear()
        yield site
    registry.all_kinds.cache_clear()


def answer_of(done: Done) -> dict[str, object]:
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return answer


def told(*arguments: object) -> dict[str, object]:
    return answer_of(kirl(*arguments, "--json"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    lines = ["verdict,port,bytes_in,bytes_out,duration"]
    for number, label in enumerate(("fine", "scan", "guessing")):
        for row in np.abs(rng.normal(10 * number, 6, (80, 4))):
            lines.append(",".join([label, *(f"{value:.3f}" for value in row)]))
    path = tmp_path_factory.mktemp("data") / "flows.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_an_example_is_short() -> None:
    assert len((EXAMPLES / "mynet.py").read_text().splitlines()) < 60


def test_a_kind_of_another_package_is_prepared_trained_and_evaluated(
    ray_local: ModuleType, site: Path, data: Path, tmp_path: Path
) -> None:
    scenario, run = tmp_path / "scenario", tmp_path / "run"

    kinds = told("datasets", "mynet")["datasets"]
    assert isinstance(kinds, list)
    assert [column["unit"] for column in kinds[0]["features"]["columns"]][:2] == ["s", "bytes"]
    catalogue = EXAMPLES / "mynet.yaml"
    manifest = told("prepare", "--data", data, "--catalogue", catalogue, "--out", scenario)
    assert manifest["classes"] == {"Normal": 80, "Scan": 80, "Password guessing": 80}
    assert manifest["source"]["kind"] == "mynet"  # type: ignore[index]
    assert manifest["features"]["columns"][1] == ["bytes_in", "bytes"]  # type: ignore[index]
    with on_the_tests_ray():
        told(
            *("train", "--scenario", scenario, "--algo", "ppo-kg", "--passes", 20, "--out", run),
            *("--set", "learning.flows_per_iteration=500"),
        )
    card = told("evaluate", "--run", run)
    bound = card["bounds"]["signature_oracle"]["average_reward"]  # type: ignore[index]
    assert -10 <= card["average_reward"] <= bound <= 3  # type: ignore[operator]
    assert told("evaluate", "--run", run, "--data", data)["flows"] == 240
    assert told("graph", "stats", run)["kind"] == "mynet"
    names = [*cicflowmeter.SCHEMA.names, "Label"]
    (tmp_path / "other.csv").write_text(",".join(names) + "\n" + "1," * 78 + "fine\n")
    refused = kirl("evaluate", "--run", run, "--data", tmp_path / "other.csv")
    assert refused.returncode == 2
    assert "other.csv: the file is of the kind cicids2017, not mynet" in refused.stderr
    assert "Expected flows of mynet" in refused.stderr
    assert "other.csv --dataset cicids2017 --out scenario" in refused.stderr


def test_a_kind_can_be_named_and_must_be_one_that_reads_files(
    site: Path, data: Path, tmp_path: Path
) -> None:
    """The kind is there in a process of its own, as it is in this one."""
    out = tmp_path / "scenario"
    prepare = ("prepare", "--data", data, "--catalogue", EXAMPLES / "mynet.yaml", "--out", out)
    manifest = answer_of(kirl_alone(*prepare, "--json", path=(site,)))
    assert manifest["source"]["kind"] == "mynet"  # type: ignore[index]
    asked = kirl("prepare", "--data", data, "--dataset", "cicids2017", "--out", out)

    assert asked.returncode == 2
    assert "--overwrite" in asked.stderr
    asked = kirl("prepare", "--data", data, "--dataset", "cicids2017", "--out", f"{out}2")
    assert "the file is of the kind mynet, not cicids2017" in asked.stderr
    asked = kirl("prepare", "--data", data, "--dataset", "nonet", "--out", f"{out}2")
    assert "suricata-flow, argus, nfstream, synthetic, mynet" in asked.stderr


def test_the_examples_catalogue_says_what_it_means() -> None:
    catalogue = Catalogue.find(str(EXAMPLES / "mynet.yaml"))

    assert catalogue.rewards.tolist() == [[-2, -2, 1], [3, -2, 0], [2, 3, -10]]
    assert (catalogue.lowest_reward, catalogue.highest_reward) == (-10, 3)
    assert catalogue.class_names[catalogue.benign] == "Normal"
    assert catalogue.action_names[catalogue.inaction] == "Do nothing"
    assert catalogue.reward_scale == 10
