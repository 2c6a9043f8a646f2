"""The second opinion: a classifier of another kind that looks at the same flows as the tree.

Where the decision tree is wrong, boosted trees are often right, and the other way round. So what
both say together, and how sure the second one is, tells far more of a flow than the tree alone.
How sure it is is told in steps (:data:`CUTS`), which part what it says of honest training flows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from envs.detector.ensemble import TreeEnsemble
from envs.detector.files import prepared
from envs.division import stratified_sample
from envs.errors import InputError

OpinionKind = Literal["boosted", "forest"]

MOST_FITTED = 300_000
"""Flows that a second opinion is fitted on at the most, drawn by class."""

CUTS = (0.6, 0.9, 0.99, 0.999)
"""Confidence from which the next bucket begins. They were measured on the CICIDS2017 sample."""

CONFIDENCES = (0.5, 0.75, 0.945, 0.9945, 0.9995)
"""What stands for the confidence of each bucket."""

BUCKETS = len(CONFIDENCES)

_BOOSTING_ROUNDS = 100
_FOREST_TREES = 100
_MOST_FOR_TEMPERATURE = 300_000


@dataclass(frozen=True)
class Views:
    """What a second opinion says of flows.

    Attributes:
        opinion: int8 [n], the likeliest class.
        bucket: int8 [n], how sure it is of it, from 0 to :data:`BUCKETS` - 1.
    """

    opinion: NDArray[np.int8]
    bucket: NDArray[np.int8]

    @classmethod
    def of(cls, probabilities: NDArray[np.float64]) -> Views:
        """Views by probabilities, float [n, classes]."""
        bucket = np.searchsorted(CUTS, probabilities.max(axis=1), side="right")
        return cls(probabilities.argmax(axis=1).astype(np.int8), bucket.astype(np.int8))

    def __len__(self) -> int:
        return len(self.opinion)


class SecondOpinion:
    """A fitted second opinion.

    Args:
        ensemble: its trees.
    """

    file: ClassVar[str] = "opinion.safetensors"

    def __init__(self, ensemble: TreeEnsemble) -> None:
        self._ensemble = ensemble

    @classmethod
    def fit(
        cls,
        features: NDArray[np.float32],
        actual: NDArray[np.int8],
        *,
        kind: OpinionKind,
        seed: int,
    ) -> SecondOpinion:
        """Fits one, on a sample by class where there are more than :data:`MOST_FITTED` flows.

        Args:
            features: float32 [n, features], finite.
            actual: int8 [n], class indices.
            kind: ``boosted`` (histogram gradient boosting) or ``forest`` (random forest).
            seed: of sample and trees.
        """
        if len(features) > MOST_FITTED:
            chosen = stratified_sample(actual, MOST_FITTED, seed=seed)
            features, actual = features[chosen], actual[chosen]
        classes = np.unique(actual)
        if len(classes) < 2:
            return cls(TreeEnsemble.constant(classes.tolist(), features.shape[1]))
        # It takes more than a second to import, which most commands do without.
        from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

        if kind == "forest":
            forest = RandomForestClassifier(
                _FOREST_TREES, min_samples_leaf=2, n_jobs=-1, random_state=seed
            )
            return cls(TreeEnsemble.of_forest(forest.fit(features, actual)))
        boosted = HistGradientBoostingClassifier(
            max_iter=_BOOSTING_ROUNDS, early_stopping=False, random_state=seed
        )
        return cls(TreeEnsemble.of_boosted(boosted.fit(features, actual)))

    @property
    def temperature(self) -> float:
        """What calibrates it; above 1 makes it less sure than its trees are."""
        return float(self._ensemble.temperature[0])

    def calibrated(self, temperature: float) -> SecondOpinion:
        """This opinion with another temperature."""
        return SecondOpinion(replace(self._ensemble, temperature=np.array([temperature])))

    def probabilities(self, features: NDArray[np.float32], classes: int) -> NDArray[np.float64]:
        """Probability of every class, float64 [n, classes].

        Args:
            features: float32 [n, features], finite.
            classes: of the catalogue; a class that it was not fitted on has probability 0.

        Raises:
            InputError: the flows have another number of features than it was fitted on.
        """
        width = int(self._ensemble.width[0])
        if features.shape[1] != width:
            raise InputError(
                f"the flows have {features.shape[1]} features",
                expected=f"{width}, as the second opinion was fitted on",
                mend="Give flows with the features of the scenario",
            )
        found = np.zeros((len(features), classes))
        found[:, self._ensemble.classes] = self._ensemble.probabilities(features)
        return found

    def views(self, features: NDArray[np.float32]) -> Views:
        """What it says of flows; the arguments are those of :meth:`probabilities`."""
        return Views.of(self.probabilities(features, int(self._ensemble.classes[-1]) + 1))

    def digest(self) -> str:
        """SHA-256 of its trees and temperature: equal opinions have equal digests."""
        return self._ensemble.digest()

    def save(self, path: Path) -> None:
        """Writes its arrays as safetensors."""
        self._ensemble.save(path)

    @classmethod
    def load(cls, path: Path, classes: int) -> SecondOpinion:
        """Reads what :meth:`save` wrote.

        Args:
            path: of the file.
            classes: of the catalogue.

        Raises:
            InputError: the file is missing, is no second opinion, or holds trees whose nodes point
                outside of them.
        """
        with prepared(path, "second opinion"):
            ensemble = TreeEnsemble.load(path)
            if ensemble.classes[-1] >= classes:
                raise ValueError("a class that the catalogue does not have")
            return cls(ensemble)


def best_temperature(probabilities: NDArray[np.float64], actual: NDArray[np.int8]) -> float:
    """The temperature that makes probabilities of unseen flows likeliest (Guo et al. 2017).

    Args:
        probabilities: float64 [n, classes], of flows that the opinion was not fitted on.
        actual: int8 [n], their true classes.

    Returns:
        Between 0.2 and 5.
    """
    # A fifth of a second to import, which most commands do without.
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    every = -(-len(actual) // _MOST_FOR_TEMPERATURE)
    logs = np.log(np.maximum(probabilities[::every], 1e-12))
    own = logs[np.arange(len(logs)), actual[::every]]

    def surprise(log_temperature: float) -> float:
        temperature = np.exp(log_temperature)
        return float((logsumexp(logs / temperature, axis=1) - own / temperature).mean())

    span = np.log(5.0)
    return float(np.exp(minimize_scalar(surprise, bounds=(-span, span), method="bounded").x))
