"""The intrusion detector: a decision tree that matches each flow to one signature.

Knows how to fit, match and persist itself; knows nothing of splits or files other than its own.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from envs.detector.files import prepared
from envs.detector.growing import grow
from envs.detector.leaves import leaf_classes, leaf_rules
from envs.detector.nodes import TreeNodes
from envs.errors import InputError
from envs.flows import FeatureSchema
from envs.honesty import cross_fitted_nodes, nodes_as
from envs.signatures import SignatureTable


class TreeDetector:
    """A fitted decision tree whose leaves are the signatures."""

    kind: ClassVar[str] = "tree"
    file: ClassVar[str] = "detector.safetensors"

    def __init__(self, tree: TreeNodes) -> None:
        self._tree = tree
        self._signature_of_node = np.full(len(tree), -1, dtype=np.int32)
        self._signature_of_node[tree.leaves] = np.arange(len(tree.leaves), dtype=np.int32)

    def __len__(self) -> int:
        """Number of signatures."""
        return len(self._tree.leaves)

    @classmethod
    def fit(
        cls, features: NDArray[np.float32], actual: NDArray[np.int8], *, seed: int
    ) -> TreeDetector:
        """Fits a fully grown tree, as the paper does.

        Args:
            features: float32 [n, features], finite.
            actual: int8 [n], class indices.
            seed: decides among equally good splits.
        """
        return cls(TreeNodes.of(grow(features, actual, seed=seed)))

    def match(self, features: NDArray[np.float32]) -> NDArray[np.int32]:
        """The signature that each flow matches, int32 [n].

        Args:
            features: float32 [n, features], finite.

        Raises:
            InputError: the flows have another number of features than the detector was fitted on.
            ValueError: a feature is missing or infinite.
        """
        width = int(self._tree.width[0])
        if features.shape[1] != width:
            raise InputError(
                f"the flows have {features.shape[1]} features",
                expected=f"{width}, as the detector was fitted on",
                mend="Give flows with the features of the scenario",
            )
        features = np.ascontiguousarray(features, dtype=np.float32)
        # What is missing passes through both.
        if not np.isfinite([features.min(initial=0), features.max(initial=0)]).all():
            raise ValueError("a feature is missing or infinite")
        return self._signature_of_node[self._tree.apply(features)]

    def match_cross_fitted(
        self, features: NDArray[np.float32], *, folds: int, seed: int
    ) -> NDArray[np.int32]:
        """The signatures that the flows it was fitted on match honestly, int32 [n].

        See :mod:`envs.honesty`.
        """
        features = np.ascontiguousarray(features, dtype=np.float32)
        return self._signature_of_node[
            cross_fitted_nodes(self._tree, features, folds=folds, seed=seed)
        ]

    def match_as(
        self, features: NDArray[np.float32], predicted: NDArray[np.int8]
    ) -> NDArray[np.int32]:
        """The signatures of given classes that flows match, int32 [n].

        Args:
            features: float32 [n, features], finite.
            predicted: int8 [n], the class as which each flow is met.
        """
        features = np.ascontiguousarray(features, dtype=np.float32)
        return self._signature_of_node[nodes_as(self._tree, features, predicted)]

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.int8]:
        """The class that each flow's signature predicts, int8 [n].

        Args:
            features: float32 [n, features], finite.
        """
        predicted: NDArray[np.int8] = leaf_classes(self._tree)[self.match(features)]
        return predicted

    def digest(self) -> str:
        """SHA-256 of the tree's structure: equal trees have equal digests."""
        tree = self._tree
        digest = hashlib.sha256()
        for part in (tree.classes, tree.children_left, tree.feature, tree.threshold, tree.value):
            digest.update(part.tobytes())
        return digest.hexdigest()

    def signatures(self, support: NDArray[np.int64], schema: FeatureSchema) -> SignatureTable:
        """The signature database.

        Args:
            support: int64 [signatures], how many training flows matched each one.
            schema: of the features, for the rules' words.
        """
        rules = leaf_rules(self._tree, schema.names)
        return SignatureTable(leaf_classes(self._tree), rules, support)

    def save(self, path: Path) -> None:
        """Writes the tree's arrays as safetensors."""
        self._tree.save(path)

    @classmethod
    def load(cls, path: Path) -> TreeDetector:
        """Reads what :meth:`save` wrote.

        Raises:
            InputError: the file is missing, is not a detector, or holds a tree whose nodes point
                outside of it.
        """
        with prepared(path, "detector"):
            return cls(TreeNodes.load(path))
