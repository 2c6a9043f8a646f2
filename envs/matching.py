"""Flows that are divided and matched to signatures: the step between features and a scenario.

Flows held in memory and flows streamed from files come together here: what follows depends on
signatures and classes alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import Catalogue
from envs.detector import TreeDetector
from envs.division import Division, Wishes
from envs.flows import FeatureSchema, Provenance
from envs.scenario_files import Tables
from envs.signatures import SignatureTable

DRAWS = 4
"""Deals into folds; each gives the training flows one more set of honest matches."""


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
    """

    provenance: Provenance
    catalogue: Catalogue
    schema: FeatureSchema
    actual: NDArray[np.int8]
    division: Division
    detector: TreeDetector
    signature: NDArray[np.int32]
    cross_fitted: NDArray[np.int32]

    def tables(self) -> Tables:
        """The scenario's tables."""
        train, test = self.division.train, self.division.test
        return Tables(
            self._signatures(),
            (self.signature[train], self.actual[train]),
            (self.signature[test], self.actual[test]),
            self._met_honestly(),
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
