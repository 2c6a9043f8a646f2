"""What analysts and threat feeds teach the graph: prior experience with a source.

A lesson says that an action earned some mean reward under a predicted type, and how many
flows of experience that is worth. Lessons are kept apart from what the graph learns, so
they can be told apart in every answer and withdrawn by their source.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs import Catalogue

MAX_WEIGHT = 1e15
"""No source knows more flows than this; sums of such weights stay finite and precise."""

MAX_PROVENANCE = 100
"""Characters of a source's name."""


@dataclass(frozen=True)
class Lesson:
    """Prior experience with one type -> action edge.

    Attributes:
        traffic: name of the predicted class.
        action: name of the mitigation.
        reward: mean reward per flow.
        weight: flows of experience that it counts for, above 0 and at most
            :data:`MAX_WEIGHT`.
        provenance: who says so; lessons are withdrawn by it. At most :data:`MAX_PROVENANCE`
            printable characters that begin with a letter or a digit and end with no blank.

    Raises:
        ValueError: a number out of its range, or another provenance.
    """

    traffic: str
    action: str
    reward: float
    weight: float
    provenance: str

    def __post_init__(self) -> None:
        if not 0 < self.weight <= MAX_WEIGHT:
            raise ValueError(f"weight must be a number of flows above 0, at most {MAX_WEIGHT:g}")
        # The first character also keeps spreadsheets from taking a name for a formula.
        name = self.provenance
        fits = name.isprintable() and name[:1].isalnum() and name == name.strip()
        if not fits or len(name) > MAX_PROVENANCE:
            raise ValueError(
                f"provenance must be a printable name of at most {MAX_PROVENANCE} characters that "
                "begins with a letter or a digit"
            )

    def check(self, catalogue: Catalogue) -> None:
        """Raises :class:`ValueError` for a lesson that this catalogue does not allow.

        It names a type or action that the catalogue does not have, or a reward that no action
        of the catalogue can earn.
        """
        if self.traffic not in catalogue.class_names:
            raise ValueError(f"no traffic type {self.traffic!r}")
        if self.action not in catalogue.action_names:
            raise ValueError(f"no action {self.action!r}")
        low, high = catalogue.lowest_reward, catalogue.highest_reward
        if not low <= self.reward <= high:
            raise ValueError(f"reward must be in {low} .. {high}")

    @property
    def key(self) -> tuple[str, str, str]:
        """A source teaches an edge once: source, type, action."""
        return (self.provenance, self.traffic, self.action)


@dataclass(frozen=True)
class Taught:
    """All lessons summed per edge.

    Attributes:
        weight: float64 [classes, actions], flows.
        reward: float64 [classes, actions], summed reward.
    """

    weight: NDArray[np.float64]
    reward: NDArray[np.float64]

    @classmethod
    def of(cls, lessons: Iterable[Lesson], catalogue: Catalogue) -> Taught:
        """Sums lessons.

        Raises:
            ValueError: a lesson that the catalogue does not allow.
        """
        weight = np.zeros((len(catalogue.classes), len(catalogue.actions)))
        reward = np.zeros_like(weight)
        # In one order whatever the order of teaching: float sums depend on it.
        for lesson in sorted(lessons, key=lambda lesson: lesson.key):
            lesson.check(catalogue)
            place = (
                catalogue.class_names.index(lesson.traffic),
                catalogue.action_names.index(lesson.action),
            )
            weight[place] += lesson.weight
            reward[place] += lesson.weight * lesson.reward
        return cls(weight, reward)


def withdrawn(
    lessons: Sequence[Lesson], provenance: str
) -> tuple[tuple[Lesson, ...], tuple[Lesson, ...]]:
    """Lessons parted into those of other sources and those of this one."""
    kept = tuple(lesson for lesson in lessons if lesson.provenance != provenance)
    gone = tuple(lesson for lesson in lessons if lesson.provenance == provenance)
    return kept, gone
