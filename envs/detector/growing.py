"""Fully grown decision trees of millions of flows, in a fraction of scikit-learn's time.

The same greedy tree as ``DecisionTreeClassifier(random_state=seed).fit`` grows: at every node
the best of all splits by Gini impurity, until leaves are pure or their flows alike. Nodes of
many flows are split by counting (:mod:`envs.detector.splitting`), whatever is small is left to
scikit-learn. Only where several splits are equally good, chance may choose another one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from envs.detector.binned import Binned
from envs.detector.nodes import LEAF, compiled
from envs.detector.splitting import Splitter

if TYPE_CHECKING:
    # It takes more than a second to import, which most commands do without.
    from sklearn.tree import DecisionTreeClassifier

COUNTED_FROM = 100_000
"""Flows of a node from which counting is worth its while."""

_UNDEFINED = -2


def grow(
    features: NDArray[np.float32],
    actual: NDArray[np.integer[Any]],
    *,
    seed: int,
    counted_from: int = COUNTED_FROM,
) -> DecisionTreeClassifier:
    """Grows a tree.

    Args:
        features: float32 [n, features], finite.
        actual: [n], class numbers.
        seed: decides among equally good splits.
        counted_from: flows of a node from which its split is found by counting.
    """
    from sklearn.tree import DecisionTreeClassifier

    classes, known = np.unique(actual, return_inverse=True)
    if len(features) < counted_from or len(classes) < 2:
        return DecisionTreeClassifier(random_state=seed).fit(features, actual)
    tree = _Growth(features, known, len(classes), seed, counted_from).run()
    # A tree of one flow per class has everything but the nodes.
    few = np.unique(known, return_index=True)[1]
    grown = DecisionTreeClassifier(random_state=seed).fit(features[few], classes[known[few]])
    grown.tree_ = tree.compiled(features.shape[1])
    return grown


@dataclass
class _Nodes:
    """Columns of a tree's nodes, parents first, left ones before right ones."""

    left: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    feature: list[int] = field(default_factory=list)
    threshold: list[float] = field(default_factory=list)
    counts: list[NDArray[np.int64]] = field(default_factory=list)
    depth: list[int] = field(default_factory=list)

    def add(self, counts: NDArray[np.int64], depth: int) -> int:
        """A leaf, until it is said to be something else; returns its number."""
        self.left.append(LEAF)
        self.right.append(LEAF)
        self.feature.append(_UNDEFINED)
        self.threshold.append(float(_UNDEFINED))
        self.counts.append(counts)
        self.depth.append(depth)
        return len(self.left) - 1

    def compiled(self, width: int) -> Any:  # noqa: ANN401 (scikit-learn is untyped)
        """The same as scikit-learn's own, for flows of ``width`` features."""
        counts = np.array(self.counts, np.float64)
        flows = counts.sum(axis=1)
        shares = counts / flows[:, None]
        left, right = np.array(self.left), np.array(self.right)
        nodes = {
            "left_child": left,
            "right_child": right,
            "feature": self.feature,
            "threshold": self.threshold,
            "impurity": 1 - (shares**2).sum(axis=1),
            "n_node_samples": flows,
            "weighted_n_node_samples": flows,
            # Where scikit-learn would send what is missing; here nothing is.
            "missing_go_to_left": (left != LEAF) & (flows[left] > flows[right]),
        }
        return compiled(width, nodes, shares, max(self.depth))


@dataclass(frozen=True)
class _Task:
    """A node to be grown.

    Attributes:
        rows: of its flows.
        candidates: features that may vary among them.
        depth: of the node.
        parent: number of the node above, -1 for the root.
        is_left: which of its children it is.
    """

    rows: NDArray[np.int32]
    candidates: list[int]
    depth: int
    parent: int
    is_left: bool


class _Growth:
    def __init__(
        self,
        features: NDArray[np.float32],
        actual: NDArray[np.integer[Any]],
        classes: int,
        seed: int,
        counted_from: int,
    ) -> None:
        self._features, self._actual, self._classes = features, actual, classes
        self._counted_from = counted_from
        self._rng = np.random.default_rng(seed)
        self._splitter = Splitter(features, Binned.of(features, actual, classes))
        self._nodes = _Nodes()

    def run(self) -> _Nodes:
        """Grows the whole tree, depth first and left before right, as scikit-learn does."""
        everything = np.arange(len(self._features), dtype=np.int32)
        tasks = [_Task(everything, list(range(self._features.shape[1])), 0, -1, is_left=False)]
        while tasks:
            tasks.extend(self._grown(tasks.pop()))
        return self._nodes

    def _grown(self, task: _Task) -> Iterator[_Task]:
        """Adds a node, or all of a small tree; the children yet to be grown, right one first."""
        rows = task.rows
        counts = np.bincount(self._actual[rows], minlength=self._classes)
        pure = np.count_nonzero(counts) == 1
        if len(rows) < self._counted_from and not pure:
            self._attach(task, self._subtree(rows), counts)
            return
        number = self._nodes.add(counts, task.depth)
        self._link(task, number)
        if pure:
            return
        split, varying = self._splitter.best(rows, self._shuffled(task.candidates))
        if split is None:
            return
        self._nodes.feature[number], self._nodes.threshold[number] = split.feature, split.threshold
        left = self._features[rows, split.feature] <= split.threshold
        for side, is_left in ((~left, False), (left, True)):
            yield _Task(rows[side], varying, task.depth + 1, number, is_left)

    def _shuffled(self, candidates: list[int]) -> list[int]:
        """In a new order: it decides among equally good splits."""
        order: list[int] = self._rng.permutation(candidates).tolist()
        return order

    def _link(self, task: _Task, number: int) -> None:
        if task.parent >= 0:
            children = self._nodes.left if task.is_left else self._nodes.right
            children[task.parent] = number

    def _subtree(self, rows: NDArray[np.int32]) -> DecisionTreeClassifier:
        from sklearn.tree import DecisionTreeClassifier

        seed = int(self._rng.integers(2**31))
        tree = DecisionTreeClassifier(random_state=seed)
        return tree.fit(self._features[rows], self._actual[rows])

    def _attach(self, task: _Task, tree: DecisionTreeClassifier, counts: NDArray[np.int64]) -> None:
        """Hangs scikit-learn's tree below a node; its nodes keep their order."""
        inner, nodes = tree.tree_, self._nodes
        first = len(nodes.left)
        self._link(task, first)
        shares = np.zeros((inner.node_count, self._classes))
        shares[:, np.asarray(tree.classes_)] = inner.value[:, 0, :]
        counted = np.rint(shares * inner.n_node_samples[:, None]).astype(np.int64)
        depth = _depths(inner.children_left, inner.children_right) + task.depth
        for node in range(inner.node_count):
            number = nodes.add(counted[node], int(depth[node]))
            if inner.children_left[node] != LEAF:
                nodes.left[number] = first + int(inner.children_left[node])
                nodes.right[number] = first + int(inner.children_right[node])
                nodes.feature[number] = int(inner.feature[node])
                nodes.threshold[number] = float(inner.threshold[node])


def _depths(left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """Depth of every node below the first, whose children have higher numbers."""
    depth = np.zeros(len(left), np.int64)
    for node in np.flatnonzero(left != LEAF):
        depth[left[node]] = depth[right[node]] = depth[node] + 1
    return depth
