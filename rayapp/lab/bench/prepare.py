"""How fast flows become a scenario: reading, tree, matching and writing apart.

Flows are synthetic, but are written as a CSV file in CICIDS2017's form and read back, so that
reading is measured, too. The work runs in a process of its own, whose memory is its own:
``python -m rayapp.lab.bench.prepare CSV FOLDER RESULT``.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc

from envs import Catalogue, Flows, Scenario
from envs.datasets import registry
from envs.datasets.source import Reading
from rayapp.preparation.memory import own_peak

ROWS = 2_827_876
"""Rows of CICIDS2017 that the paper keeps (Table I)."""

_PIECE = 200_000


@dataclass(frozen=True)
class PrepareSpeed:
    """What ``kirl bench prepare`` prints.

    Attributes:
        rows: read, and split 70/30.
        csv_bytes: of the file.
        seconds: of each part: reading, comparing (for duplicates), fitting, matching, writing.
        rows_per_second: read.
        fitted_rows_per_second: training rows, by the tree alone.
        total_seconds: of all parts.
        peak_gib: most memory of the process.
        signatures: of the scenario.
        macro_f1: of the detector on the test flows, mean over classes.
    """

    rows: int
    csv_bytes: int
    seconds: dict[str, float]
    rows_per_second: float
    fitted_rows_per_second: float
    total_seconds: float
    peak_gib: float
    signatures: int
    macro_f1: float


def measure_prepare(rows: int, progress: Callable[[int, int], None]) -> PrepareSpeed:
    """Generates, writes, reads and prepares flows.

    Args:
        rows: how many.
        progress: of the generation, the slowest part before the measured ones.

    Raises:
        RuntimeError: the preparation failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        csv, result = Path(folder) / "flows.csv", Path(folder) / "result.json"
        flows = registry.drawn(rows, 0, Catalogue.named("paper")).read(progress)
        write_csv(flows, csv)
        done = subprocess.run(  # noqa: S603 (our own)
            [
                *(sys.executable, "-m", "rayapp.lab.bench.prepare"),
                *(str(csv), str(Path(folder) / "scenario"), str(result)),
            ],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"preparing ended with {done.returncode}:\n{done.stderr[-2_000:]}")
        return PrepareSpeed(**json.loads(result.read_text()))


def write_csv(flows: Flows, path: Path) -> None:
    """Writes flows as a day file of CICIDS2017, labels by their class's first one."""
    labels = np.array([traffic.labels[0] for traffic in flows.catalogue.classes])
    names = flows.schema.names
    schema = pa.schema([(name, pa.float32()) for name in names] + [("Label", pa.string())])
    with pc.CSVWriter(path, schema) as writer:
        for start in range(0, len(flows), _PIECE):
            piece = slice(start, start + _PIECE)
            columns = [pa.array(column) for column in np.ascontiguousarray(flows.features[piece].T)]
            columns.append(pa.array(labels[flows.actual[piece]]))
            writer.write_table(pa.table(columns, schema=schema))


def _prepare(csv: Path, out: Path) -> PrepareSpeed:
    seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def stage(title: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        seconds[title.partition(" ")[0].lower()] = time.perf_counter() - begun

    with stage("Reading"):
        flows = registry.opened(
            [csv], Reading.labelled(Catalogue.named("paper")), "cicids2017"
        ).read()
    scenario = Scenario.prepare(flows, out, stage=stage)
    detection = scenario.manifest["detection"].values()
    return PrepareSpeed(
        len(flows),
        csv.stat().st_size,
        seconds,
        len(flows) / seconds["reading"],
        len(scenario.train[0]) / seconds["fitting"],
        sum(seconds.values()),
        own_peak() / 2**30,
        len(scenario.signatures),
        sum(row["f1"] for row in detection) / len(detection),
    )


if __name__ == "__main__":
    found = _prepare(Path(sys.argv[1]), Path(sys.argv[2]))
    Path(sys.argv[3]).write_text(json.dumps(asdict(found)))
