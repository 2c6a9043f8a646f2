"""kirl's tree beside scikit-learn's own: the same flows, in turn, both time and quality."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from envs import Catalogue, Flows
from envs.datasets import registry
from envs.datasets.source import Reading
from envs.detector.growing import COUNTED_FROM, grow
from envs.division import split

if TYPE_CHECKING:
    from sklearn.tree import DecisionTreeClassifier

OURS, THEIRS = "kirl", "scikit-learn"


@dataclass(frozen=True)
class Grown:
    """One tree.

    Attributes:
        seconds: that growing it took.
        processor_seconds: of the processors.
        leaves: signatures.
        depth: of the deepest leaf.
        sorted_per_flow: how often scikit-learn sorts a flow by each feature on the way down
            this tree: at every node it passes. kirl sorts once, and again in small nodes.
        accuracy: on the test flows.
        macro_f1: on the test flows, mean over classes.
    """

    seconds: float
    processor_seconds: float
    leaves: int
    depth: int
    sorted_per_flow: float
    accuracy: float
    macro_f1: float


@dataclass(frozen=True)
class TreeComparison:
    """What ``kirl bench prepare --compare`` prints.

    Attributes:
        fitted, tested: flows of each.
        counted_from: flows of a node from which kirl's tree counts instead of sorting.
        grown: trees by the program that grew them, one per seed.
        ratio: of the medians of processor time, scikit-learn's to kirl's.
    """

    fitted: int
    tested: int
    counted_from: int
    grown: dict[str, tuple[Grown, ...]]
    ratio: float


def compare_trees(
    data: Sequence[Path], rows: int, seeds: int, counted_from: int = COUNTED_FROM
) -> TreeComparison:
    """Grows trees in turn.

    Args:
        data: files of CICIDS2017; empty for synthetic flows.
        rows: number of synthetic flows.
        seeds: trees of each kind.
        counted_from: see :func:`envs.detector.growing.grow`.
    """
    catalogue = Catalogue.named("paper")
    source = (
        registry.opened(data, Reading.labelled(catalogue))
        if data
        else registry.drawn(rows, 0, catalogue)
    )
    flows = source.read()
    return grown_in_turn(flows, seeds, counted_from)


def grown_in_turn(flows: Flows, seeds: int, counted_from: int) -> TreeComparison:
    """Both kinds of tree on the training part of flows, seed by seed."""
    from sklearn.tree import DecisionTreeClassifier

    train, test = split(flows.actual, seed=0)
    # As kirl prepare hands them over: float32, each flow's features side by side.
    features, actual = flows.features[train], flows.actual[train]
    unseen, truly = flows.features[test], flows.actual[test]
    grown: dict[str, list[Grown]] = {OURS: [], THEIRS: []}
    for seed in range(seeds):
        ways: dict[str, Callable[[int], DecisionTreeClassifier]] = {
            OURS: lambda seed: grow(features, actual, seed=seed, counted_from=counted_from),
            THEIRS: lambda seed: DecisionTreeClassifier(random_state=seed).fit(features, actual),
        }
        for name, way in ways.items():
            begun, worked = time.perf_counter(), time.process_time()
            tree = way(seed)
            seconds = time.perf_counter() - begun, time.process_time() - worked
            grown[name].append(
                _judged(tree, seconds, replace(flows, features=unseen, actual=truly))
            )
    ours, theirs = (
        statistics.median(one.processor_seconds for one in grown[name]) for name in (OURS, THEIRS)
    )
    found = {name: tuple(trees) for name, trees in grown.items()}
    return TreeComparison(len(train), len(test), counted_from, found, theirs / ours)


def _judged(tree: DecisionTreeClassifier, seconds: tuple[float, float], test: Flows) -> Grown:
    from sklearn.metrics import f1_score

    said, inner = tree.predict(test.features), tree.tree_
    split_at = inner.children_left >= 0
    return Grown(
        *seconds,
        int(tree.get_n_leaves()),
        int(tree.get_depth()),
        float(inner.n_node_samples[split_at].sum() / inner.n_node_samples[0]),
        float(np.mean(said == test.actual)),
        float(f1_score(test.actual, said, average="macro")),
    )
