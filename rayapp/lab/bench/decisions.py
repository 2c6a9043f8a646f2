"""What a decision costs: one at a time, in batches, and by ``kirl decide`` from file to file.

Features are synthetic: what a flow holds does not matter to how long it takes.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from envs import Scenario
from envs.datasets import registry
from envs.score import evaluate
from rayapp import config
from rayapp.decisions.decider import Decider
from rayapp.decisions.deciding import Job
from rayapp.decisions.writing import Format
from rayapp.lab.reproduction.costs import Costs, measure
from rayapp.runs import training
from rayapp.runs.folder import RunFolder, begin

FLOWS = 1_000_000
"""Training flows of the policies; how good they are does not matter here."""

BATCH = 8_192
BATCHES = 20
ROUNDS = 5

FILE_ROWS = 1_000_000
"""Flows of the Parquet file that ``kirl decide`` reads."""


@dataclass(frozen=True)
class DecisionSpeed:
    """What ``kirl bench decisions`` prints; medians, unless they say otherwise.

    Attributes:
        costs: seconds of a single decision from features to action: median and 99th percentile.
        batch_flows: decided at once.
        batched_flows_per_second: with cached advice, from features to action.
        file_rows: flows of a Parquet file that is decided as ``kirl decide`` does it.
        written_rows_per_second: by format: Parquet to a file, lines of JSON and CSV to nowhere;
            from the first row read to the last one written, the best of two rounds.
        test_flows: of the scenario.
        load_seconds: of a run's policy and scenario.
        evaluate_seconds: of the scorecard of all test flows, once they are loaded.
        evaluated_flows_per_second: of that scorecard.
    """

    costs: Costs
    batch_flows: int
    batched_flows_per_second: float
    file_rows: int
    written_rows_per_second: dict[Format, float]
    test_flows: int
    load_seconds: float
    evaluate_seconds: float
    evaluated_flows_per_second: float


def measure_decisions(
    scenario: Scenario,
    folder: Path,
    progress: Callable[[int, int], None],
    file_rows: int = FILE_ROWS,
) -> DecisionSpeed:
    """Trains a policy with and one without advice, and lets them decide; Ray must be running.

    Args:
        scenario: to train on.
        folder: for the runs; empty.
        progress: called with steps done and steps in all.
        file_rows: flows of the file that is decided.
    """
    plain = _trained(scenario, folder / "ppo", "ppo")
    progress(1, 5)
    infused = _trained(scenario, folder / "ppo-kg", "ppo-kg")
    progress(2, 5)
    costs = measure(scenario, plain, infused)
    progress(3, 5)
    batched = _batched(scenario, infused)
    loading, scoring = _scored(infused)
    progress(4, 5)
    written = _written(scenario, infused, folder, file_rows)
    progress(5, 5)
    flows = len(scenario.test[0])
    return DecisionSpeed(
        costs, BATCH, batched, file_rows, written, flows, loading, scoring, flows / scoring
    )


def _trained(scenario: Scenario, folder: Path, algo: str) -> RunFolder:
    run = RunFolder(folder)
    advice = ("advice.advisor=embedded",) if algo == "ppo-kg" else ()
    settings = config.load(None, advice, {"algo": algo, "flows": FLOWS})
    begin(run, settings, scenario)
    training.train(run)
    return run


def _batched(scenario: Scenario, run: RunFolder) -> float:
    decider = Decider.of(run, scenario)
    features = registry.drawn(BATCH * BATCHES, 1, scenario.catalogue).read().features
    pieces = np.split(features, BATCHES)
    decider.actions(pieces[0])
    seconds = [_seconds(partial(decider.actions, piece)) for piece in pieces]
    return BATCH / statistics.median(seconds)


def _written(scenario: Scenario, run: RunFolder, folder: Path, rows: int) -> dict[Format, float]:
    """Rows per second of ``kirl decide``'s own way by format."""
    data, out = folder / "flows.parquet", folder / "decisions.parquet"
    features = registry.drawn(rows, 1, scenario.catalogue).read().features
    columns = [pa.array(np.ascontiguousarray(column), pa.float64()) for column in features.T]
    pq.write_table(pa.Table.from_arrays(columns, list(scenario.schema.names)), data)
    del features, columns
    rates: dict[Format, float] = {}
    formats: tuple[Format, ...] = ("parquet", "json", "csv")
    for kind in formats:
        with Path(os.devnull).open("wb") as nowhere:
            seconds = [
                Job.of(run, [data]).write(out if kind == "parquet" else nowhere, kind).seconds
                for _ in range(2)
            ]
        rates[kind] = rows / min(seconds)
    return rates


def _scored(run: RunFolder) -> tuple[float, float]:
    begun = time.perf_counter()
    policy, flows = run.policy(), run.scenario().flow_set("test")
    loading = time.perf_counter() - begun
    score = [
        _seconds(lambda: evaluate(policy.actions(flows.contexts), flows)) for _ in range(ROUNDS)
    ]
    return loading, statistics.median(score)


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
