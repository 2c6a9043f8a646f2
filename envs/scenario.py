"""The scenario: flows reduced to what learning needs, written once and read by everything.

A scenario is a folder (:mod:`envs.scenario_files`). Its fingerprint names the content (catalogue,
splits, signatures, detector): the same flows and seed give the same one, and artifacts that name
another do not belong to the scenario.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from envs import scenario_files
from envs.catalogue import Catalogue
from envs.contexts import ContextFinder
from envs.datasets import cicflowmeter
from envs.datasets.duplicates import Duplicates, row_hashes
from envs.detector import (
    Detector,
    OpinionKind,
    RuleDetector,
    SecondOpinion,
    TreeDetector,
    detection_report,
    report_to_json,
)
from envs.detector.opinion import CONFIDENCES, CUTS
from envs.division import FOLDS, TEST_SHARE, Wishes, divide
from envs.errors import InputError
from envs.files import link_or_copy, replacing
from envs.flows import FeatureSchema, Flows, is_synthetic
from envs.matching import (
    MatchedFlows,
    Opinions,
    Stage,
    fit_opinion,
    match_honestly,
    silently,
)
from envs.scenario_files import Tables
from envs.scenario_warnings import scenario_warnings
from envs.signatures import BetaPrior, SignatureTable
from envs.state import Contexts, Counters, FlowSet

SPLITS = ("train", "test")

Matching = Literal["fitted", "cross-fitted"]


@dataclass(frozen=True)
class Scenario:
    """A prepared scenario in memory. Make one with :meth:`prepare` or :meth:`load`.

    ``train``, ``test`` and ``cross_fitted`` hold contexts, which are signatures where there is no
    second opinion.
    """

    path: Path
    manifest: dict[str, Any]
    signatures: SignatureTable
    train: tuple[NDArray[np.int32], NDArray[np.int8]]
    test: tuple[NDArray[np.int32], NDArray[np.int8]]
    cross_fitted: NDArray[np.int32]
    met: Contexts | None = None

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
        opinion: OpinionKind | None = None,
        stage: Stage = silently,
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
            opinion: kind of second opinion to fit beside the tree, ``None`` for none; it needs
                ``cross_fit``.
            stage: entered around each part of the work with its name.

        Raises:
            InputError: only one class, a class with too few flows to be split, ``out``
                holds anything but a scenario, or impossible ``honest``, ``cross_fit``,
                ``sample`` or ``opinion``.
        """
        wishes = Wishes(seed, honest, cross_fit, sample, deduplicate, opinion)
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
        opinions = None
        if wishes.opinion is not None:
            second, cross_fitted, honest_views = fit_opinion(
                detector,
                fit_features,
                flows.actual[division.fit],
                wishes,
                flows.catalogue,
                stage,
            )
            with stage("Asking the second opinion"):
                opinions = Opinions(second, honest_views, second.views(flows.features))
        with stage("Matching flows to signatures"):
            if opinions is None:
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
            opinions,
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
        opinions = matched.opinions
        if opinions is not None:
            about["opinion"] = {"kind": wishes.opinion}
        return cls.write(
            out,
            about,
            matched.detector,
            tables,
            catalogue,
            matched.schema,
            None if opinions is None else opinions.opinion,
        )

    @classmethod
    def write(
        cls,
        out: Path,
        about: dict[str, Any],
        detector: Detector[Any],
        tables: Tables,
        catalogue: Catalogue,
        schema: FeatureSchema,
        opinion: SecondOpinion | None = None,
    ) -> Scenario:
        """Writes a scenario whose parts are at hand.

        Args:
            out: the folder; what stood there is replaced once all is written.
            about: ``source``, ``classes`` and ``split`` of the manifest, ``opinion`` where there
                is one, and what else it tells.
            detector: that matches flows to the signatures.
            tables: signatures, training and test flows.
            catalogue: classes and actions.
            schema: of the features that the detector tests.
            opinion: the second opinion, where the tables have contexts.

        Raises:
            InputError: ``out`` holds anything but a scenario, or cannot be written to.
        """
        contexts = tables.contexts or Contexts.of_signatures(tables.signatures.predicted)
        met, actual = tables.test
        report = detection_report(contexts.traffic[met], actual, catalogue)
        if opinion is not None and contexts.opinion is not None:
            second = detection_report(contexts.opinion[met], actual, catalogue)
            about["opinion"] |= {
                "temperature": opinion.temperature,
                "cuts": list(CUTS),
                "confidences": list(CONFIDENCES),
                "contexts": len(contexts),
                "detection": report_to_json(second),
            }
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
            "fingerprint": tables.fingerprint(catalogue, detector, opinion),
        }
        scenario_files.write(out, manifest, detector, tables, opinion)
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
            path,
            manifest,
            tables.signatures,
            tables.train,
            tables.test,
            tables.cross_fitted,
            tables.contexts,
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
        """What flows are met in: one context per signature where there is no second opinion."""
        if self.met is None:
            return Contexts.of_signatures(self.signatures.predicted, of_rules=self.of_alerts)
        return replace(self.met, distinct=len(self.train[1]))

    @property
    def has_opinion(self) -> bool:
        """Whether flows get a second opinion besides the tree's."""
        return self.met is not None

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

    def matcher(self) -> Callable[[NDArray[np.float32]], NDArray[np.int32]]:
        """What tells the context of a flow by its features, read from the scenario's files.

        Returns:
            A function of features, float32 [n, features], that gives int32 [n], contexts. A flow
            whose context is not in the scenario is met in the nearest one
            (:meth:`envs.contexts.ContextFinder.find`).

        Raises:
            InputError: a file is missing, damaged, or of another scenario.
        """
        detector = self.detector()
        if not self.has_opinion:
            matched: Callable[[NDArray[np.float32]], NDArray[np.int32]] = detector.match
            return matched
        file = self.path / SecondOpinion.file
        opinion = SecondOpinion.load(file, len(self.catalogue.classes))
        finder = ContextFinder(self.contexts, self.training_counts().sum(axis=1))

        def met(features: NDArray[np.float32]) -> NDArray[np.int32]:
            return finder.find(detector.match(features), opinion.views(features))

        return met

    def training_counts(self) -> NDArray[np.int64]:
        """Training flows as they are met in training, int64 [contexts, classes]."""
        return self.flow_set("train", matching="cross-fitted").counts()

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
                detector errs on flows it has not seen; without draws it is ``fitted``. With a
                second opinion it holds every training flow as it is met honestly alone, since
                that is how flows of tomorrow will be met.

        Raises:
            InputError: there is no such split.
        """
        if name not in SPLITS:
            raise InputError(f"no split called {name!r}", expected=" or ".join(SPLITS))
        context, actual = self.train if name == "train" else self.test
        draws = len(self.cross_fitted)
        if name == "train" and matching == "cross-fitted" and draws:
            fitted = [] if self.has_opinion else [context] * draws
            context = np.concatenate([*self.cross_fitted, *fitted])
            actual = np.tile(actual, draws + len(fitted))
        return FlowSet(context, actual, self.contexts, self.catalogue)

    def copy_to(self, folder: Path) -> None:
        """Puts the same scenario into another folder, by hard links where they can be made."""
        with replacing(folder) as temporary:
            temporary.mkdir()
            for name in (scenario_files.MANIFEST, *scenario_files.files_of(self.manifest)):
                link_or_copy((self.path / name).resolve(), temporary / name)
