"""Flows that are divided and matched to signatures: the step between features and a scenario.

Flows held in memory and flows streamed from files come together here: what follows depends on
signatures and classes alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import Catalogue
from envs.contexts import contexts_of, keys
from envs.detector import SecondOpinion, TreeDetector, Views
from envs.detector.opinion import best_temperature
from envs.division import Division, Wishes
from envs.flows import FeatureSchema, Provenance
from envs.honesty import dealt
from envs.scenario_files import Tables
from envs.signatures import SignatureTable

DRAWS = 4
"""Deals into folds; each gives the training flows one more set of honest matches."""

Stage = Callable[[str], AbstractContextManager[None]]


def silently(title: str) -> AbstractContextManager[None]:
    """The stage that shows nothing."""
    return nullcontext()


@dataclass(frozen=True)
class Opinions:
    """A second opinion, and what it says of flows.

    Attributes:
        opinion: fitted and calibrated.
        honest: of the flows that the detector was fitted on, by opinions that have not seen them.
        views: of all flows, by the opinion itself.
    """

    opinion: SecondOpinion
    honest: Views
    views: Views


@dataclass(frozen=True)
class MatchedFlows:
    """Flows that are divided and matched: all that a scenario is written from.

    Attributes:
        provenance: where the flows came from.
        catalogue: the classes that ``actual`` refers to.
        schema: of the features that the detector was fitted on.
        actual: int8 [flows], class of each.
        division: which of them train and which test.
        detector: fitted.
        signature: int32 [flows], the signature that each flow matches.
        cross_fitted: int32 [draws, flows fitted on], those that the flows which the detector
            was fitted on match honestly.
        duplicates: what the manifest tells of flows that are there twice
            (:meth:`envs.datasets.duplicates.Duplicates.counted`).
        opinions: the second opinion's, ``None`` where there is none.
    """

    provenance: Provenance
    catalogue: Catalogue
    schema: FeatureSchema
    actual: NDArray[np.int8]
    division: Division
    detector: TreeDetector
    signature: NDArray[np.int32]
    cross_fitted: NDArray[np.int32]
    duplicates: dict[str, int]
    opinions: Opinions | None = None

    def tables(self) -> Tables:
        """The scenario's tables."""
        train, test = self.division.train, self.division.test
        if self.opinions is not None:
            return self._tables_of_contexts(self.opinions)
        return Tables(
            self._signatures(),
            (self.signature[train], self.actual[train]),
            (self.signature[test], self.actual[test]),
            self._met_honestly(),
        )

    def _tables_of_contexts(self, opinions: Opinions) -> Tables:
        """Tables by context, for the contexts that training or test flows meet."""
        division, signatures = self.division, self._signatures()
        met = keys(self.signature, opinions.views)
        train, test = met[division.train], met[division.test]
        honest = np.tile(train, (len(self.cross_fitted), 1))
        honest[:, division.chosen] = [keys(draw, opinions.honest) for draw in self.cross_fitted]
        known = np.unique(np.concatenate([train, test, honest.ravel()]))

        def context(one: NDArray[np.int64]) -> NDArray[np.int32]:
            return np.searchsorted(known, one).astype(np.int32)

        return Tables(
            signatures,
            (context(train), self.actual[division.train]),
            (context(test), self.actual[division.test]),
            context(honest),
            contexts_of(known, signatures.predicted),
        )

    def _signatures(self) -> SignatureTable:
        """The signature database; its support counts all flows that might be fitted on."""
        matched = np.bincount(self.signature[self.division.fit_from])
        return self.detector.signatures(matched, self.schema)

    def _met_honestly(self) -> NDArray[np.int32]:
        """Signatures that the training flows match honestly, int32 [draws, training flows].

        A flow that the detector was not fitted on is a stranger to it already.
        """
        met = np.tile(self.signature[self.division.train], (len(self.cross_fitted), 1))
        if len(met):
            met[:, self.division.chosen] = self.cross_fitted
        return met


def match_honestly(
    detector: TreeDetector, features: NDArray[np.float32], wishes: Wishes
) -> NDArray[np.int32]:
    """Signatures that the flows a detector was fitted on match honestly, int32 [draws, n]."""
    draws = DRAWS if wishes.folds else 0
    matched = np.empty((draws, len(features)), np.int32)
    for draw in range(draws):
        matched[draw] = detector.match_cross_fitted(
            features, folds=wishes.folds, seed=wishes.seed * DRAWS + draw
        )
    return matched


def fit_opinion(
    detector: TreeDetector,
    features: NDArray[np.float32],
    actual: NDArray[np.int8],
    wishes: Wishes,
    catalogue: Catalogue,
    stage: Stage = silently,
) -> tuple[SecondOpinion, NDArray[np.int32], Views]:
    """Fits a second opinion, and matches flows honestly to contexts.

    For every fold a tree and an opinion are fitted on the other folds, in the same way as those
    that decide. A flow is met as the class that its fold's tree predicts, in the signature of that
    class which it then reaches, and with the view of its fold's opinion.

    Args:
        detector: fitted on exactly these flows.
        features: float32 [n, features].
        actual: int8 [n], class indices.
        wishes: with a kind of opinion.
        catalogue: the classes.
        stage: entered around each part of the work with its name.

    Returns:
        The opinion; int32 [1, n], the signatures that flows match honestly; and what opinions that
        have not seen them say of them.

    Raises:
        ValueError: no opinion is wanted.
    """
    if wishes.opinion is None:
        raise ValueError("no second opinion is wanted")
    classes = len(catalogue.classes)
    fold = dealt(actual, wishes.folds, wishes.seed)
    predicted = np.empty(len(actual), np.int8)
    said = np.empty((len(actual), classes), np.float64)
    for own in range(wishes.folds):
        with stage(f"Fitting detectors without fold {own + 1} of {wishes.folds}"):
            held, others = fold == own, fold != own
            seen, truth = features[others], actual[others]
            tree = TreeDetector.fit(seen, truth, seed=wishes.seed)
            opinion = SecondOpinion.fit(seen, truth, kind=wishes.opinion, seed=wishes.seed)
            del seen
            met = features[held]
            predicted[held] = tree.predict(met)
            said[held] = opinion.probabilities(met, classes)
    with stage("Fitting the second opinion"):
        temperature = best_temperature(said, actual)
        final = SecondOpinion.fit(features, actual, kind=wishes.opinion, seed=wishes.seed)
        honest = Views.of(_tempered(said, temperature))
        signature = detector.match_as(features, predicted)
    return final.calibrated(temperature), signature[None], honest


def _tempered(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Probabilities as an opinion of that temperature gives them."""
    powers: NDArray[np.float64] = probabilities ** (1 / temperature)
    powers /= powers.sum(axis=1, keepdims=True)
    return powers
