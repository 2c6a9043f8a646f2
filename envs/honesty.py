"""Honest records of a detector's mistakes: signatures met by flows they were not made from.

A fully grown tree is right about nearly every flow that it was fitted on, so counters filled
with those flows say nothing of the mistakes it will make. Two ways out:

* an honest split: the tree is fitted on one part of the training flows, and the agent meets
  the other (the term and the idea are those of honest trees: Athey and Imbens 2016,
  arXiv 1504.01132);
* cross-fitting, which gives up no flows: the training flows are dealt into folds, and each
  flow is matched as if the leaves that rest on its own fold alone did not exist. Error rates
  come out below those on unseen flows, since the tests above such a leaf have seen the flow.

With a second opinion that is not honest enough: how often tree and opinion err together is what
contexts are about. Then trees are fitted again without each fold, and a flow is met as the class
that such a tree predicts (:func:`nodes_as`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from envs.detector.nodes import TreeNodes


def cross_fitted_nodes(
    tree: TreeNodes, features: NDArray[np.float32], *, folds: int, seed: int
) -> NDArray[np.int64]:
    """The leaf that each training flow reaches without the leaves of its own fold alone.

    Args:
        tree: fitted on exactly these flows.
        features: float32 [n, features].
        folds: number of folds, from 2 to n. More of them leave more of the tree standing.
        seed: of the deal.

    Returns:
        int64 [n], node numbers of leaves.

    Raises:
        ValueError: fewer than 2 folds, or more than flows.
    """
    if not 2 <= folds <= len(features):
        raise ValueError(f"{folds} folds for {len(features)} flows")
    reached = tree.apply(features)
    fold = np.random.default_rng(seed).permutation(len(reached)) % folds
    everywhere = _flows_below(tree, reached)
    for own in range(folds):
        mine = np.flatnonzero(fold == own)
        others = everywhere - _flows_below(tree, reached[mine])
        # Any other flow's way is the one it went before.
        homeless = mine[others[reached[mine]] == 0]
        reached[homeless] = _route(tree, features[homeless], others > 0)
    return reached


def dealt(actual: NDArray[np.int8], folds: int, seed: int) -> NDArray[np.int8]:
    """The fold of each flow, int8 [n]; every class is spread over all folds as evenly as it can be.

    Args:
        actual: int8 [n], class indices.
        folds: number of folds, from 2 to n.
        seed: of the deal.

    Raises:
        ValueError: fewer than 2 folds, or more than flows.
    """
    if not 2 <= folds <= len(actual):
        raise ValueError(f"{folds} folds for {len(actual)} flows")
    order = np.random.default_rng(seed).permutation(len(actual))
    order = order[np.argsort(actual[order], kind="stable")]
    fold = np.empty(len(actual), np.int8)
    fold[order] = np.arange(len(actual)) % folds
    return fold


def nodes_as(
    tree: TreeNodes, features: NDArray[np.float32], predicted: NDArray[np.int8]
) -> NDArray[np.int64]:
    """The leaf of a class that each flow reaches where no leaf of another class stands.

    Args:
        tree: of the signatures.
        features: float32 [n, features].
        predicted: int8 [n], the class as which each flow is met; where the tree has no leaf of
            it, the flow reaches its own leaf.

    Returns:
        int64 [n], node numbers of leaves.
    """
    reached = tree.apply(features)
    own = tree.classes[tree.value.argmax(axis=1)].astype(np.int8)
    astray = own[reached] != predicted
    for number in np.unique(predicted[astray]):
        stands = _flows_below(tree, tree.leaves[own[tree.leaves] == number]) > 0
        if stands[0]:
            mine = np.flatnonzero(astray & (predicted == number))
            reached[mine] = _route(tree, features[mine], stands)
    return reached


def _flows_below(tree: TreeNodes, leaves: NDArray[np.int64]) -> NDArray[np.int64]:
    """Flows that pass each node, int64 [nodes], given the leaf of each flow."""
    passed = np.bincount(leaves, minlength=len(tree))
    # Children have higher numbers than their parent.
    for node in range(len(tree) - 1, -1, -1):
        if tree.children_left[node] >= 0:
            passed[node] = passed[tree.children_left[node]] + passed[tree.children_right[node]]
    return passed


def _route(
    tree: TreeNodes, features: NDArray[np.float32], stands: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Walks flows down the tree; where the wanted child does not stand, to the other one."""
    node = np.zeros(len(features), np.int64)
    walking = np.flatnonzero(tree.children_left[node] >= 0)
    while len(walking):
        at = node[walking]
        left = features[walking, tree.feature[at]] <= tree.threshold[at]
        wanted = np.where(left, tree.children_left[at], tree.children_right[at])
        other = np.where(left, tree.children_right[at], tree.children_left[at])
        node[walking] = np.where(stands[wanted], wanted, other)
        walking = walking[tree.children_left[node[walking]] >= 0]
    return node
