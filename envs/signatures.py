"""From a fitted decision tree to a signature database with Bayesian confidence.

Every leaf of the detector is one signature (paper, section III-A): the conjunction of
the tests on the way to it, and the class it predicts. How far a signature can be
trusted is the mean of a Beta posterior over its record of right and wrong matches (eq. 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    # It takes more than a second to import, which most commands do without.
    from sklearn.tree import DecisionTreeClassifier


@dataclass(frozen=True)
class BetaPrior:
    """The Beta(alpha, beta) prior of a signature's confidence; 1, 1 is uniform (the paper's)."""

    alpha: float = 1.0
    beta: float = 1.0

    def confidence(self, seen: ArrayLike, correct: ArrayLike) -> NDArray[np.float64]:
        """B = (alpha + C) / (alpha + beta + N), eq. 1.

        Args:
            seen: N, flows that matched the signature.
            correct: C, those of them whose predicted class was right.
        """
        confidence: NDArray[np.float64] = (self.alpha + np.asarray(correct, np.float64)) / (
            self.alpha + self.beta + np.asarray(seen, np.float64)
        )
        return confidence


@dataclass(frozen=True)
class SignatureTable:
    """The signature database. A signature's id is its row.

    Attributes:
        predicted: int8 [signatures], index of the predicted class.
        rule: [signatures], the readable condition that a flow must meet.
        support: int64 [signatures], training flows that matched.
    """

    predicted: NDArray[np.int8]
    rule: tuple[str, ...]
    support: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.predicted)


def leaf_nodes(tree: DecisionTreeClassifier) -> NDArray[np.int64]:
    """Node numbers of the leaves in ascending order; a leaf's rank is its signature id."""
    leaves: NDArray[np.int64] = np.flatnonzero(tree.tree_.children_left < 0)
    return leaves


def leaf_classes(tree: DecisionTreeClassifier) -> NDArray[np.int8]:
    """The class each leaf predicts, in signature order, int8 [signatures]."""
    values = tree.tree_.value[leaf_nodes(tree), 0, :]
    predicted: NDArray[np.int8] = np.asarray(tree.classes_)[values.argmax(axis=1)].astype(np.int8)
    return predicted


def leaf_rules(tree: DecisionTreeClassifier, features: tuple[str, ...]) -> tuple[str, ...]:
    """The condition of every leaf, in signature order.

    Repeated tests of one feature are folded into one interval, so a rule names each
    feature once: ``0 < Flow Duration <= 21.5 and Destination Port <= 80.5``. A tree of
    one leaf has the rule ``any flow``.
    """
    inner: Any = tree.tree_
    rules: dict[int, str] = {}
    stack: list[tuple[int, dict[int, tuple[float, float]]]] = [(0, {})]
    while stack:
        node, bounds = stack.pop()
        if inner.children_left[node] < 0:
            rules[node] = _rule(bounds, features)
            continue
        feature, threshold = int(inner.feature[node]), float(inner.threshold[node])
        low, high = bounds.get(feature, (-np.inf, np.inf))
        stack.append(
            (int(inner.children_left[node]), {**bounds, feature: (low, min(high, threshold))})
        )
        stack.append(
            (int(inner.children_right[node]), {**bounds, feature: (max(low, threshold), high)})
        )
    return tuple(rules[node] for node in sorted(rules))


def _rule(bounds: dict[int, tuple[float, float]], features: tuple[str, ...]) -> str:
    parts = []
    for feature, (low, high) in bounds.items():
        left = f"{_shortest(low)} < " if low > -np.inf else ""
        right = f" <= {_shortest(high)}" if high < np.inf else ""
        parts.append(f"{left}{features[feature]}{right}")
    return " and ".join(parts) or "any flow"


def _shortest(threshold: float) -> str:
    """The shortest decimal that parts float32 features as the threshold does.

    It does so whether it is read as float64 or as float32.
    """
    below = np.float32(threshold)
    if float(below) > threshold:  # two Python floats; numpy would round the second one
        below = np.nextafter(below, np.float32(-np.inf))
    for digits in range(6, 17):
        text = f"{threshold:.{digits}g}"
        if np.float32(text) == below and float(text) >= float(below):
            return text
    return repr(float(below))
