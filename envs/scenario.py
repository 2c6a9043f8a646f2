"""The scenario: flows reduced to what learning needs, written once and read by everything.

A scenario is a folder:

=================== ==========================================================
``manifest.json``   provenance, counts, split, catalogue, versions, fingerprint
``signatures.parquet`` id, predicted class, rule, training support
``train.parquet``   signature (int32), actual (int8) of each training flow, and the
                    signatures it matches honestly, ``cross_fitted_0`` and so on
``test.parquet``    signature and actual of the test flows
``detector.skops``  the fitted decision tree
=================== ==========================================================

Files never change after they are written; the manifest holds their hashes. The fingerprint
names the content (catalogue, splits, signatures, detector): the same flows and seed give
the same one, and artifacts that name another do not belong to the scenario.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from envs.catalogue import PAPER, Catalogue
from envs.detector import Detector, detection_report, report_to_json
from envs.division import FOLDS, TEST_SHARE, Division, Wishes, divide
from envs.errors import InputError
from envs.files import link_or_copy, replacing, sha256, write_json
from envs.flows import Flows, Provenance
from envs.signatures import SignatureTable
from envs.state import Contexts, FlowSet

FORMAT = 2

DRAWS = 4
"""Deals into folds; each gives the training flows one more set of honest matches."""

SPLITS = ("train", "test")
MANIFEST = "manifest.json"
_CROSS_FITTED = "cross_fitted_"
FILES = ("signatures.parquet", "train.parquet", "test.parquet", "detector.skops")


Matching = Literal["fitted", "cross-fitted"]

Stage = Callable[[str], AbstractContextManager[None]]


def _silently(title: str) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True)
class Findings:
    """What a scenario is written from, once all flows are matched.

    Attributes:
        provenance: where the flows came from.
        actual: int8 [flows], class of each.
        division: which of them train and which test.
        detector: fitted.
        signature: int32 [flows], the signature that each flow matches.
        cross_fitted: int32 [draws, flows fitted on], those that the flows which the detector
            was fitted on match honestly.
    """

    provenance: Provenance
    actual: NDArray[np.int8]
    division: Division
    detector: Detector
    signature: NDArray[np.int32]
    cross_fitted: NDArray[np.int32]

    def split(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
        """Signatures and classes of some flows."""
        return self.signature[rows], self.actual[rows]

    def signatures(self) -> SignatureTable:
        """The signature database; its support counts all flows that might be fitted on."""
        matched = np.bincount(self.signature[self.division.fit_from])
        return self.detector.signatures(matched)

    def met_honestly(self) -> NDArray[np.int32]:
        """Signatures that the training flows match honestly, int32 [draws, training flows].

        A flow that the detector was not fitted on is a stranger to it already.
        """
        met = np.tile(self.signature[self.division.train], (len(self.cross_fitted), 1))
        if len(met):
            met[:, self.division.chosen] = self.cross_fitted
        return met


def match_honestly(
    detector: Detector, features: NDArray[np.float32], wishes: Wishes
) -> NDArray[np.int32]:
    """Signatures that the flows a detector was fitted on match honestly, int32 [draws, n]."""
    draws = DRAWS if wishes.folds else 0
    matched = np.empty((draws, len(features)), np.int32)
    for draw in range(draws):
        matched[draw] = detector.match_cross_fitted(
            features, folds=wishes.folds, seed=wishes.seed * DRAWS + draw
        )
    return matched


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
        catalogue: Catalogue = PAPER,
        honest: float | None = None,
        cross_fit: int = FOLDS,
        sample: int | None = None,
        stage: Stage = _silently,
    ) -> Scenario:
        """Splits flows, fits the detector on the training part and writes the scenario.

        Args:
            flows: labelled flows.
            out: the folder to write; what stood there is replaced once all is written.
            seed: of split and tree.
            catalogue: the classes that ``flows.actual`` refers to.
            honest: share of the training flows that the detector is not fitted on; the agent
                meets these alone (:mod:`envs.honesty`).
            cross_fit: number of folds by which the agent can meet all training flows
                honestly, 0 for none; of no use, and left out, with ``honest``.
            sample: most flows to fit the detector on, drawn by class; ``None`` for all.
            stage: entered around each part of the work with its name.

        Raises:
            InputError: only one class, a class with too few flows to be split, ``out``
                holds anything but a scenario, or impossible ``honest``, ``cross_fit`` or
                ``sample``.
        """
        wishes = Wishes(seed, honest, cross_fit, sample)
        wishes.check()
        check_replaceable(out)
        division = divide(flows.actual, wishes, catalogue)
        fit_features = flows.features[division.fit]
        with stage(f"Fitting a decision tree to {len(division.fit):,} flows"):
            detector = Detector.fit(fit_features, flows.actual[division.fit], seed=seed)
        with stage("Matching flows to signatures"):
            cross_fitted = match_honestly(detector, fit_features, wishes)
            del fit_features
            signature = detector.match(flows.features)
        findings = Findings(
            flows.provenance, flows.actual, division, detector, signature, cross_fitted
        )
        with stage("Writing the scenario"):
            return cls.of_findings(out, findings, wishes, catalogue)

    @classmethod
    def of_findings(
        cls, out: Path, findings: Findings, wishes: Wishes, catalogue: Catalogue = PAPER
    ) -> Scenario:
        """Writes what was found out as a scenario.

        Args:
            out: the folder to write; what stood there is replaced once all is written.
            findings: flows matched to signatures.
            wishes: what they were divided by.
            catalogue: the classes that ``findings.actual`` refers to.

        Raises:
            InputError: ``out`` holds anything but a scenario, or cannot be written to.
        """
        division = findings.division
        classes = np.bincount(findings.actual, minlength=len(catalogue.classes))
        fitted_on = {"fitted_on": len(division.fit)} if division.sampled else {}
        about: dict[str, Any] = {
            "source": asdict(findings.provenance),
            "classes": dict(zip(catalogue.class_names, classes.tolist(), strict=True)),
            "split": {
                "seed": wishes.seed,
                "test_share": TEST_SHARE,
                "honest": wishes.honest,
                "cross_fit": wishes.folds,
            }
            | fitted_on,
        }
        return cls.write(
            out,
            about,
            findings.detector,
            findings.signatures(),
            train=findings.split(division.train),
            test=findings.split(division.test),
            cross_fitted=findings.met_honestly(),
            catalogue=catalogue,
        )

    @classmethod
    def write(
        cls,
        out: Path,
        about: dict[str, Any],
        detector: Detector,
        signatures: SignatureTable,
        *,
        train: tuple[NDArray[np.int32], NDArray[np.int8]],
        test: tuple[NDArray[np.int32], NDArray[np.int8]],
        cross_fitted: NDArray[np.int32],
        catalogue: Catalogue,
    ) -> Scenario:
        """Writes a scenario whose parts are at hand.

        Args:
            out: the folder; what stood there is replaced once all is written.
            about: ``source``, ``classes`` and ``split`` of the manifest.
            detector: that matches flows to the signatures.
            signatures: the signature table.
            train: signature int32 and true class int8 of each flow.
            test: the same of the test flows.
            cross_fitted: int32 [draws, training flows].
            catalogue: classes and actions.

        Raises:
            InputError: ``out`` holds anything but a scenario, or cannot be written to.
        """
        check_replaceable(out)
        report = detection_report(signatures.predicted[test[0]], test[1], catalogue)
        manifest: dict[str, Any] = {
            "format": FORMAT,
            **about,
            "flows": {"train": len(train[1]), "test": len(test[1])},
            "signatures": len(signatures),
            "detection": report_to_json(report),
            "catalogue": catalogue.to_json(),
            "versions": _versions(),
        }
        with replacing(out) as folder:
            folder.mkdir()
            detector.save(folder / "detector.skops")
            _write_signatures(folder / "signatures.parquet", signatures)
            _write_split(folder / "train.parquet", train, cross_fitted)
            _write_split(folder / "test.parquet", test)
            manifest["fingerprint"] = _fingerprint(
                catalogue, detector, signatures, train, test, cross_fitted
            )
            manifest["sha256"] = {name: sha256(folder / name) for name in FILES}
            manifest["manifest_sha256"] = _manifest_sha256(manifest)
            write_json(folder / MANIFEST, manifest)
        return cls(out, manifest, signatures, train, test, cross_fitted)

    @classmethod
    def load(cls, path: Path) -> Scenario:
        """Reads a scenario and checks that nothing in it has changed since it was written.

        Raises:
            InputError: not a scenario, of another format, incomplete, or changed.
        """
        manifest = _read_manifest(path)
        for name in FILES:
            if not (path / name).is_file():
                raise InputError(
                    f"{name} is missing", where=str(path), mend="Run kirl prepare again"
                )
            if sha256(path / name) != manifest["sha256"].get(name):
                raise InputError(
                    "has changed since the scenario was written",
                    where=str(path / name),
                    expected="the file as kirl prepare wrote it",
                    mend="Run kirl prepare again",
                )
        try:
            signatures = _read_signatures(path / "signatures.parquet")
            train, test = (_read_split(path / f"{name}.parquet") for name in SPLITS)
            cross_fitted = _read_cross_fitted(path / "train.parquet")
            scenario = cls(path, manifest, signatures, train, test, cross_fitted)
            scenario._check_ranges()
        except (pa.ArrowException, KeyError, ValueError, TypeError, OverflowError) as error:
            raise InputError(
                f"holds tables that are no scenario's ({type(error).__name__})",
                where=str(path),
                mend="Run kirl prepare again",
            ) from error
        return scenario

    def _check_ranges(self) -> None:
        classes = len(self.catalogue.classes)
        columns: list[tuple[NDArray[Any], int]] = [(self.signatures.predicted, classes)]
        for signature, actual in (self.train, self.test):
            columns += [(signature, len(self.signatures)), (actual, classes)]
        columns += [(draw, len(self.signatures)) for draw in self.cross_fitted]
        for column, size in columns:
            if not len(column) or column.min() < 0 or column.max() >= size:
                raise ValueError("an id is out of range")
        str(self.manifest["source"]["kind"])

    @property
    def fingerprint(self) -> str:
        """Names this scenario's content."""
        return str(self.manifest["fingerprint"])

    @property
    def kind(self) -> str:
        """``"cicids2017"`` or ``"synthetic"``."""
        return str(self.manifest["source"]["kind"])

    @cached_property
    def catalogue(self) -> Catalogue:
        """The catalogue that the scenario was prepared with."""
        return Catalogue.from_json(self.manifest["catalogue"])

    @cached_property
    def contexts(self) -> Contexts:
        """What flows are met in: one context per signature, since there is no second opinion."""
        return Contexts.of_signatures(self.signatures.predicted)

    def detector(self) -> Detector:
        """The fitted detector, read from its file."""
        return Detector.load(self.path / "detector.skops")

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
            for name in (MANIFEST, *FILES):
                link_or_copy((self.path / name).resolve(), temporary / name)


def _fingerprint(
    catalogue: Catalogue,
    detector: Detector,
    signatures: SignatureTable,
    train: tuple[NDArray[np.int32], NDArray[np.int8]],
    test: tuple[NDArray[np.int32], NDArray[np.int8]],
    cross_fitted: NDArray[np.int32],
) -> str:
    digest = hashlib.sha256(json.dumps(catalogue.to_json(), sort_keys=True).encode())
    digest.update(detector.digest().encode())
    for array in (signatures.predicted, signatures.support, *train, *test, cross_fitted):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _manifest_sha256(manifest: dict[str, Any]) -> str:
    rest = {key: value for key, value in manifest.items() if key != "manifest_sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def check_replaceable(out: Path) -> None:
    """Raises :class:`InputError` where writing a scenario to ``out`` would destroy other things."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir() or {entry.name for entry in out.iterdir()} - {MANIFEST, *FILES}:
        raise InputError(
            "exists and holds more than a scenario", where=str(out), mend="Choose another --out"
        )
    _read_manifest(out)


def _versions() -> dict[str, str]:
    names = ("kirl", "numpy", "scikit-learn", "pyarrow", "gymnasium")
    return {"python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in names
    }


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / MANIFEST
    if not file.is_file():
        raise InputError(
            "not a scenario (it has no manifest.json)",
            where=str(path),
            expected="a folder written by kirl prepare",
            mend="Run kirl prepare --out with this name first",
        )
    try:
        manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        form = manifest["format"]
        if form == FORMAT:
            Catalogue.from_json(manifest["catalogue"])
            dict(manifest["sha256"])
            unchanged = manifest["manifest_sha256"] == _manifest_sha256(manifest)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"not a readable manifest ({error})",
            where=str(file),
            mend="Run kirl prepare again",
        ) from error
    if form != FORMAT:
        raise InputError(
            f"scenario format {form!r}",
            where=str(file),
            expected=f"format {FORMAT}, which this version of kirl writes",
            mend="Run kirl prepare again",
        )
    if not unchanged:
        raise InputError(
            "has changed since the scenario was written",
            where=str(file),
            expected="the manifest as kirl prepare wrote it",
            mend="Run kirl prepare again",
        )
    return manifest


def _write_signatures(path: Path, signatures: SignatureTable) -> None:
    table = pa.table(
        {
            "id": pa.array(np.arange(len(signatures), dtype=np.int32)),
            "predicted": pa.array(signatures.predicted),
            "rule": pa.array(list(signatures.rule), type=pa.string()),
            "support": pa.array(signatures.support.astype(np.int64)),
        }
    )
    pq.write_table(table, path)


def _read_signatures(path: Path) -> SignatureTable:
    table = pq.read_table(path)
    return SignatureTable(
        table["predicted"].to_numpy().astype(np.int8),
        tuple(table["rule"].to_pylist()),
        table["support"].to_numpy().astype(np.int64),
    )


def _write_split(
    path: Path,
    flows: tuple[NDArray[np.int32], NDArray[np.int8]],
    cross_fitted: Iterable[NDArray[np.int32]] = (),
) -> None:
    columns = {"signature": pa.array(flows[0]), "actual": pa.array(flows[1])}
    for number, draw in enumerate(cross_fitted):
        columns[f"{_CROSS_FITTED}{number}"] = pa.array(draw)
    pq.write_table(pa.table(columns), path, compression="zstd")


def _read_cross_fitted(path: Path) -> NDArray[np.int32]:
    """Signatures by draw, int32 [draws, flows]."""
    schema = pq.read_schema(path)
    names = [name for name in schema.names if name.startswith(_CROSS_FITTED)]
    table = pq.read_table(path, columns=["signature", *names])
    draws = [table[f"{_CROSS_FITTED}{number}"].to_numpy() for number in range(len(names))]
    return np.array(draws, np.int32).reshape(len(names), len(table))


def _read_split(path: Path) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    table = pq.read_table(path, columns=["signature", "actual"])
    return (
        table["signature"].to_numpy().astype(np.int32),
        table["actual"].to_numpy().astype(np.int8),
    )
