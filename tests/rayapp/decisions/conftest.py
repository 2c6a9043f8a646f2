"""Runs that are put together without a training, and flows in files of every form."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from envs import Flows, InteractionTable, Scenario, Suggestion
from envs.datasets.cicids2017 import FORM
from envs.datasets.labels import labels_of
from envs.datasets.source import Reading
from envs.datasets.tables.form import TableFormat
from envs.datasets.tables.source import TableSource
from envs.flows import Provenance
from kg_actor import GraphSpec, Keyed, MergeKey, counters_of
from kg_actor.store import GraphStore
from rayapp import config
from rayapp.decisions.decider import Decider
from rayapp.decisions.deciding import Job
from rayapp.decisions.outcomes import Outcomes
from rayapp.decisions.rows import FlowRows
from rayapp.rl.networks import NetworkSpec, build
from rayapp.rl.saved_policy import SavedPolicy
from rayapp.runs.folder import RunFolder, begin

KEYED = replace(
    FORM,
    keys={
        "time": ("Timestamp",),
        "id": ("Flow ID",),
        "src_ip": ("Source IP",),
        "dst_ip": ("Destination IP",),
    },
)
"""CICIDS2017 with columns that tell one flow from another."""


@pytest.fixture(scope="session")
def labelled(flows: Flows) -> Flows:
    """The hand-made flows, as if they had been recorded."""
    return replace(flows, provenance=Provenance("cicids2017", {}, rows_read=len(flows)))


@pytest.fixture(scope="session")
def prepared(labelled: Flows, tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    return Scenario.prepare(labelled, tmp_path_factory.mktemp("decided") / "scenario", seed=0)


def finished(path: Path, scenario: Scenario, algo: str) -> RunFolder:
    """A run as if its training had ended: a network of random weights, a graph of all flows."""
    import torch

    folder = RunFolder(path)
    begin(folder, config.load(None, (), {"algo": algo, "flows": 100}), scenario)
    spec = GraphSpec.of(scenario)
    signature, actual = scenario.train
    table = InteractionTable.tally(
        signature, np.arange(len(actual)) % len(scenario.catalogue.actions), actual
    )
    graph = spec.new_graph()
    graph.merge(table, MergeKey("run", 1, 0))
    augmented = algo == "ppo-kg"
    if augmented:
        store = GraphStore.open(folder.graph_folder, spec)
        store.merge([Keyed(MergeKey("run", 1, 0), table)])
        store.close()
    size, catalogue = len(scenario.signatures), scenario.catalogue
    network = NetworkSpec(
        size, len(catalogue.classes), len(catalogue.actions), augmented, catalogue.reward_scale
    )
    torch.manual_seed(1)
    advised = Suggestion(
        (np.arange(size) % len(catalogue.actions)).astype(np.int16), np.ones(size, np.float32)
    )
    SavedPolicy(
        network,
        build(network, outputs=network.actions).state_dict(),
        counters_of(graph.counts(), graph.prior),
        advised if augmented else None,
        scenario.fingerprint,
    ).save(folder.policy_folder)
    return folder


@pytest.fixture(scope="session")
def infused(prepared: Scenario, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run with a graph and advice."""
    return finished(tmp_path_factory.mktemp("runs") / "infused", prepared, "ppo-kg")


@pytest.fixture(scope="session")
def plain(prepared: Scenario, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that was copied without its graph."""
    return finished(tmp_path_factory.mktemp("runs") / "plain", prepared, "ppo")


@pytest.fixture(scope="session")
def decider(infused: RunFolder, prepared: Scenario) -> Decider:
    return Decider.of(infused, prepared)


JobOf = Callable[..., Job]


@pytest.fixture
def keyed() -> TableFormat:
    return KEYED


@pytest.fixture
def job_of(decider: Decider) -> JobOf:
    """Makes the job of deciding about flows in files."""

    def make(paths: list[Path], *, explain: bool = False) -> Job:
        source = TableSource(KEYED, paths, Reading(None, KEYED.schema, keys=True))
        return Job(decider, FlowRows(source), Outcomes(decider.knowledge, explain=explain))

    return make


@dataclass(frozen=True)
class Table:
    """Cells to be written to a file: names, and rows of texts."""

    names: list[str]
    rows: list[list[str]]

    def with_column(self, name: str, cells: Sequence[str]) -> Table:
        """The same with a column more at the front."""
        rows = [[cell, *row] for cell, row in zip(cells, self.rows, strict=True)]
        return Table([name, *self.names], rows)

    def csv(self, path: Path) -> Path:
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([self.names, *self.rows])
        return path

    def zeek(self, path: Path) -> Path:
        head = ["#separator \\x09", "\t".join(["#fields", *self.names])]
        lines = ["\t".join(row) for row in self.rows]
        path.write_text("\n".join([*head, *lines, "#close"]) + "\n", encoding="utf-8")
        return path

    def json(self, path: Path) -> Path:
        records = [dict(zip(self.names, row, strict=True)) for row in self.rows]
        path.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
        return path

    def parquet(self, path: Path) -> Path:
        columns = [pa.array(cells, pa.string()) for cells in zip(*self.rows, strict=True)]
        pq.write_table(pa.Table.from_arrays(columns, self.names), path)
        return path


MakeTable = Callable[[int], Table]


@pytest.fixture(scope="session")
def make_table(labelled: Flows) -> MakeTable:
    """Makes a table of the first flows, without labels."""

    def make(size: int) -> Table:
        rows = [[repr(float(cell)) for cell in row] for row in labelled.features[:size]]
        return Table(list(labelled.schema.names), rows)

    return make


@pytest.fixture(scope="session")
def with_labels(labelled: Flows, make_table: MakeTable) -> Table:
    """All flows with their labels."""
    names = dict(reversed(list(labels_of(labelled.catalogue))))
    return make_table(len(labelled)).with_column(
        "Label", [names[i] for i in labelled.actual.tolist()]
    )
