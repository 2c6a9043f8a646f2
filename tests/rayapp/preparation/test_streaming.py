"""Streamed preparation, beside the same in memory."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from envs import Catalogue, InputError, Scenario
from envs.datasets.cicflowmeter import SCHEMA
from envs.datasets.cicids2017 import FORM
from envs.datasets.source import FlowBatch, FlowPart, FlowSource, Reading, Tally
from envs.datasets.synthetic.entry import SyntheticSource
from envs.datasets.tables.source import PART_BYTES, TableSource
from envs.division import Wishes
from envs.flows import Provenance
from rayapp.preparation import streaming

PAPER = Catalogue.named("paper")
FEATURES = SCHEMA.names

pytestmark = pytest.mark.usefixtures("ray_local")

HEADER = ",".join([*FEATURES, "Label"])
LABELS = ("BENIGN", "DoS Hulk", "Web Attack - XSS")


def files(path: Path, part_bytes: int = PART_BYTES) -> TableSource:
    return TableSource(FORM, [path], Reading.labelled(PAPER), part_bytes)


def csv_of(rows: int, seed: int, *, spoilt: int = 0) -> str:
    """Flows of classes that overlap; the first few have a missing number."""
    rng = np.random.default_rng(seed)
    lines = [HEADER]
    for row in range(rows):
        label = LABELS[rng.choice(3, p=(0.6, 0.3, 0.1))]
        cells = [f"{cell:.4f}" for cell in rng.normal(LABELS.index(label), 4, len(FEATURES))]
        if row < spoilt:
            cells[5] = "NaN"
        lines.append(",".join([*cells, label]))
    return "".join(line + "\n" for line in lines)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One data set in all its forms: CSV, gzipped CSV, Parquet of several row groups."""
    folder = tmp_path_factory.mktemp("days")
    unlabelled = ",".join(["1"] * len(FEATURES)) + ",\n"
    (folder / "a.csv").write_text(
        csv_of(300, 0, spoilt=4) + "," * 78 + "\n" + HEADER + "\n" + unlabelled
    )
    (folder / "b.csv.gz").write_bytes(gzip.compress(csv_of(150, 1).encode()))
    flows = files(folder / "a.csv").read()
    columns: dict[str, Any] = {name: flows.features[:, i] for i, name in enumerate(FEATURES)}
    columns["Label"] = [LABELS[(2, 1, 0)[i % 3]] for i in range(len(flows))]
    pq.write_table(pa.table(columns), folder / "c.parquet", row_group_size=64)
    return folder


def assert_same(one: Scenario, other: Scenario) -> None:
    """Equal in every file, whose hashes the manifest has."""
    assert one.manifest == other.manifest


@pytest.mark.parametrize(
    "wishes",
    [
        pytest.param(Wishes(seed=3, sample=10**6), id="whole"),
        pytest.param(Wishes(sample=220), id="sampled"),
        pytest.param(Wishes(honest=0.4, sample=210), id="honest"),
        pytest.param(Wishes(sample=230, deduplicate=True), id="without duplicates"),
        pytest.param(Wishes(seed=1, sample=240, opinion="boosted"), id="opinion"),
    ],
)
def test_streamed_files_give_the_scenario_that_memory_gives(
    folder: Path, tmp_path: Path, wishes: Wishes
) -> None:
    flows = files(folder).read()
    held = Scenario.prepare(
        flows,
        tmp_path / "held",
        seed=wishes.seed,
        honest=wishes.honest,
        sample=wishes.sample,
        deduplicate=wishes.deduplicate,
        opinion=wishes.opinion,
    )

    source = files(folder, part_bytes=30_000)
    streamed = streaming.prepare(source, tmp_path / "streamed", wishes)

    assert len(source.parts) > 8
    assert flows.provenance.dropped == {"non-finite": 4, "empty": 1, "header": 1, "unlabelled": 1}
    twice = held.manifest["duplicates"]
    assert twice["rows"] > 50
    assert twice["removed"] == (twice["rows"] if wishes.deduplicate else 0)
    assert (twice["test_rows_in_train"] == 0) == wishes.deduplicate
    assert_same(streamed, held)
    assert_same(Scenario.load(streamed.path), held)
    fitted_on = {3: None}.get(wishes.seed, wishes.sample)
    assert streamed.manifest["split"].get("fitted_on") == fitted_on


def test_streamed_synthetic_flows_give_the_scenario_that_memory_gives(tmp_path: Path) -> None:
    flows = SyntheticSource(3000, 5, PAPER).read()
    held = Scenario.prepare(flows, tmp_path / "held", seed=5, sample=1000)

    wishes = Wishes(seed=5, sample=1000)
    streamed = streaming.prepare(SyntheticSource(3000, 5, PAPER), tmp_path / "streamed", wishes)

    assert_same(streamed, held)


def test_flows_that_the_tree_has_not_seen_are_met_as_they_are_matched(tmp_path: Path) -> None:
    wishes = Wishes(sample=500)
    scenario = streaming.prepare(SyntheticSource(3000, 5, PAPER), tmp_path / "streamed", wishes)

    moved = (scenario.cross_fitted != scenario.train[0]).any(axis=0)

    assert 0 < moved.sum() <= 500
    assert scenario.signatures.support.sum() == len(scenario.train[0])


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        pytest.param("b.csv", ",BENIGN\n", ",Worm\n", id="unknown label"),
        pytest.param("b.csv", ",DoS Hulk\n", ",x,DoS Hulk\n", id="a cell too many"),
        pytest.param("b.csv", HEADER, HEADER.replace("Idle Min", "Idle Max"), id="a column twice"),
        pytest.param("b.csv.gz", HEADER, "\x1f\x8b" + HEADER, id="damaged gzip"),
        pytest.param("b.parquet", HEADER, "PAR1" + HEADER, id="damaged Parquet"),
    ],
)
def test_hostile_files_are_refused_in_the_words_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, old: str, new: str
) -> None:
    monkeypatch.chdir(tmp_path)
    days = Path("days")
    days.mkdir()
    (days / "a.csv").write_text(csv_of(60, 0))
    text = csv_of(200, 1)
    cut = text.index("\n", 3 * len(text) // 4) + 1 if old != HEADER else 0
    (days / name).write_text(text[:cut] + text[cut:].replace(old, new, 1), encoding="latin-1")
    (days / "z.csv").write_text("worse\n")
    with pytest.raises(InputError) as held:
        files(days).read()

    wishes = Wishes(sample=10**6)
    with pytest.raises(InputError) as streamed:
        streaming.prepare(files(days, part_bytes=20_000), tmp_path / "out", wishes)

    assert str(streamed.value) == str(held.value)
    assert f"days/{name}" in str(held.value)
    assert not (tmp_path / "out").exists()


@dataclass(frozen=True)
class Fickle:
    """A part that holds something else every time it is read."""

    size: int
    counter: Path

    def batches(self) -> Iterator[FlowBatch]:
        readings = len(list(self.counter.parent.iterdir()))
        self.counter.with_name(str(readings)).touch()
        features = np.full((self.size, len(FEATURES)), readings, np.float32)
        actual = (np.arange(self.size) % 2).astype(np.int8)
        features[:, 0] = actual
        yield FlowBatch(features, actual, Tally(self.size), self.size)


class FickleSource(FlowSource):
    unit = "flows"
    catalogue = PAPER
    schema = SCHEMA

    def __init__(self, folder: Path) -> None:
        self.parts: Sequence[FlowPart] = [Fickle(400, folder / "0")]

    def provenance(self, tally: Tally) -> Provenance:
        return Provenance("mynet", {}, rows_read=tally.rows)


def test_flows_that_change_between_two_readings_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "readings").mkdir()
    with pytest.raises(InputError, match="changed while they were being read"):
        streaming.prepare(FickleSource(tmp_path / "readings"), tmp_path / "out", Wishes())
    assert not (tmp_path / "out").exists()


def test_a_worker_that_dies_is_replaced(tmp_path: Path, ray_local: ModuleType) -> None:
    (tmp_path / "deaths").mkdir()
    source = SyntheticSource(3000, 5, PAPER)
    source.parts = [Mortal(part, tmp_path / "deaths") for part in source.parts]

    streamed = streaming.prepare(source, tmp_path / "out", Wishes(seed=5))

    held = Scenario.prepare(SyntheticSource(3000, 5, PAPER).read(), tmp_path / "held", seed=5)
    assert len(list((tmp_path / "deaths").iterdir())) == 1
    assert_same(streamed, held)


@dataclass(frozen=True)
class Mortal:
    """A part whose first reader is killed in the middle."""

    part: FlowPart
    deaths: Path

    @property
    def size(self) -> int:
        return self.part.size

    def batches(self) -> Iterator[FlowBatch]:
        import os
        import signal

        for number, batch in enumerate(self.part.batches()):
            if number == 3 and not list(self.deaths.iterdir()):
                (self.deaths / "one").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch
