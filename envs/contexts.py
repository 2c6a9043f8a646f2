"""Which context a flow is met in, given its signature and what the second opinion says of it.

A scenario holds the contexts that its own flows were met in. A flow of tomorrow may be met in
none of them; it then goes to the nearest, of which something is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from envs.detector.opinion import BUCKETS, CONFIDENCES, CUTS, Views
from envs.state import Contexts

_MOST_CLASSES = 128
"""More than a catalogue can have; numbers of contexts' keys need a bound."""


def keys(signature: NDArray[np.int32], views: Views) -> NDArray[np.int64]:
    """One number per flow; flows of one number are met in one context, int64 [n]."""
    said = views.opinion.astype(np.int64) * BUCKETS + views.bucket
    return signature.astype(np.int64) * (_MOST_CLASSES * BUCKETS) + said


def contexts_of(known: NDArray[np.int64], predicted: NDArray[np.int8]) -> Contexts:
    """The contexts of these keys.

    Args:
        known: int64 [contexts], distinct :func:`keys`, ascending.
        predicted: int8 [signatures], the class that each signature predicts.
    """
    signature, said = np.divmod(known, _MOST_CLASSES * BUCKETS)
    opinion, bucket = np.divmod(said, BUCKETS)
    return Contexts(
        signature.astype(np.int32),
        predicted,
        opinion.astype(np.int8),
        np.array(CONFIDENCES, np.float32)[bucket],
    )


@dataclass(frozen=True)
class ContextFinder:
    """Finds the contexts of flows.

    Attributes:
        contexts: with a second opinion; every signature has at least one.
        support: int64 [contexts], training flows that were met in each.
    """

    contexts: Contexts
    support: NDArray[np.int64]

    @cached_property
    def _bucket(self) -> NDArray[np.int64]:
        assert self.contexts.confidence is not None  # noqa: S101 (for the type checker)
        return np.searchsorted(CUTS, self.contexts.confidence, side="right")

    @cached_property
    def _known(self) -> NDArray[np.int64]:
        assert self.contexts.opinion is not None  # noqa: S101 (for the type checker)
        views = Views(self.contexts.opinion, self._bucket.astype(np.int8))
        return keys(self.contexts.signature, views)

    def find(self, signature: NDArray[np.int32], views: Views) -> NDArray[np.int32]:
        """The context of each flow, or the nearest where nobody was met in it yet, int32 [n].

        The nearest is of the same signature and opinion, with the nearest bucket (the surer one
        of two); else of the same predicted class, opinion and bucket, with most training flows;
        else the signature's own with most training flows.

        Args:
            signature: int32 [n].
            views: of the same flows.
        """
        wanted, inverse = np.unique(keys(signature, views), return_inverse=True)
        place = np.minimum(np.searchsorted(self._known, wanted), len(self._known) - 1)
        found = place.astype(np.int32)
        for number in np.flatnonzero(self._known[place] != wanted):
            found[number] = self._nearest(int(wanted[number]))
        return found[inverse]

    def _nearest(self, key: int) -> int:
        contexts = self.contexts
        signature, said = divmod(key, _MOST_CLASSES * BUCKETS)
        opinion, bucket = divmod(said, BUCKETS)
        own = contexts.signature == signature
        alike = np.flatnonzero(own & (contexts.opinion == opinion))
        if len(alike):
            away = np.abs(self._bucket[alike] - bucket)
            return int(alike[np.lexsort((-self._bucket[alike], away))[0]])
        others = np.flatnonzero(
            (contexts.traffic == contexts.predicted[signature])
            & (contexts.opinion == opinion)
            & (self._bucket == bucket)
        )
        # A signature or a kind without training flows tells nothing.
        for candidates in (others, np.flatnonzero(own)):
            if len(candidates) and self.support[candidates].any():
                return int(candidates[self.support[candidates].argmax()])
        return int(np.flatnonzero(own)[0]) if own.any() else int(self.support.argmax())
