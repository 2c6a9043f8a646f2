"""Scenarios of any size, for measuring; nothing about traffic can be learnt from them."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs import Catalogue, Scenario
from envs.catalogue import Mitigation
from envs.datasets import cicflowmeter
from envs.detector import TreeDetector
from envs.flows import Provenance
from envs.scenario_files import Tables
from envs.signatures import SignatureTable

_TEST_FLOWS = 1_000


def made_up(
    out: Path, *, flows: int, signatures: int = 1_451, actions: int | None = None
) -> Scenario:
    """Writes a scenario of made-up flows.

    Args:
        out: the folder.
        flows: of the training part.
        signatures: by default as many as the paper's tree has.
        actions: how many; by default the paper's, and beyond those, ones that no class ranks.
    """
    catalogue, rng = _catalogue(actions), np.random.default_rng(signatures)
    classes = len(catalogue.classes)
    predicted = rng.integers(0, classes, signatures).astype(np.int8)
    train, test = (skewed_flows(predicted, classes, count, rng) for count in (flows, _TEST_FLOWS))
    names = np.repeat(np.arange(classes, dtype=np.int8), 2)
    features = np.tile(names[:, None], len(cicflowmeter.SCHEMA)).astype(np.float32)
    about = {
        "source": asdict(
            Provenance("synthetic", {"made up": flows}, rows_read=flows, synthetic=True)
        ),
        "classes": dict.fromkeys(catalogue.class_names, 0),
        "split": {"seed": 0, "test_share": 0.0, "honest": None, "cross_fit": 0},
    }
    support = np.bincount(train[0], minlength=signatures)
    rules = tuple(f"made up {number}" for number in range(signatures))
    return Scenario.write(
        out,
        about,
        TreeDetector.fit(features, names, seed=0),
        Tables(
            SignatureTable(predicted, rules, support),
            train,
            test,
            np.zeros((0, flows), np.int32),
        ),
        catalogue,
        cicflowmeter.SCHEMA,
    )


def _catalogue(actions: int | None) -> Catalogue:
    paper = Catalogue.named("paper")
    known = len(paper.actions)
    more = (Mitigation(f"Made up {n}", f"M9{n:03d}") for n in range(known, actions or known))
    return replace(paper, actions=(*paper.actions, *more))


def skewed_flows(
    predicted: NDArray[np.int8], classes: int, count: int, rng: np.random.Generator
) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    """Draws flows: signatures unevenly (Zipf-like), and one flow in fifty misdetected.

    Args:
        predicted: class of each signature.
        classes: how many there are.
        count: flows to draw.
        rng: draws them.

    Returns:
        Signature int32 and true class int8 of each flow.
    """
    signature = (len(predicted) * rng.random(count) ** 3).astype(np.int32)
    wrong = rng.random(count) < 0.02
    actual = np.where(wrong, rng.integers(0, classes, count), predicted[signature])
    return signature, actual.astype(np.int8)
