"""The knowledge graph's truth: integer counts that interaction tables are added to.

Two arrays hold all three edge kinds of the paper (section III-B). Sums of integers are
exact and do not depend on order; a key per table makes merging it twice harmless. Beside
them stand what analysts taught (:mod:`kg_actor.lessons`) and, where forgetting is on, the
same counts with old flows faded. What people look at (typed neighbourhoods, networkx) is
derived elsewhere, on demand. Keeping it on disk is :mod:`kg_actor.store`'s business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs import BetaPrior, Catalogue, Contexts, Counters, InteractionTable
from kg_actor.lessons import Lesson, Taught, withdrawn

Numbers = NDArray[np.int64] | NDArray[np.float64]


class MergeKey(NamedTuple):
    """What makes a table unique; the graph merges each key once."""

    run: str
    iteration: int
    runner: int


@dataclass(frozen=True)
class Keyed:
    """A table with the key it is merged under."""

    key: MergeKey
    table: InteractionTable

    @cached_property
    def digest(self) -> bytes:
        """Eight bytes that tell the table's content from any other's."""
        hashed = hashlib.blake2b(digest_size=8)
        table = self.table
        for column in (table.context, table.action, table.actual, table.count):
            hashed.update(np.ascontiguousarray(column).data)
        return hashed.digest()


@dataclass(frozen=True)
class Merged:
    """What the graph remembers of a merged table.

    Attributes:
        version: the graph's version that the table made, shared by all tables merged with it.
        flows: how many flows it counted.
        digest: of its content; another table under the same key is refused.
    """

    version: int
    flows: int
    digest: bytes


@dataclass(frozen=True)
class Recent:
    """The graph's counts with old flows faded: a flow weighs 2 ** (-age / half-life).

    Attributes:
        context_actual: float64, shaped as in :class:`GraphCounts`.
        type_action: float64, shaped as in :class:`GraphCounts`.
    """

    context_actual: NDArray[np.float64]
    type_action: NDArray[np.float64]


@dataclass(frozen=True)
class GraphCounts:
    """The graph at one version.

    Attributes:
        context_actual: int64 [contexts, classes]: flows that were met in a context, by their
            true class.
        type_action: int64 [classes, actions, classes]: by predicted class, action taken and
            true class. Weighted with eq. 3 it gives each type -> action edge's reward sum.
        version: advances by one with every merge (of one table, or of all tables of an
            iteration), every teaching and every withdrawal.
        contexts: what the contexts stand for.
        recent: what counters and rewards follow instead where forgetting is on.
        taught: prior experience per type -> action edge; ``None`` where nothing was taught.
    """

    context_actual: NDArray[np.int64]
    type_action: NDArray[np.int64]
    version: int
    contexts: Contexts
    recent: Recent | None = None
    taught: Taught | None = None

    @cached_property
    def signature_actual(self) -> NDArray[np.int64]:
        """Flows by signature and true class, int64 [signatures, classes].

        Row sums are N, entries at the predicted class are C.
        """
        return self.contexts.by_signature(self.context_actual)

    @cached_property
    def signature_evidence(self) -> Numbers:
        """What confidence follows: the exact counts, or the faded ones where there are any."""
        if self.recent is None:
            return self.signature_actual
        return self.contexts.by_signature(self.recent.context_actual)

    @property
    def context_evidence(self) -> Numbers:
        """What advice follows: the exact counts, or the faded ones where there are any."""
        return self.recent.context_actual if self.recent else self.context_actual

    @property
    def type_evidence(self) -> Numbers:
        """What rewards follow: the exact counts, or the faded ones where there are any."""
        return self.recent.type_action if self.recent else self.type_action

    def equals(self, other: GraphCounts) -> bool:
        """Whether both count the same flows, whatever their versions."""
        return np.array_equal(self.context_actual, other.context_actual) and np.array_equal(
            self.type_action, other.type_action
        )


@dataclass(frozen=True)
class Changes:
    """When each part of the graph last changed.

    Attributes:
        signature: int64 [signatures], version that last touched a signature; 0 for never.
        traffic: int64 [classes], version that last touched a predicted type's actions.
    """

    signature: NDArray[np.int64]
    traffic: NDArray[np.int64]


@dataclass(frozen=True)
class GraphState:
    """Everything a graph holds, for snapshots.

    Attributes:
        counts: see :class:`GraphCounts`.
        changes: see :class:`Changes`.
        merged: every table ever merged, by key.
        lessons: everything taught and not withdrawn.
    """

    counts: GraphCounts
    changes: Changes
    merged: Mapping[MergeKey, Merged] = field(default_factory=dict)
    lessons: tuple[Lesson, ...] = ()

    def equals(self, other: GraphState) -> bool:
        """Whether graphs of these states would answer everything alike, versions included."""
        ours, theirs = self.counts, other.counts
        return (
            ours.equals(theirs)
            and ours.version == theirs.version
            and np.array_equal(ours.context_evidence, theirs.context_evidence)
            and np.array_equal(ours.type_evidence, theirs.type_evidence)
            and np.array_equal(self.changes.signature, other.changes.signature)
            and np.array_equal(self.changes.traffic, other.changes.traffic)
            and self.merged == other.merged
            and self.lessons == other.lessons
        )


class KnowledgeGraph:
    """Counts of experience over a signature database.

    Args:
        predicted: int8 [signatures], the class each signature predicts.
        catalogue: classes, actions, rewards.
        prior: of the signatures' confidence.
        half_life: flows after which a merged flow weighs half in counters and rewards;
            ``None`` (the default) never forgets. The exact counts are kept in any case.
        contexts: that flows are met in; by default one per signature.

    Raises:
        ValueError: a half-life that is not above 0.
    """

    def __init__(
        self,
        predicted: NDArray[np.int8],
        catalogue: Catalogue,
        prior: BetaPrior | None = None,
        half_life: float | None = None,
        contexts: Contexts | None = None,
    ) -> None:
        if half_life is not None and not half_life > 0:
            raise ValueError("half_life must be above 0 flows")
        classes, actions = len(catalogue.classes), len(catalogue.actions)
        self.predicted = predicted
        self.contexts = contexts or Contexts.of_signatures(predicted)
        self.catalogue = catalogue
        self.prior = prior or BetaPrior()
        self.half_life = half_life
        self._context_actual = np.zeros((len(self.contexts), classes), dtype=np.int64)
        self._type_action = np.zeros((classes, actions, classes), dtype=np.int64)
        self._recent = None if half_life is None else self._faded_zeros()
        self._signature_version = np.zeros(len(predicted), dtype=np.int64)
        self._type_version = np.zeros(classes, dtype=np.int64)
        self._merged: dict[MergeKey, Merged] = {}
        self._lessons: tuple[Lesson, ...] = ()
        self._taught: Taught | None = None
        self._version = 0

    @property
    def version(self) -> int:
        """Number of merges, teachings and withdrawals so far."""
        return self._version

    @property
    def merged(self) -> Mapping[MergeKey, Merged]:
        """Every table merged so far, by key."""
        return self._merged

    @property
    def lessons(self) -> tuple[Lesson, ...]:
        """What was taught and not withdrawn, in the order of teaching."""
        return self._lessons

    def check_signature(self, signature: int) -> None:
        """Raises ``KeyError`` for a signature that the graph does not have."""
        if not 0 <= signature < len(self.predicted):
            raise KeyError(f"no signature {signature}; ids go from 0 to {len(self.predicted) - 1}")

    def merge(self, table: InteractionTable, key: MergeKey) -> bool:
        """Adds one table unless its key was merged before; see :meth:`merge_all`.

        Returns:
            Whether it was added.
        """
        return bool(self.merge_all([Keyed(key, table)]))

    def merge_all(self, tables: Sequence[Keyed]) -> list[Keyed]:
        """Adds those tables whose keys were not merged before, as one new version.

        Returns:
            The tables that were added.

        Raises:
            ValueError: a table names a signature, action or class that the graph does not
                have, or differs from the one merged under its key; nothing is added then.
        """
        new = self.unmerged(tables)
        if new:
            self.apply(new)
        return new

    def unmerged(self, tables: Sequence[Keyed]) -> list[Keyed]:
        """Those of the tables that :meth:`merge_all` would add, checked."""
        new: dict[MergeKey, Keyed] = {}
        for keyed in tables:
            before = self._merged.get(keyed.key)
            known = before.digest if before else None
            if keyed.key in new:
                known = new[keyed.key].digest
            if known is None:
                check_table(keyed.table, len(self.contexts), self.catalogue)
                new[keyed.key] = keyed
            elif known != keyed.digest:
                run, iteration, runner = keyed.key
                raise ValueError(
                    f"iteration {iteration}, runner {runner} of run {run!r} was merged with other "
                    "content; does another training use the same run name?"
                )
        return list(new.values())

    def apply(self, new: Sequence[Keyed], version: int | None = None) -> None:
        """Adds checked tables of new keys as one new version, by default the next one."""
        self._version = self._version + 1 if version is None else version
        if self._recent is not None and self.half_life is not None:
            fade = 2.0 ** (-sum(keyed.table.flows for keyed in new) / self.half_life)
            self._recent.context_actual[:] *= fade
            self._recent.type_action[:] *= fade
        # One sum for all: with faded counts, even the rounding must not depend on how an
        # iteration's flows were shared out among runners.
        self._add(InteractionTable.total(keyed.table for keyed in new))
        for keyed in new:
            self._merged[keyed.key] = Merged(self._version, keyed.table.flows, keyed.digest)

    def teach(self, lessons: Iterable[Lesson]) -> None:
        """Adds prior experience; a lesson on the same edge by the same source is replaced.

        Teaching again what was taught changes nothing and is no new version.

        Raises:
            ValueError: a lesson names a type or action that the catalogue does not have;
                nothing is taught then.
        """
        known = {lesson.key: lesson for lesson in self._lessons}
        given = {lesson.key: lesson for lesson in lessons}
        new = [lesson for key, lesson in given.items() if known.get(key) != lesson]
        self._set_lessons(tuple((known | given).values()), new)

    def withdraw(self, provenance: str) -> int:
        """Takes back all that one source taught; everything else stays as it is.

        Returns:
            How many lessons were withdrawn.
        """
        kept, gone = withdrawn(self._lessons, provenance)
        self._set_lessons(kept, gone)
        return len(gone)

    def replace_lessons(self, lessons: Sequence[Lesson]) -> None:
        """Makes these all that was taught; a new version if they differ from what was.

        Raises:
            ValueError: as :meth:`teach`.
        """
        before, after = set(self._lessons), set(lessons)
        self._set_lessons(tuple(lessons), sorted(before ^ after, key=lambda each: each.key))

    def counts(self) -> GraphCounts:
        """A copy of the graph as it is now."""
        recent = self._recent
        return GraphCounts(
            self._context_actual.copy(),
            self._type_action.copy(),
            self._version,
            self.contexts,
            recent and Recent(recent.context_actual.copy(), recent.type_action.copy()),
            self._taught,
        )

    def changes(self) -> Changes:
        """When each signature and type last changed."""
        return Changes(self._signature_version.copy(), self._type_version.copy())

    def state(self) -> GraphState:
        """A copy of everything the graph holds."""
        return GraphState(self.counts(), self.changes(), dict(self._merged), self._lessons)

    def restore(self, state: GraphState) -> None:
        """Replaces the whole content.

        Raises:
            ValueError: the state is another scenario's, contradicts itself, or only one of
                the two graphs forgets; nothing is replaced then.
        """
        counts = state.counts
        if (
            counts.context_actual.shape != self._context_actual.shape
            or counts.type_action.shape != self._type_action.shape
        ):
            raise ValueError(
                f"a snapshot of {len(counts.context_actual)} contexts does not fit a graph "
                f"of {len(self.contexts)}"
            )
        if (counts.recent is None) != (self.half_life is None):
            raise ValueError("one of graph and snapshot forgets, the other does not")
        self._check_state(state)
        taught = Taught.of(state.lessons, self.catalogue) if state.lessons else None
        self._context_actual = counts.context_actual.copy()
        self._type_action = counts.type_action.copy()
        if counts.recent is not None:
            self._recent = Recent(
                counts.recent.context_actual.copy(), counts.recent.type_action.copy()
            )
        self._signature_version = state.changes.signature.copy()
        self._type_version = state.changes.traffic.copy()
        self._merged = dict(state.merged)
        self._version = counts.version
        self._lessons, self._taught = tuple(state.lessons), taught

    def _add(self, table: InteractionTable) -> None:
        if not len(table):
            return
        signature = self.contexts.signature[table.context]
        predicted = self.predicted[signature]
        by_context = (table.context, table.actual)
        by_type = (predicted, table.action, table.actual)
        np.add.at(self._context_actual, by_context, table.count)
        np.add.at(self._type_action, by_type, table.count)
        if self._recent is not None:
            np.add.at(self._recent.context_actual, by_context, table.count)
            np.add.at(self._recent.type_action, by_type, table.count)
        self._signature_version[signature] = self._version
        self._type_version[predicted] = self._version

    def _set_lessons(self, lessons: tuple[Lesson, ...], changed: Sequence[Lesson]) -> None:
        self._taught = Taught.of(lessons, self.catalogue) if lessons else None
        self._lessons = lessons
        if changed:
            self._version += 1
        for lesson in changed:
            self._type_version[self.catalogue.class_index(lesson.traffic)] = self._version

    def _check_state(self, state: GraphState) -> None:
        counts, changes = state.counts, state.changes
        exact = (counts.context_actual, counts.type_action, changes.signature, changes.traffic)
        if any(array.dtype != np.int64 or (array < 0).any() for array in exact):
            raise ValueError("counts and versions must be whole numbers from 0 on")
        by_type = np.zeros((len(self.catalogue.classes),) * 2, np.int64)
        np.add.at(by_type, self.contexts.traffic, counts.context_actual)
        if not np.array_equal(by_type, counts.type_action.sum(axis=1)):
            raise ValueError("contexts and types count different flows")
        shapes = (self.predicted.shape, (len(self.catalogue.classes),))
        if (changes.signature.shape, changes.traffic.shape) != shapes:
            raise ValueError("versions of another number of signatures or types")
        latest = max(changes.signature.max(), changes.traffic.max())
        if not latest <= counts.version < 2**62:
            raise ValueError("something changed after the last version")
        if counts.recent is not None:
            for faded, whole in zip(vars(counts.recent).values(), exact, strict=False):
                fits = faded.shape == whole.shape and faded.dtype == np.float64
                if not fits or not ((faded >= 0) & np.isfinite(faded)).all():
                    raise ValueError("faded counts must be numbers from 0 on")
        merged = state.merged.values()
        if any(not 0 < one.version <= counts.version or one.flows < 0 for one in merged):
            raise ValueError("a table was merged before the first or after the last version")
        if sum(one.flows for one in merged) != counts.context_actual.sum():
            raise ValueError("it counts other flows than were merged")

    def _faded_zeros(self) -> Recent:
        return Recent(self._context_actual.astype(np.float64), self._type_action.astype(np.float64))


def check_table(table: InteractionTable, contexts: int, catalogue: Catalogue) -> None:
    """Raises ``ValueError`` for a table that a graph of so many contexts cannot count."""
    if not len(table):
        return
    for name, column, size in (
        ("context", table.context, contexts),
        ("action", table.action, len(catalogue.actions)),
        ("actual", table.actual, len(catalogue.classes)),
    ):
        if column.min() < 0 or column.max() >= size:
            raise ValueError(f"{name} must be in 0 .. {size - 1}")
    if table.count.min() < 1:
        raise ValueError("every count must be at least 1")


def counters_of(counts: GraphCounts, prior: BetaPrior) -> Counters:
    """N and C of every signature, as the environment takes them; faded where forgetting is on."""
    evidence, predicted = counts.signature_evidence, counts.contexts.predicted
    seen = evidence.sum(axis=1)
    correct = evidence[np.arange(len(predicted)), predicted]
    return Counters(seen, correct, prior)


def reward_sums(counts: GraphCounts, catalogue: Catalogue) -> Numbers:
    """Reward earned by each action under each predicted class, [classes, actions].

    int64 and exact, or float64 where forgetting is on. What was taught is not in it.
    """
    rewards = catalogue.rewards.astype(np.int64)
    summed: Numbers = np.einsum("pat,ta->pa", counts.type_evidence, rewards)
    return summed


def experience(
    counts: GraphCounts, catalogue: Catalogue, *, truly: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What advice goes by: flows and reward of each edge, learnt and taught together.

    Args:
        counts: the graph's.
        catalogue: classes, actions, rewards.
        truly: goes by the types that flows truly were of, rather than by the predicted ones.

    Returns:
        Weight in flows and summed reward, each float64 [classes, actions].
    """
    if truly:
        weight = counts.type_evidence.sum(axis=0).T.astype(np.float64)
        reward = weight * catalogue.rewards
    else:
        weight = counts.type_evidence.sum(axis=2).astype(np.float64)
        reward = reward_sums(counts, catalogue).astype(np.float64)
    if counts.taught is not None:
        weight, reward = weight + counts.taught.weight, reward + counts.taught.reward
    return weight, reward
