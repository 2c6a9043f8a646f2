"""The intrusion detector: a decision tree that matches each flow to one signature.

Knows how to fit, match, report and persist itself; knows nothing of splits or files
other than its own.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import Catalogue
from envs.detector.growing import grow
from envs.errors import InputError
from envs.flows import FeatureSchema
from envs.honesty import cross_fitted_nodes
from envs.signatures import SignatureTable, leaf_classes, leaf_nodes, leaf_rules

if TYPE_CHECKING:
    # It takes more than a second to import, which most commands do without.
    from sklearn.tree import DecisionTreeClassifier

_TRUSTED = ["sklearn.tree._tree.Tree"]
"""The one type beyond skops' own defaults that a detector's file may hold."""


@dataclass(frozen=True)
class ClassReport:
    """One class's row of the detection report (paper, Table V); ratios in 0..1."""

    precision: float
    recall: float
    f1: float
    support: int


class TreeDetector:
    """A fitted decision tree whose leaves are the signatures."""

    kind: ClassVar[str] = "tree"
    file: ClassVar[str] = "detector.skops"

    def __init__(self, tree: DecisionTreeClassifier) -> None:
        self._tree = tree
        self._signature_of_node = np.full(tree.tree_.node_count, -1, dtype=np.int32)
        leaves = leaf_nodes(tree)
        self._signature_of_node[leaves] = np.arange(len(leaves), dtype=np.int32)

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
        return cls(grow(features, actual, seed=seed))

    def match(self, features: NDArray[np.float32]) -> NDArray[np.int32]:
        """The signature that each flow matches, int32 [n].

        Raises:
            InputError: the flows have another number of features than the detector was fitted on.
        """
        if features.shape[1] != self._tree.n_features_in_:
            raise InputError(
                f"the flows have {features.shape[1]} features",
                expected=f"{self._tree.n_features_in_}, as the detector was fitted on",
                mend="Give flows with the features of the scenario",
            )
        nodes = self._tree.apply(np.ascontiguousarray(features, dtype=np.float32))
        matched: NDArray[np.int32] = self._signature_of_node[nodes]
        return matched

    def match_cross_fitted(
        self, features: NDArray[np.float32], *, folds: int, seed: int
    ) -> NDArray[np.int32]:
        """The signatures that the flows it was fitted on match honestly, int32 [n].

        See :mod:`envs.honesty`.
        """
        features = np.ascontiguousarray(features, dtype=np.float32)
        nodes = cross_fitted_nodes(self._tree, features, folds=folds, seed=seed)
        matched: NDArray[np.int32] = self._signature_of_node[nodes]
        return matched

    def digest(self) -> str:
        """SHA-256 of the tree's structure; equal trees have equal digests, their files do not."""
        inner = self._tree.tree_
        digest = hashlib.sha256(np.asarray(self._tree.classes_, dtype=np.int64).tobytes())
        for part in (inner.children_left, inner.feature, inner.threshold, inner.value):
            digest.update(np.ascontiguousarray(part).tobytes())
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
        """Writes the tree with skops (no pickle)."""
        import skops.io  # takes seconds to import, and most users never touch a detector's file

        skops.io.dump(self._tree, path)

    @classmethod
    def load(cls, path: Path) -> TreeDetector:
        """Reads what :meth:`save` wrote.

        Raises:
            InputError: the file is missing, is not a detector, holds types that a
                detector has no use for, or a tree whose nodes point outside of it.
        """
        import skops.io

        try:
            unknown = skops.io.get_untrusted_types(file=path)
            if set(unknown) - set(_TRUSTED):
                raise InputError(
                    f"holds types that no detector needs: {', '.join(sorted(unknown))}",
                    where=str(path),
                    mend="Do not use this file; prepare the scenario again",
                )
            tree = skops.io.load(path, trusted=_TRUSTED)
            _check(tree)
        except InputError:
            raise
        except FileNotFoundError as error:
            raise InputError(
                "no such file", where=str(path), mend="Prepare the scenario again"
            ) from error
        except Exception as error:
            # skops meets damaged files with whatever its parts raise: zipfile, json, numpy.
            raise InputError(
                f"not a readable detector ({type(error).__name__})",
                where=str(path),
                expected="a file written by kirl prepare",
                mend="Prepare the scenario again",
            ) from error
        return cls(tree)


def _check(tree: object) -> None:
    """A tree is walked by compiled code that trusts its node numbers; a file's are not."""
    from sklearn.tree import DecisionTreeClassifier

    if not isinstance(tree, DecisionTreeClassifier):
        raise TypeError("not a decision tree")
    inner = tree.tree_
    count = inner.node_count
    # Exactly -1 ends the walk; any other negative number would be followed.
    inside = inner.children_left != -1
    numbers = np.arange(count)
    width = inner.n_features
    if count < 1 or width < 1 or tree.n_features_in_ != width:
        raise ValueError("wrong shape")
    for children in (inner.children_left, inner.children_right):
        # Children have higher numbers than their parent, so a walk always ends.
        if np.any(children[inside] <= numbers[inside]) or np.any(children[inside] >= count):
            raise ValueError("a node points outside of the tree")
    if np.any(inner.children_right[~inside] != -1) or np.any(
        (inner.feature[inside] < 0) | (inner.feature[inside] >= width)
    ):
        raise ValueError("a node tests no feature")


def detection_report(
    predicted: NDArray[np.int8], actual: NDArray[np.int8], catalogue: Catalogue
) -> dict[str, ClassReport]:
    """Precision, recall, F1 and support of every class that occurs (paper, Table V)."""
    from sklearn.metrics import precision_recall_fscore_support

    present = np.union1d(predicted, actual)
    precision, recall, f1, support = precision_recall_fscore_support(
        actual, predicted, labels=present, zero_division=0.0
    )
    return {
        catalogue.class_names[int(index)]: ClassReport(
            float(precision[i]), float(recall[i]), float(f1[i]), int(support[i])
        )
        for i, index in enumerate(present)
    }


def report_to_json(report: dict[str, ClassReport]) -> dict[str, dict[str, float]]:
    """A report as JSON-able data."""
    return {name: asdict(row) for name, row in report.items()}
