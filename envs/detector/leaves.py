"""From a fitted decision tree to signatures.

Every leaf of the detector is one signature (paper, section III-A): the conjunction of the tests
on the way to it, and the class it predicts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs.detector.nodes import LEAF, TreeNodes


def leaf_classes(tree: TreeNodes) -> NDArray[np.int8]:
    """The class each leaf predicts, in signature order, int8 [signatures]."""
    column = tree.value[tree.leaves].argmax(axis=1)
    predicted: NDArray[np.int8] = tree.classes[column].astype(np.int8)
    return predicted


def leaf_rules(tree: TreeNodes, features: tuple[str, ...]) -> tuple[str, ...]:
    """The condition of every leaf, in signature order.

    Repeated tests of one feature are folded into one interval, so a rule names each
    feature once: ``0 < Flow Duration <= 21.5 and Destination Port <= 80.5``. A tree of
    one leaf has the rule ``any flow``.
    """
    rules: dict[int, str] = {}
    stack: list[tuple[int, dict[int, tuple[float, float]]]] = [(0, {})]
    while stack:
        node, bounds = stack.pop()
        if tree.children_left[node] == LEAF:
            rules[node] = _rule(bounds, features)
            continue
        feature, threshold = int(tree.feature[node]), float(tree.threshold[node])
        low, high = bounds.get(feature, (-np.inf, np.inf))
        stack.append(
            (int(tree.children_left[node]), {**bounds, feature: (low, min(high, threshold))})
        )
        stack.append(
            (int(tree.children_right[node]), {**bounds, feature: (max(low, threshold), high)})
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
