"""kirl's tree beside scikit-learn's own: the same flows, in turn, both time and quality.

``python -m rayapp.lab.bench.trees JSON`` does the work, in a process whose memory is its own.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from envs import Catalogue, Flows
from envs.datasets import registry
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
        grown: trees by who grew them, one per seed.
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
    """Grows trees in turn, in a process of its own.

    Args:
        data: files of CICIDS2017; empty for synthetic flows.
        rows: synthetic ones.
        seeds: trees of each kind.
        counted_from: see :func:`envs.detector.growing.grow`.

    Raises:
        RuntimeError: that process failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        order = {
            "data": [str(path.absolute()) for path in data],
            "rows": rows,
            "seeds": seeds,
            "counted_from": counted_from,
            "result": str(result),
        }
        done = subprocess.run(  # noqa: S603 (our own)
            [sys.executable, "-m", "rayapp.lab.bench.trees", json.dumps(order)],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"comparing ended with {done.returncode}:\n{done.stderr[-2_000:]}")
        told = json.loads(result.read_text())
    told["grown"] = {
        name: tuple(Grown(**one) for one in trees) for name, trees in told["grown"].items()
    }
    return TreeComparison(**told)


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


def _main(order: str) -> None:
    given = json.loads(order)
    files = [Path(path) for path in given["data"]]
    catalogue = Catalogue.named("paper")
    source = (
        registry.opened(files, catalogue) if files else registry.drawn(given["rows"], 0, catalogue)
    )
    flows = source.read()
    found = grown_in_turn(flows, given["seeds"], given["counted_from"])
    Path(given["result"]).write_text(json.dumps(asdict(found)))


if __name__ == "__main__":
    _main(sys.argv[1])
