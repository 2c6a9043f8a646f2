"""A count of a training's flows that is made apart from it, and what its graph has beside that."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import FlowSet, Scenario
from envs.stream import FlowStream
from kg_actor import GraphCounts
from rayapp.runs.folder import RunFolder


def expected_counts(scenario: Scenario, folder: RunFolder, length: int) -> NDArray[np.int64]:
    """Flows by signature and true class that a run has met, int64 [signatures, classes]."""
    settings = folder.manifest().settings
    flows = scenario.flow_set("train", matching=settings.matching)
    return counted_apart(flows, settings.seed, length)


def counted_apart(flows: FlowSet, seed: int, length: int) -> NDArray[np.int64]:
    """Flows by signature and true class that a training meets, by the flow stream alone.

    Which flow comes when follows from the seed and its place.
    """
    size = len(flows.signature)
    passes, rest = divmod(length, size)
    counts = np.zeros((len(flows.contexts.predicted), len(flows.catalogue.classes)), np.int64)
    np.add.at(counts, (flows.signature, flows.actual), passes)
    last = FlowStream(size, seed).take(passes * size, rest)
    np.add.at(counts, (flows.signature[last], flows.actual[last]), 1)
    return counts


def lost_and_doubled(
    found: GraphCounts, expected: NDArray[np.int64], predicted: NDArray[np.integer[Any]]
) -> tuple[int, int]:
    """Flows that a graph lacks, and that it has too many of: by signature and by predicted type.

    Args:
        found: the graph.
        expected: what :func:`counted_apart` gives.
        predicted: class of each signature.
    """
    by_type = np.zeros_like(found.type_action.sum(axis=1))
    np.add.at(by_type, predicted, expected)
    # Which action a flow met is the policy's doing; that it met one, and only one, is not.
    both = (found.signature_actual - expected, found.type_action.sum(axis=1) - by_type)
    return (
        max(int(-difference[difference < 0].sum()) for difference in both),
        max(int(difference[difference > 0].sum()) for difference in both),
    )
