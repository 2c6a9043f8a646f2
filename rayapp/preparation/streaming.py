"""Prepares a scenario from a stream of flows, in three readings and a few bytes per flow.

1. Labels: every flow is read and cleaned; its class stays and a hash by which it is told from
   others, its features do not. These are enough to leave out duplicates and to divide the flows
   into training and test part, exactly as in memory.
2. Sample: the features of the flows that the detector is fitted on are kept. The tree is
   fitted, and its flows are matched honestly, in this process.
3. Signatures: every flow is read again and matched where it is read.

With a sample that covers all training flows, the scenario is the one that
:meth:`envs.Scenario.prepare` makes of the same flows; with a smaller one, the one that it
makes with the same ``sample``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
from numpy.typing import DTypeLike, NDArray

from envs import InputError, Scenario
from envs.datasets.duplicates import Duplicates, Hashes, row_hashes
from envs.datasets.source import FlowBatch, FlowSource, Tally
from envs.detector import SecondOpinion, TreeDetector, Views
from envs.division import Wishes, divide
from envs.flows import Progress, Provenance
from envs.matching import MatchedFlows, Opinions, fit_opinion, match_honestly
from envs.scenario_files import check_replaceable
from rayapp.preparation.stream import BatchHeader, Work, stream

_LABEL = np.dtype([("actual", np.int8), ("hash", np.uint64)])


def _quiet(title: str, unit: str) -> AbstractContextManager[Progress]:
    return nullcontext(lambda done, total: None)


@dataclass(frozen=True)
class Stages:
    """How stages are shown.

    Attributes:
        reading: given a title and a unit, shows progress while it is entered.
        working: the same for what has no progress.
    """

    reading: Callable[[str, str], AbstractContextManager[Progress]] = _quiet
    working: Callable[[str], AbstractContextManager[Any]] = nullcontext


def prepare(
    source: FlowSource,
    out: Path,
    wishes: Wishes,
    *,
    stages: Stages | None = None,
) -> Scenario:
    """Divides, fits, matches and writes. Ray must be running.

    Args:
        source: of the flows, in parts.
        out: the folder to write; what stood there is replaced once all is written.
        wishes: how flows are divided, and on how many the detector is fitted.
        stages: shows what is going on.

    Raises:
        InputError: as :meth:`FlowSource.read` and :meth:`envs.Scenario.prepare`, or a
            file that changed while it was being read.
    """
    wishes.check()
    check_replaceable(out)
    passes = _Passes(source, stages or Stages())
    provenance, actual, hashes = passes.labels()
    found = Duplicates(hashes)
    files = provenance.origin.get("files", ())
    rows = found.kept() if wishes.deduplicate else None
    division = divide(actual, wishes, source.catalogue, files, rows)
    duplicates = found.counted(division)
    del found, hashes
    features = passes.features(division.fit)
    with passes.stages.working(f"Fitting a decision tree on {len(division.fit):,} flows"):
        detector = TreeDetector.fit(features, actual[division.fit], seed=wishes.seed)
        if wishes.opinion is None:
            cross_fitted = match_honestly(detector, features, wishes)
    opinions = None
    if wishes.opinion is None:
        del features
        signature = passes.signatures(detector)
    else:
        second, cross_fitted, honest = fit_opinion(
            detector,
            features,
            actual[division.fit],
            wishes,
            source.catalogue,
            passes.stages.working,
        )
        del features
        signature, views = passes.views(detector, second)
        opinions = Opinions(second, honest, views)
    with passes.stages.working(f"Writing {out}"):
        matched = MatchedFlows(
            provenance,
            source.catalogue,
            source.schema,
            actual,
            division,
            detector,
            signature,
            cross_fitted,
            duplicates,
            opinions,
        )
        return Scenario.of_matched(out, matched, wishes)


class _Passes:
    """The three readings of one source."""

    def __init__(self, source: FlowSource, stages: Stages) -> None:
        self.stages = stages
        self._source = source
        self._digests: dict[tuple[int, int], tuple[int, int]] = {}
        self._starts = np.zeros(len(source.parts) + 1, np.int64)
        self._order = source.order()

    def labels(self) -> tuple[Provenance, NDArray[np.int8], Hashes]:
        """Reads all flows.

        Returns:
            Where they came from, and their classes and hashes in memory's order.
        """
        tally = Tally()
        found: dict[tuple[int, int], NDArray[np.void]] = {}
        with self.stages.reading("Reading labels", self._source.unit) as progress:
            for header, labels in stream(self._source.parts, _Labels(), _LABEL, progress):
                tally.add(header.tally)
                found[header.part, header.start] = labels.copy()
                self._digests[header.part, header.start] = header.flows, header.digest
        for (part, _), labels in found.items():
            self._starts[part + 1] += len(labels)
        np.cumsum(self._starts, out=self._starts)
        provenance = self._source.provenance(tally)
        arrived = np.concatenate([np.empty(0, _LABEL), *(found[key] for key in sorted(found))])
        found.clear()
        actual, hashes = (np.ascontiguousarray(arrived[name]) for name in _LABEL.names or ())
        return provenance, self._in_order(actual), self._in_order(hashes)

    def features(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Reads again for the features of some rows, float32 [rows, features], in their order."""
        width = len(self._source.schema)
        slots = np.full(self._starts[-1], -1, np.int32)
        slots[rows] = np.arange(len(rows), dtype=np.int32)
        if self._order is not None:
            slots = slots[self._order]
        gathered = np.empty((len(rows), width), np.float32)
        work = _Features(ray.put(slots >= 0), self._starts)
        for header, features in self._again("Reading the sample", work, np.float32):
            first = self._starts[header.part] + header.start
            mine = slots[first : first + header.flows]
            gathered[mine[mine >= 0]] = features.reshape(-1, width)
        return gathered

    def signatures(self, detector: TreeDetector) -> NDArray[np.int32]:
        """Reads again and matches, int32 [flows]."""
        arrived = np.empty(self._starts[-1], np.int32)
        work = _Signatures(ray.put(detector))
        for header, signature in self._again("Matching signatures", work, np.int32):
            first = self._starts[header.part] + header.start
            arrived[first : first + header.flows] = signature
        return self._in_order(arrived)

    def views(
        self, detector: TreeDetector, opinion: SecondOpinion
    ) -> tuple[NDArray[np.int32], Views]:
        """Reads again, matches (int32 [flows]), and asks the second opinion for its views."""
        arrived = np.empty((self._starts[-1], 3), np.int32)
        work = _Contexts(ray.put(detector), ray.put(opinion))
        for header, said in self._again("Matching signatures, asking twice", work, np.int32):
            first = self._starts[header.part] + header.start
            arrived[first : first + header.flows] = said.reshape(-1, 3)
        signature, seen, bucket = self._in_order(arrived).T
        return np.ascontiguousarray(signature), Views(seen.astype(np.int8), bucket.astype(np.int8))

    def _again(self, title: str, work: Work, kind: DTypeLike) -> Any:  # noqa: ANN401
        left = dict(self._digests)
        with self.stages.reading(title, self._source.unit) as progress:
            for header, result in stream(self._source.parts, work, kind, progress):
                self._check(header, left.pop((header.part, header.start), None))
                yield header, result
        if left:
            raise _changed()

    @staticmethod
    def _check(header: BatchHeader, before: tuple[int, int] | None) -> None:
        if before != (header.flows, header.digest):
            raise _changed()

    def _in_order(self, arrived: NDArray[Any]) -> NDArray[Any]:
        if self._order is None:
            return arrived
        ordered = np.empty_like(arrived)
        ordered[self._order] = arrived
        return ordered


def _changed() -> InputError:
    return InputError(
        "the files changed while they were being read",
        expected="files that stay as they are until the scenario is written",
        mend="Run kirl prepare again",
    )


@dataclass(frozen=True)
class _Labels:
    """Class and hash of all flows."""

    def begin(self, part: int) -> Callable[[int, FlowBatch], NDArray[Any]]:
        def label(start: int, batch: FlowBatch) -> NDArray[Any]:
            labels = np.empty(len(batch), _LABEL)
            labels["actual"] = batch.actual
            labels["hash"] = row_hashes(batch.features, batch.actual)
            return labels

        return label


@dataclass(frozen=True)
class _Features:
    """The features of some flows.

    Attributes:
        wanted: bool [flows], in the object store.
        starts: flows before each part.
    """

    wanted: Any
    starts: NDArray[np.int64]

    def begin(self, part: int) -> Callable[[int, FlowBatch], NDArray[Any]]:
        wanted: NDArray[np.bool_] = ray.get(self.wanted)
        before = int(self.starts[part])

        def pick(start: int, batch: FlowBatch) -> NDArray[Any]:
            first = before + start
            picked: NDArray[Any] = batch.features[wanted[first : first + len(batch)]]
            return picked

        return pick


@dataclass(frozen=True)
class _Signatures:
    """The signatures of all flows; the detector lies in the object store."""

    detector: Any

    def begin(self, part: int) -> Callable[[int, FlowBatch], NDArray[Any]]:
        detector: TreeDetector = ray.get(self.detector)

        def match(start: int, batch: FlowBatch) -> NDArray[Any]:
            return detector.match(batch.features)

        return match


@dataclass(frozen=True)
class _Contexts:
    """Signatures of all flows, and what the second opinion says of them, int32 [flows, 3].

    Attributes:
        detector: in the object store.
        opinion: likewise.
    """

    detector: Any
    opinion: Any

    def begin(self, part: int) -> Callable[[int, FlowBatch], NDArray[Any]]:
        detector: TreeDetector = ray.get(self.detector)
        opinion: SecondOpinion = ray.get(self.opinion)

        def match(start: int, batch: FlowBatch) -> NDArray[Any]:
            views = opinion.views(batch.features)
            met = (detector.match(batch.features), views.opinion, views.bucket)
            return np.stack(met, axis=1).astype(np.int32)

        return match
