"""Many decision trees that vote, as plain arrays: what a second opinion keeps, writes and reads.

scikit-learn fits boosted trees and random forests. Both are kept here in one form, and walked
down by scikit-learn's compiled tree (:func:`envs.detector.nodes.compiled`), so a saved ensemble
answers as the fitted one does, to the bit, and needs no pickle.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from envs.detector.files import Shapes, read_arrays, write_arrays
from envs.detector.nodes import LEAF, TreeNodes

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

_MOST_NODES = 2**25
_MOST_TREES = 2**20
_MOST_CLASSES = 127
_CHUNK = 8_192
"""Flows walked down all trees together: what is looked at again stays in the processor's cache."""

_KINDS: Mapping[str, str] = {
    "children_left": "I64",
    "children_right": "I64",
    "feature": "I64",
    "threshold": "F64",
    "value": "F64",
    "sizes": "I64",
    "column": "I64",
    "baseline": "F64",
    "classes": "I64",
    "width": "I64",
    "temperature": "F64",
}
"""Type of each array in a file, by its name."""


@dataclass(frozen=True, eq=False)
class TreeEnsemble:
    """Trees one behind the other, and how their leaves become probabilities.

    Boosted trees add one number each to the score of one class, and probabilities are the softmax
    of the scores. The trees of a forest give shares of all classes each, whose mean they are.

    Attributes:
        children_left: int64 [nodes], number of the left child within its tree, -1 for a leaf.
        children_right: int64 [nodes], of the right one.
        feature: int64 [nodes], column that the node tests.
        threshold: float64 [nodes]; a flow goes left where the feature is not above it.
        value: float64 [nodes, 1] of boosted trees, [nodes, classes] of a forest.
        sizes: int64 [trees], nodes of each tree.
        column: int64 [trees], position in ``classes`` of the class that a boosted tree speaks of;
            -1 for the trees of a forest.
        baseline: float64 [classes], scores before the first tree.
        classes: int64 [classes], ascending class numbers.
        width: int64 [1], number of features.
        temperature: float64 [1], what the logarithms of probabilities are divided by; above 1
            makes them less sure.
    """

    children_left: NDArray[np.int64]
    children_right: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    value: NDArray[np.float64]
    sizes: NDArray[np.int64]
    column: NDArray[np.int64]
    baseline: NDArray[np.float64]
    classes: NDArray[np.int64]
    width: NDArray[np.int64]
    temperature: NDArray[np.float64]

    @classmethod
    def constant(cls, classes: Sequence[int], width: int) -> TreeEnsemble:
        """An ensemble without trees, which finds all of its classes equally likely."""
        return cls._of([], [], np.zeros(len(classes)), np.asarray(classes, np.int64), width)

    @classmethod
    def of_boosted(cls, fitted: HistGradientBoostingClassifier) -> TreeEnsemble:
        """The trees of a fitted histogram gradient boosting."""
        # Private: scikit-learn has no other way to hand out boosted trees than a pickle.
        rounds, first = fitted._predictors, np.ravel(fitted._baseline_prediction)
        nodes = [tree.nodes for trees in rounds for tree in trees]
        columns = [number for trees in rounds for number in range(len(trees))]
        if len(first) < len(fitted.classes_):
            # Two classes share one score: that of the second one, against 0.
            first, columns = np.array([0.0, *first]), [1] * len(columns)
        width = int(fitted.n_features_in_)
        classes = np.asarray(fitted.classes_, np.int64)
        trees = (_of_boosting(tree, classes, width) for tree in nodes)
        return cls._of(trees, columns, first, classes, width)

    @classmethod
    def of_forest(cls, fitted: RandomForestClassifier) -> TreeEnsemble:
        """The trees of a fitted random forest."""
        classes, width = np.asarray(fitted.classes_, np.int64), int(fitted.n_features_in_)
        trees = [TreeNodes.of(tree) for tree in fitted.estimators_]
        return cls._of(trees, [-1] * len(trees), np.zeros(len(classes)), classes, width)

    @classmethod
    def _of(
        cls,
        trees: Iterable[TreeNodes],
        columns: Sequence[int],
        baseline: NDArray[np.float64],
        classes: NDArray[np.int64],
        width: int,
    ) -> TreeEnsemble:
        held = list(trees)

        def joined(name: str, kind: type[Any]) -> NDArray[Any]:
            parts = [getattr(tree, name) for tree in held]
            return np.concatenate(parts).astype(kind) if parts else np.zeros(0, kind)

        outputs = held[0].value.shape[1] if held else 1
        return cls(
            joined("children_left", np.int64),
            joined("children_right", np.int64),
            joined("feature", np.int64),
            joined("threshold", np.float64),
            joined("value", np.float64).reshape(-1, outputs),
            np.array([len(tree) for tree in held], np.int64),
            np.asarray(columns, np.int64),
            np.asarray(baseline, np.float64),
            classes,
            np.array([width], np.int64),
            np.ones(1),
        )

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probability of each of its classes, float64 [n, classes]; rows sum to 1.

        Args:
            features: float32 [n, width], finite.
        """
        found = np.empty((len(features), len(self.classes)))
        starts, trees = range(0, len(features), _CHUNK), self._trees

        def walk(start: int) -> None:
            chunk = np.ascontiguousarray(features[start : start + _CHUNK], np.float32)
            found[start : start + _CHUNK] = self._of_chunk(chunk, trees)

        # A flow's probabilities do not depend on who computes them, or when.
        with ThreadPoolExecutor(min(len(starts), os.cpu_count() or 1) or 1) as pool:
            list(pool.map(walk, starts))
        return found

    def _of_chunk(
        self, features: NDArray[np.float32], trees: Sequence[TreeNodes]
    ) -> NDArray[np.float64]:
        scores = np.tile(self.baseline, (len(features), 1))
        for tree, column in zip(trees, self.column.tolist(), strict=True):
            reached = tree.value[tree.apply(features)]
            if column < 0:
                scores += reached
            else:
                scores[:, column] += reached[:, 0]
        if self._is_forest:
            with np.errstate(divide="ignore"):
                scores = np.log(scores)
        scores /= self.temperature
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=1, keepdims=True)
        return scores

    @property
    def _is_forest(self) -> bool:
        return bool(len(self.column)) and int(self.column[0]) < 0

    @cached_property
    def _trees(self) -> list[TreeNodes]:
        ends = np.cumsum(self.sizes).tolist()
        parts = (slice(start, end) for start, end in zip([0, *ends], ends, strict=False))
        return [
            TreeNodes(
                self.children_left[part],
                self.children_right[part],
                self.feature[part],
                self.threshold[part],
                self.value[part],
                self.classes,
                self.width,
            )
            for part in parts
        ]

    def digest(self) -> str:
        """SHA-256 of all arrays: equal ensembles have equal digests."""
        digest = hashlib.sha256()
        for name in _KINDS:
            digest.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Writes the arrays as safetensors."""
        write_arrays(path, {name: getattr(self, name) for name in _KINDS})

    @classmethod
    def load(cls, path: Path) -> TreeEnsemble:
        """Reads what :meth:`save` wrote.

        Raises:
            ValueError: the file holds other arrays, or such that are no trees.
            safetensors.SafetensorError: it is no file of safetensors, or damaged.
            OSError: it cannot be read.
        """
        ensemble = cls(**read_arrays(path, _KINDS, "an ensemble", _check_shapes))
        ensemble._check()
        return ensemble

    def _check(self) -> None:
        """Compiled code trusts the numbers that it walks by; a file's are not to be trusted."""
        sizes, column = self.sizes, self.column
        if len(sizes) and sizes.min() < 1:
            raise ValueError("a tree without nodes")
        if int(sizes.sum()) != len(self.children_left):
            raise ValueError("trees of other sizes than their nodes")
        outputs, classes = self.value.shape[1], len(self.classes)
        boosted = outputs == 1 and bool(np.all((column >= 0) & (column < classes)))
        forest = outputs == classes and bool(np.all(column == -1))
        if not (boosted or forest):
            raise ValueError("a tree speaks of no class")
        if forest and (self.value.min(initial=0) < 0 or self.value.max(initial=0) > 1):
            raise ValueError("shares that cannot be")
        if not np.isfinite(self.baseline).all() or not 0.01 <= self.temperature[0] <= 100:
            raise ValueError("a number is missing or infinite")
        for tree in self._trees or [_stump(self.classes, self.width)]:
            tree.check()


def _of_boosting(nodes: NDArray[Any], classes: NDArray[np.int64], width: int) -> TreeNodes:
    leaf = nodes["is_leaf"].astype(bool)
    return TreeNodes(
        np.where(leaf, LEAF, nodes["left"].astype(np.int64)),
        np.where(leaf, LEAF, nodes["right"].astype(np.int64)),
        np.where(leaf, 0, nodes["feature_idx"]).astype(np.int64),
        np.where(leaf, 0.0, nodes["num_threshold"]),
        nodes["value"].astype(np.float64)[:, None],
        classes,
        np.array([width], np.int64),
    )


def _stump(classes: NDArray[np.int64], width: NDArray[np.int64]) -> TreeNodes:
    """A tree of one leaf, to check classes and width by where there are no trees."""
    leaf, nothing = np.array([LEAF]), np.zeros(1, np.int64)
    return TreeNodes(leaf, leaf, nothing, np.zeros(1), np.zeros((1, 1)), classes, width)


def _check_shapes(shapes: Shapes) -> None:
    nodes, classes, trees = shapes["children_left"], shapes["classes"], shapes["sizes"]
    if len(nodes) != 1 or nodes[0] > _MOST_NODES:
        raise ValueError("a number of nodes that cannot be")
    if len(classes) != 1 or not 1 <= classes[0] <= _MOST_CLASSES:
        raise ValueError("a number of classes that cannot be")
    if len(trees) != 1 or trees[0] > _MOST_TREES:
        raise ValueError("a number of trees that cannot be")
    wanted = dict.fromkeys(("children_left", "children_right", "feature", "threshold"), nodes)
    wanted |= {"sizes": trees, "column": trees, "baseline": classes, "classes": classes}
    wanted |= {"width": (1,), "temperature": (1,)}
    value = shapes.pop("value")
    if shapes != wanted or value not in ((*nodes, 1), nodes + classes):
        raise ValueError("arrays of different lengths")
