"""The scenario: flows reduced to what learning needs, written once and read by everything.

A scenario is a folder (:mod:`envs.scenario_files`). Its fingerprint names the content (catalogue,
splits, signatures, detector): the same flows and seed give the same one, and artifacts that name
another do not belong to the scenario.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from envs import scenario_files
from envs.catalogue import Catalogue
from envs.datasets import cicflowmeter
from envs.datasets.duplicates import Duplicates, row_hashes
from envs.detector import (
    Detector,
    RuleDetector,
    TreeDetector,
    detection_report,
    report_to_json,
)
from envs.division import FOLDS, TEST_SHARE, Wishes, divide
from envs.errors import InputError
from envs.files import link_or_copy, replacing
from envs.flows import FeatureSchema, Flows, is_synthetic
from envs.matching import MatchedFlows, match_honestly
from envs.scenario_files import Tables
from envs.scenario_warnings import scenario_warnings
from envs.signatures import BetaPrior, SignatureTable
from envs.state import Contexts, Counters, FlowSet

SPLITS = ("train", "test")

Matching = Literal["fitted", "cross-fitted"]

Stage = Callable[[str], AbstractContextManager[None]]


def _silently(title: str) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True)
class Scenario:
    """A prepared scenario in memory. Make one with :meth:`prepare` or :meth:`load`."""

    path: Path
    manifest: dict[str, Any]
    signatures: SignatureTable
    train: tuple[NDArray[np.int32], NDArray[np.int8]]
    test: tuple[NDArray[np.int32], NDArray[np.int8]]
    cross_fitted: NDArray[np.int32]

    @classmethod
    def prepare(
        cls,
        flows: Flows,
        out: Path,
        *,
        seed: int = 0,
        honest: float | None = None,
        cross_fit: int = FOLDS,
        sample: int | None = None,
        deduplicate: bool = False,
        stage: Stage = _silently,
    ) -> Scenario:
        """Splits flows, fits the detector on the training part and writes the scenario.

        Args:
            flows: labelled flows; the scenario gets their catalogue.
            out: the folder to write; what stood there is replaced once all is written.
            seed: of split and tree.
            honest: share of the training flows that the detector is not fitted on; the agent
                meets these alone (:mod:`envs.honesty`).
            cross_fit: number of folds by which the agent can meet all training flows
                honestly, 0 for none; ignored with ``honest``, which makes it useless.
            sample: most flows to fit the detector on, drawn by class; ``None`` for all.
            deduplicate: leave out flows that equal an earlier one, before the split.
            stage: entered around each part of the work with its name.

        Raises:
            InputError: only one class, a class with too few flows to be split, ``out``
                holds anything but a scenario, or impossible ``honest``, ``cross_fit`` or
                ``sample``.
        """
        wishes = Wishes(seed, honest, cross_fit, sample, deduplicate)
        wishes.check()
        scenario_files.check_replaceable(out)
        files = flows.provenance.origin.get("files", ())
        with stage("Comparing flows for duplicates"):
            found = Duplicates(row_hashes(flows.features, flows.actual))
            rows = found.kept() if deduplicate else None
        division = divide(flows.actual, wishes, flows.catalogue, files, rows)
        fit_features = flows.features[division.fit]
        with stage(f"Fitting a decision tree to {len(division.fit):,} flows"):
            detector = TreeDetector.fit(fit_features, flows.actual[division.fit], seed=seed)
        with stage("Matching flows to signatures"):
            cross_fitted = match_honestly(detector, fit_features, wishes)
            del fit_features
            signature = detector.match(flows.features)
        matched = MatchedFlows(
            flows.provenance,
            flows.catalogue,
            flows.schema,
            flows.actual,
            division,
            detector,
            signature,
            cross_fitted,
            found.counted(division),
        )
        with stage("Writing the scenario"):
            return cls.of_matched(out, matched, wishes)

    @classmethod
    def of_matched(cls, out: Path, matched: MatchedFlows, wishes: Wishes) -> Scenario:
        """Writes flows that are matched to signatures as a scenario.

        Args:
            out: the folder to write; what stood there is replaced once all is written.
            matched: the flows.
            wishes: what they were divided by.

        Raises:
            InputError: ``out`` holds anything but a scenario, or cannot be written to.
        """
        division, catalogue = matched.division, matched.catalogue
        classes = np.bincount(matched.actual[division.rows], minlength=len(catalogue.classes))
        fitted_on = {"fitted_on": len(division.fit)} if division.sampled else {}
        about: dict[str, Any] = {
            "source": asdict(matched.provenance),
            "classes": dict(zip(catalogue.class_names, classes.tolist(), strict=True)),
            "split": {
                "seed": wishes.seed,
                "test_share": TEST_SHARE,
                "honest": wishes.honest,
                "cross_fit": wishes.folds,
            }
            | fitted_on,
            "duplicates": matched.duplicates,
        }
        tables = matched.tables()
        return cls.write(out, about, matched.detector, tables, catalogue, matched.schema)

    @classmethod
    def write(
        cls,
        out: Path,
        about: dict[str, Any],
        detector: Detector[Any],
        tables: Tables,
        catalogue: Catalogue,
        schema: FeatureSchema,
    ) -> Scenario:
        """Writes a scenario whose parts are at hand.

        Args:
            out: the folder; what stood there is replaced once all is written.
            about: ``source``, ``classes`` and ``split`` of the manifest, and what else it tells.
            detector: that matches flows to the signatures.
            tables: signatures, training and test flows.
            catalogue: classes and actions.
            schema: of the features that the detector tests.

        Raises:
            InputError: ``out`` holds anything but a scenario, or cannot be written to.
        """
        report = detection_report(
            tables.signatures.predicted[tables.test[0]], tables.test[1], catalogue
        )
        manifest: dict[str, Any] = {
            "format": scenario_files.FORMAT,
            **about,
            # Manifests say nothing of a decision tree, so that those of old stay as they are.
            **({} if detector.kind == TreeDetector.kind else {"detector": detector.kind}),
            "flows": {"train": len(tables.train[1]), "test": len(tables.test[1])},
            "signatures": len(tables.signatures),
            "detection": report_to_json(report),
            "warnings": scenario_warnings(
                tables.train[1], report, catalogue, of_alerts=detector.kind == RuleDetector.kind
            ),
            "catalogue": catalogue.to_json(),
            "features": schema.to_json(),
            "versions": scenario_files.versions(),
            "fingerprint": tables.fingerprint(catalogue, detector),
        }
        scenario_files.write(out, manifest, detector, tables)
        return cls._of(out, manifest, tables)

    @classmethod
    def load(cls, path: Path) -> Scenario:
        """Reads a scenario and checks that nothing in it has changed since it was written.

        Raises:
            InputError: not a scenario, of another format, incomplete, or changed.
        """
        return cls._of(path, *scenario_files.read(path))

    @classmethod
    def _of(cls, path: Path, manifest: dict[str, Any], tables: Tables) -> Scenario:
        return cls(
            path, manifest, tables.signatures, tables.train, tables.test, tables.cross_fitted
        )

    @property
    def fingerprint(self) -> str:
        """Names this scenario's content."""
        return str(self.manifest["fingerprint"])

    @property
    def kind(self) -> str:
        """Name of the kind of data set that the flows are of."""
        return str(self.manifest["source"]["kind"])

    @property
    def synthetic(self) -> bool:
        """Whether the flows were drawn from a model rather than recorded."""
        return is_synthetic(self.manifest["source"])

    @cached_property
    def schema(self) -> FeatureSchema:
        """The features that the detector tests.

        Manifests that do not tell them were written when all flows had CICFlowMeter's.
        """
        told = self.manifest.get("features")
        return cicflowmeter.SCHEMA if told is None else FeatureSchema.from_json(told)

    @cached_property
    def catalogue(self) -> Catalogue:
        """The catalogue that the scenario was prepared with."""
        return Catalogue.from_json(self.manifest["catalogue"])

    @cached_property
    def contexts(self) -> Contexts:
        """What flows are met in: one context per signature, since there is no second opinion."""
        return Contexts.of_signatures(self.signatures.predicted)

    @property
    def of_alerts(self) -> bool:
        """Whether its flows are alerts of an IDS, whose rules are the signatures."""
        return scenario_files.detector_kind(self.manifest) is RuleDetector

    def detector(self) -> Detector[Any]:
        """What matches flows or alerts to the signatures, read from its file.

        A decision tree is given features, float32 [n, features]; the rules of an IDS are given
        the ids of rules. A rule that the scenario does not know matches
        :data:`envs.detector.UNKNOWN`, -1.

        Raises:
            InputError: the file is missing, damaged, or of another scenario.
        """
        kind = scenario_files.detector_kind(self.manifest)
        file = self.path / kind.file
        detector = kind.load(file)
        if len(detector) > len(self.signatures):
            raise InputError(
                f"the detector has {len(detector):,} signatures",
                where=str(file),
                expected=f"at most the {len(self.signatures):,} of the scenario",
                mend="Prepare the scenario again",
            )
        return detector

    def verdicts(self, prior: BetaPrior | None = None) -> Counters | None:
        """N and C of every rule by all verdicts, in training and test part; B follows by eq. 1.

        ``None`` for a scenario that was not made from alerts. Training meets verdicts over and
        over, and a graph counts all it meets; here each of them counts once.
        """
        if not self.of_alerts:
            return None
        counters = Counters.zeros(len(self.signatures), prior)
        for signature, actual in (self.train, self.test):
            counters.add(signature, self.signatures.predicted[signature] == actual)
        return counters

    def flow_set(self, name: str = "train", *, matching: Matching = "fitted") -> FlowSet:
        """One split as the environment takes it.

        Args:
            name: ``train`` or ``test``.
            matching: ``fitted`` matches every flow as the detector does. ``cross-fitted``
                holds every training flow 2 * draws times, as the detector matches it and as
                it is matched honestly in turn, so that counters learn how often the
                detector errs on flows it has not seen; without draws it is ``fitted``.

        Raises:
            InputError: there is no such split.
        """
        if name not in SPLITS:
            raise InputError(f"no split called {name!r}", expected=" or ".join(SPLITS))
        signature, actual = self.train if name == "train" else self.test
        draws = len(self.cross_fitted)
        if name == "train" and matching == "cross-fitted" and draws:
            signature = np.concatenate([*self.cross_fitted, *[signature] * draws])
            actual = np.tile(actual, 2 * draws)
        return FlowSet(signature, actual, self.contexts, self.catalogue)

    def copy_to(self, folder: Path) -> None:
        """Puts the same scenario into another folder, by hard links where they can be made."""
        with replacing(folder) as temporary:
            temporary.mkdir()
            for name in (scenario_files.MANIFEST, *scenario_files.files_of(self.manifest)):
                link_or_copy((self.path / name).resolve(), temporary / name)
