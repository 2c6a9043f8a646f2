"""Divides flows into those that train, those that test, and those that the detector is fitted on.

The division depends on the flows' classes alone. So flows that are read in batches, a few bytes
of each kept, are divided exactly as flows in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import Catalogue
from envs.errors import InputError
from envs.stratified import Rows, stratified_parts

TEST_SHARE = 0.3
"""Share of flows held out for testing (paper, section IV-A: 70/30)."""

FOLDS = 3
"""Folds of cross-fitting (:mod:`envs.honesty`), chosen within the training part of real flows."""

MOST_FOLDS = 100

_FILES = 5
"""Files that a message names."""

SAMPLED_AT_LEAST = 1000
"""Flows of every class that a sample holds at the least, if there are so many."""


@dataclass(frozen=True)
class Wishes:
    """How to divide flows.

    Attributes:
        seed: of split, sample, tree and folds.
        honest: share of the training flows that the detector is not fitted on; the agent
            meets these alone (:mod:`envs.honesty`).
        cross_fit: number of folds by which the agent can meet all training flows honestly,
            0 for none; ignored with ``honest``, which makes it useless.
        sample: most flows that the detector is fitted on, ``None`` for all.
        deduplicate: whether flows that equal an earlier one are left out.
        opinion: kind of second opinion (:mod:`envs.detector.opinion`), ``None`` for none. It
            needs cross-fitting, which makes it honest.
    """

    seed: int = 0
    honest: float | None = None
    cross_fit: int = FOLDS
    sample: int | None = None
    deduplicate: bool = False
    opinion: Literal["boosted", "forest"] | None = None

    @property
    def folds(self) -> int:
        """Number of folds of cross-fitting; 0 with ``honest``, which makes it useless."""
        return self.cross_fit if self.honest is None else 0

    def check(self) -> None:
        """Raises :class:`InputError` for a number out of its range."""
        if self.honest is not None and not 0 < self.honest < 1:
            raise InputError(f"--honest is {self.honest:g}", expected="a share between 0 and 1")
        if self.cross_fit != 0 and not 2 <= self.cross_fit <= MOST_FOLDS:
            raise InputError(
                f"--cross-fit is {self.cross_fit}", expected=f"2 to {MOST_FOLDS} folds, or 0"
            )
        if self.sample is not None and self.sample < 2 * MOST_FOLDS:
            raise InputError(
                f"--sample is {self.sample}", expected=f"at least {2 * MOST_FOLDS} flows"
            )
        if self.opinion is not None and not self.folds:
            raise InputError(
                "a second opinion is wanted without cross-fitting",
                expected=f"--cross-fit with 2 to {MOST_FOLDS} folds and no --honest; without folds "
                "nothing tells how often the second opinion errs on flows that it has not seen",
                mend="Leave --honest out and give --cross-fit at least 2, or leave "
                "--second-opinion out",
            )


@dataclass(frozen=True)
class Division:
    """Row numbers of flows by what they are for.

    Attributes:
        rows: int64, all flows that were divided, ascending.
        train: int64, flows that the agent meets, in the order of the training split.
        test: int64, flows held out.
        fit_from: int64, the flows that the detector may be fitted on: ``train``, or the rest
            of the training flows where the agent meets a share of its own.
        fit: int64, those that it is fitted on, in the order in which it is given them.
        chosen: int64, the positions of ``fit`` in ``fit_from``, ascending.
    """

    rows: Rows
    train: Rows
    test: Rows
    fit_from: Rows
    fit: Rows
    chosen: Rows

    @property
    def sampled(self) -> bool:
        """Whether the detector is fitted on fewer flows than it might be."""
        return len(self.fit) < len(self.fit_from)


def divide(
    actual: NDArray[np.int8],
    wishes: Wishes,
    catalogue: Catalogue,
    files: Sequence[str] = (),
    rows: Rows | None = None,
) -> Division:
    """Divides flows, given their classes.

    Args:
        actual: int8 [n], class indices.
        wishes: how.
        catalogue: the classes.
        files: that the flows come from, for messages.
        rows: int64, numbers of the flows to divide, ascending; ``None`` for all. The others are
            in no part.

    Raises:
        InputError: only one class, a class with too few flows, or impossible wishes.
    """
    wishes.check()
    rows = np.arange(len(actual)) if rows is None else rows
    _check_classes(actual[rows], catalogue, files)
    train, test = (rows[part] for part in split(actual[rows], seed=wishes.seed))
    fit_from = train
    if wishes.honest is not None:
        fit_from, train = _parted(train, actual, wishes.honest, wishes.seed)
    if wishes.sample is None or wishes.sample >= len(fit_from):
        return Division(rows, train, test, fit_from, fit_from, np.arange(len(fit_from)))
    chosen = stratified_sample(actual[fit_from], wishes.sample, seed=wishes.seed)
    return Division(rows, train, test, fit_from, fit_from[chosen], chosen)


def split(
    actual: NDArray[np.int8], *, seed: int, test_share: float = TEST_SHARE
) -> tuple[Rows, Rows]:
    """A seeded stratified split; with Table I's counts it gives Table V's supports.

    Args:
        actual: int8 [n], class indices.
        seed: of the shuffle.
        test_share: share of the test part.

    Returns:
        Row numbers of the training and of the test part, each shuffled.
    """
    return stratified_parts(actual, test_share, seed=seed)


def stratified_sample(actual: NDArray[np.int8], size: int, *, seed: int) -> Rows:
    """Positions of a sample that holds every class in proportion, but no class too thinly.

    A class has its share of ``size``, or :data:`SAMPLED_AT_LEAST` flows (all it has, if it
    has fewer) where that is more: what is rare is what a detector has too few flows of. Where
    ``size`` is too small for that, every class gives up in proportion.

    Args:
        actual: int8 [n], class indices.
        size: of the sample, at most n.
        seed: of the draw.

    Returns:
        int64 [size], ascending.
    """
    counts = np.bincount(actual)
    least = np.minimum(counts, SAMPLED_AT_LEAST)
    least = np.minimum(least, np.ceil(least * (size / max(2 * least.sum(), size))).astype(int))
    poor = np.zeros(len(counts), bool)
    while True:
        scale = (size - least[poor].sum()) / counts[~poor].sum()
        newly = ~poor & (counts * scale < least)
        if not newly.any():
            break
        poor |= newly
    shares = np.where(poor, least, counts * scale)
    wanted = np.floor(shares).astype(int)
    by_remainder = np.argsort(wanted - shares, kind="stable")
    wanted[by_remainder[: size - wanted.sum()]] += 1
    rng = np.random.default_rng((seed, size))
    taken = [
        rng.choice(np.flatnonzero(actual == index), number, replace=False)
        for index, number in enumerate(wanted)
        if number
    ]
    return np.sort(np.concatenate(taken))


def _parted(rows: Rows, actual: NDArray[np.int8], share: float, seed: int) -> tuple[Rows, Rows]:
    """Training rows parted into those the detector is fitted on, and those the agent meets."""
    try:
        fit, meet = stratified_parts(actual[rows], share, seed=seed)
    except ValueError as error:
        raise InputError(
            f"a class has too few training flows to set a share of {share:g} apart",
            expected="at least two training flows of every class on either side",
            mend="Choose another --honest, --cross-fit, or give more flows",
        ) from error
    return rows[fit], rows[meet]


def _check_classes(actual: NDArray[np.int8], catalogue: Catalogue, files: Sequence[str]) -> None:
    counts = np.bincount(actual, minlength=len(catalogue.classes))
    present = np.flatnonzero(counts)
    if len(present) < 2:
        found = catalogue.class_names[int(present[0])] if len(present) else "none"
        if catalogue.benign_class is None:
            missing = "others"
        elif found == catalogue.benign_class:
            missing = "attacks"
        else:
            missing = f"benign flows ({catalogue.benign_class})"
        more = len(files) - _FILES
        where = ", ".join(files[:_FILES]) + (f" and {more} more files" if more > 0 else "")
        raise InputError(
            f"all {len(actual):,} flows are of one class ({found}): there are no {missing}",
            where=where or None,
            expected="flows of at least two classes, so that there is something to detect",
            mend=f"Give the files that hold {missing}, too: --data may be repeated",
        )
    for index in present:
        if counts[index] < 2:
            raise InputError(
                f"class {catalogue.class_names[int(index)]} has only one flow",
                expected="at least 2 flows of every class that occurs, to be split",
                mend="Add flows of that class or leave it out",
            )
    if len(actual) * TEST_SHARE < len(present) + 1:
        raise InputError(
            f"only {len(actual)} flows of {len(present)} classes",
            expected=f"enough for a test part of {TEST_SHARE:.0%} that holds every class",
            mend="Give more flows",
        )
