"""What every detector has in common, whatever makes its detections.

A scenario holds one detector. The decision tree (:class:`envs.detector.tree.TreeDetector`) is given
features of flows; an IDS that runs already (:class:`envs.detector.rules.RuleDetector`) is given the
rules that fired.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

UNKNOWN = -1
"""What stands in the place of a signature where a detector knows none."""

Met_contra = TypeVar("Met_contra", contravariant=True)


class Detector(Protocol[Met_contra]):
    """Says which signature of a scenario each flow or alert matches.

    Attributes:
        kind: what a scenario's manifest calls it.
        file: name of its file in a scenario's folder.
    """

    kind: ClassVar[str]
    file: ClassVar[str]

    def __len__(self) -> int:
        """Number of signatures that it matches."""
        ...

    def match(self, met: Met_contra) -> NDArray[np.int32]:
        """The signature that each flow or alert matches, int32 [n].

        :data:`UNKNOWN` (-1) stands for none: the scenario was made without this rule, so neither a
        policy nor a graph knows anything of it. It is no index; take such alerts out before
        contexts, counters or actions are looked up. A decision tree knows all flows, and never
        gives it.
        """
        ...

    def digest(self) -> str:
        """SHA-256 of what decides matches: equal detectors have equal digests."""
        ...

    def save(self, path: Path) -> None:
        """Writes it; the class's own ``load`` reads it."""
        ...
