"""What a training asks its language model: changed prompts alone, and equal ones once."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch

from envs import Scenario
from llm_actor.selection import AdvisorSpec
from rayapp.lab.bench.advisor import Progress
from rayapp.rl.ppo import KnowledgePPOConfig

FLOWS = 4_000_000
ROWS = 300_000
"""Synthetic flows of the scenario: what ``kirl prepare --synthetic`` is shown with."""

FLOWS = 65_536
"""Of an iteration, as ``kirl train`` has it."""


@dataclass(frozen=True)
class CacheFigures:
    """Where the advice of a training came from. The model is waited for, so this is exact.

    ``needed = shared + known + asked``.

    Attributes:
        scenario: fingerprint.
        flows: flows trained on.
        tables: of advice, one before the first iteration and one after each.
        signatures: that each table advises on.
        needed: answers: one per signature and table.
        shared: that another signature of the same table had asked for.
        known: that needed no asking, for the prompt had not changed or had been answered
            before.
        asked: that went to the language model.
        asked_per_million: flows.
        seconds: of the training, the first table included.
    """

    scenario: str
    flows: int
    tables: int
    signatures: int
    needed: int
    shared: int
    known: int
    asked: int
    asked_per_million: float
    seconds: float


def measure_cache(scenario: Path, flows: int, progress: Progress) -> CacheFigures:
    """Trains with the embedded model and counts what it is asked. Ray must be running.

    Args:
        scenario: to train on.
        flows: flows, at least 1.
        progress: called with flows done and in all.
    """
    begun = time.perf_counter()
    # As kirl train has it: a second thread costs these small networks more than it brings.
    torch.set_num_threads(1)
    loaded = Scenario.load(scenario)
    algorithm = (
        KnowledgePPOConfig()
        .scenario(scenario)
        .knowledge(total_env_steps=flows, advisor=AdvisorSpec("embedded"), advice_wait=True)
        .training(train_batch_size_per_learner=FLOWS, num_epochs=8, lr=3e-3, clip_param=0.3)
        .debugging(seed=0, log_level="ERROR")
        .build_algo()
    )
    try:
        advised = [algorithm.memory.advised]
        while algorithm.flows < flows:
            algorithm.train()
            advised.append(algorithm.memory.advised)
            progress(min(algorithm.flows, flows), flows)
        trained = algorithm.flows
    finally:
        algorithm.stop()
    distinct = sum(table.distinct for table in advised)
    asked = sum(table.asked for table in advised)
    signatures, tables = len(loaded.signatures), len(advised)
    return CacheFigures(
        scenario=loaded.fingerprint,
        flows=trained,
        tables=tables,
        signatures=signatures,
        needed=tables * signatures,
        shared=tables * signatures - distinct,
        known=distinct - asked,
        asked=asked,
        asked_per_million=asked / (trained / 1e6),
        seconds=time.perf_counter() - begun,
    )
