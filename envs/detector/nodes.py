"""A decision tree as plain arrays: what a detector keeps, writes and reads.

Growing a tree takes scikit-learn, and walking one down does so too, since its compiled walk is
eight times as fast as one in numpy. All else needs arrays alone, so it does without the second
or more that importing scikit-learn takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from envs.detector.files import Shapes, read_arrays, write_arrays

if TYPE_CHECKING:
    from sklearn.tree import DecisionTreeClassifier

LEAF = -1
"""Number of both children of a leaf."""

_MOST_NODES = 2**25
_MOST_FEATURES = 2**16
_MOST_CLASSES = 127

_KINDS: Mapping[str, str] = {
    "children_left": "I64",
    "children_right": "I64",
    "feature": "I64",
    "threshold": "F64",
    "value": "F64",
    "classes": "I64",
    "width": "I64",
}
"""Type of each array in a file, by its name."""


@dataclass(frozen=True, eq=False)
class TreeNodes:
    """The nodes of a decision tree; node 0 is the root, children stand behind their parent.

    A flow goes left where its ``feature`` is not above ``threshold``.

    Attributes:
        children_left: int64 [nodes], number of the left child, :data:`LEAF` for a leaf.
        children_right: int64 [nodes], of the right one.
        feature: int64 [nodes], column that the node tests; what a leaf has here means nothing.
        threshold: float64 [nodes].
        value: float64 [nodes, classes], shares of the classes among the flows fitted on.
        classes: int64 [classes], the class number of each column of ``value``, ascending.
        width: int64 [1], number of features of the flows fitted on.
    """

    children_left: NDArray[np.int64]
    children_right: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    value: NDArray[np.float64]
    classes: NDArray[np.int64]
    width: NDArray[np.int64]

    @classmethod
    def of(cls, tree: DecisionTreeClassifier) -> TreeNodes:
        """The nodes of a fitted tree of scikit-learn's."""
        inner = tree.tree_
        return cls(
            np.ascontiguousarray(inner.children_left, np.int64),
            np.ascontiguousarray(inner.children_right, np.int64),
            np.ascontiguousarray(inner.feature, np.int64),
            np.ascontiguousarray(inner.threshold, np.float64),
            np.ascontiguousarray(inner.value[:, 0, :], np.float64),
            np.asarray(tree.classes_, np.int64),
            np.array([inner.n_features], np.int64),
        )

    def __len__(self) -> int:
        return len(self.children_left)

    @cached_property
    def leaves(self) -> NDArray[np.int64]:
        """Numbers of the leaves, ascending, int64 [leaves]; a leaf's rank is its signature."""
        return np.flatnonzero(self.children_left == LEAF)

    def apply(self, features: NDArray[np.float32]) -> NDArray[np.int64]:
        """The leaf that each flow reaches, int64 [n].

        Args:
            features: float32 [n, width], finite.
        """
        reached: NDArray[np.int64] = self._walker.apply(features)
        return reached

    @cached_property
    def _walker(self) -> Any:  # noqa: ANN401 (scikit-learn is untyped)
        nodes = {
            "left_child": self.children_left,
            "right_child": self.children_right,
            "feature": self.feature,
            "threshold": self.threshold,
        }
        return compiled(int(self.width[0]), nodes, self.value)

    def save(self, path: Path) -> None:
        """Writes the arrays as safetensors."""
        write_arrays(path, {name: getattr(self, name) for name in _KINDS})

    @classmethod
    def load(cls, path: Path) -> TreeNodes:
        """Reads what :meth:`save` wrote.

        Raises:
            ValueError: the file holds other arrays, or such that are no tree.
            safetensors.SafetensorError: it is no file of safetensors, or damaged.
            OSError: it cannot be read.
        """
        nodes = cls(**read_arrays(path, _KINDS, "a tree", _check_shapes))
        nodes.check()
        return nodes

    def check(self) -> None:
        """Raises :class:`ValueError` unless the nodes are a tree whose walks all end.

        Compiled code trusts the numbers that it walks by; a file's are not to be trusted.
        """
        inside = np.flatnonzero(self.children_left != LEAF)
        below = np.concatenate([self.children_left[inside], self.children_right[inside]])
        width, classes = self.width[0], self.classes
        # Every node but the root is one node's child, and stands behind it: so each walk ends.
        if not np.array_equal(np.sort(below), np.arange(1, len(self))) or np.any(
            below <= np.tile(inside, 2)
        ):
            raise ValueError("the nodes are no tree")
        if np.any(self.children_right[self.leaves] != LEAF):
            raise ValueError("a node has one child")
        if not 1 <= width <= _MOST_FEATURES:
            raise ValueError("a number of features that cannot be")
        if np.any((self.feature[inside] < 0) | (self.feature[inside] >= width)):
            raise ValueError("a node tests no feature")
        if not np.isfinite(self.threshold).all() or not np.isfinite(self.value).all():
            raise ValueError("a number is missing or infinite")
        if classes.min() < 0 or classes.max() >= _MOST_CLASSES or np.any(np.diff(classes) <= 0):
            raise ValueError("classes that cannot be")


def _check_shapes(shapes: Shapes) -> None:
    nodes, classes = shapes["children_left"], shapes["classes"]
    if len(nodes) != 1 or not 1 <= nodes[0] <= _MOST_NODES:
        raise ValueError("a number of nodes that cannot be")
    if len(classes) != 1 or not 1 <= classes[0] <= _MOST_CLASSES:
        raise ValueError("a number of classes that cannot be")
    wanted = dict.fromkeys(_KINDS, nodes) | {
        "value": nodes + classes,
        "classes": classes,
        "width": (1,),
    }
    if shapes != wanted:
        raise ValueError("arrays of different lengths")


def compiled(
    width: int,
    nodes: Mapping[str, object],
    value: NDArray[np.float64],
    max_depth: int = 0,
) -> Any:  # noqa: ANN401
    """scikit-learn's own compiled tree, which walks flows down.

    Args:
        width: number of features.
        nodes: columns of the nodes by scikit-learn's names; those left out are 0.
        value: float64 [nodes, classes], shares of the classes.
        max_depth: of the deepest leaf; walking does without it.
    """
    from sklearn.tree._tree import Tree

    # scikit-learn pickles trees in this form; it has no other way to make one of given nodes.
    tree = Tree(width, np.array([value.shape[1]], np.intp), 1)
    table = np.zeros(len(value), tree.__getstate__()["nodes"].dtype)
    for name, column in nodes.items():
        table[name] = column
    tree.__setstate__(
        {
            "max_depth": max_depth,
            "node_count": len(value),
            "nodes": table,
            "values": np.ascontiguousarray(value[:, None, :]),
        }
    )
    return tree
