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
from sklearn.model_selection import train_test_split

from envs.bandit import FlowSet
from envs.catalogue import PAPER, Catalogue
from envs.detector import Detector, detection_report, report_to_json
from envs.errors import InputError
from envs.files import link_or_copy, replacing, sha256, write_json
from envs.flows import Flows
from envs.signatures import SignatureTable

FORMAT = 2
TEST_SHARE = 0.3
"""Share of flows held out for testing (paper, section IV-A: 70/30)."""

FOLDS = 3
"""Folds of cross-fitting (:mod:`envs.honesty`), chosen within the training part of real flows."""

DRAWS = 4
"""Deals into folds; each gives the training flows one more set of honest matches."""

MOST_FOLDS = 100

SPLITS = ("train", "test")
MANIFEST = "manifest.json"
_CROSS_FITTED = "cross_fitted_"
_FILES = ("signatures.parquet", "train.parquet", "test.parquet", "detector.skops")


Matching = Literal["fitted", "cross-fitted"]

Stage = Callable[[str], AbstractContextManager[None]]


def _silently(title: str) -> AbstractContextManager[None]:
    return nullcontext()


def split(
    actual: NDArray[np.int8], *, seed: int, test_share: float = TEST_SHARE
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A seeded stratified split; with Table I's counts it gives Table V's supports.

    Args:
        actual: int8 [n], class indices.
        seed: of the shuffle.
        test_share: share of the test part.

    Returns:
        Row numbers of the training and of the test part, each shuffled.
    """
    train, test = train_test_split(
        np.arange(len(actual)), test_size=test_share, stratify=actual, random_state=seed
    )
    return train, test


def _parted(
    rows: NDArray[np.int64], actual: NDArray[np.int8], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Training rows parted into those the detector is fitted on, and those the agent meets."""
    try:
        fit, meet = train_test_split(
            rows, test_size=share, stratify=actual[rows], random_state=seed
        )
    except ValueError as error:
        raise InputError(
            f"a class has too few training flows to set a share of {share:g} apart",
            expected="at least two training flows of every class on either side",
            mend="Choose another --honest, --cross-fit, or give more flows",
        ) from error
    return fit, meet


def _check_honesty(honest: float | None, cross_fit: int) -> None:
    if honest is not None and not 0 < honest < 1:
        raise InputError(f"--honest is {honest:g}", expected="a share between 0 and 1")
    if cross_fit != 0 and not 2 <= cross_fit <= MOST_FOLDS:
        raise InputError(f"--cross-fit is {cross_fit}", expected=f"2 to {MOST_FOLDS} folds, or 0")


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
            stage: entered around each part of the work with its name.

        Raises:
            InputError: only one class, a class with too few flows to be split, ``out``
                holds anything but a scenario, or impossible ``honest`` and ``cross_fit``.
        """
        _check_honesty(honest, cross_fit)
        check_replaceable(out)
        _check_classes(flows, catalogue)
        train_rows, test_rows = split(flows.actual, seed=seed)
        fit_rows = train_rows
        if honest is not None:
            fit_rows, train_rows = _parted(train_rows, flows.actual, honest, seed)
        fit_features = flows.features[fit_rows]
        with stage(f"Fitting a decision tree to {len(fit_rows):,} flows"):
            detector = Detector.fit(fit_features, flows.actual[fit_rows], seed=seed)
        with stage("Matching flows to signatures"):
            fitted = detector.match(fit_features)
            matched = fitted if honest is None else detector.match(flows.features[train_rows])
            draws = DRAWS if cross_fit and honest is None else 0
            honestly = [
                detector.match_cross_fitted(fit_features, folds=cross_fit, seed=seed * DRAWS + draw)
                for draw in range(draws)
            ]
            cross_fitted = np.array(honestly, np.int32).reshape(draws, len(matched))
            train = (matched, flows.actual[train_rows])
            del fit_features
            test = (detector.match(flows.features[test_rows]), flows.actual[test_rows])
        signatures = detector.signatures(np.bincount(fitted))
        classes = np.bincount(flows.actual, minlength=len(catalogue.classes))
        about: dict[str, Any] = {
            "source": asdict(flows.provenance),
            "classes": dict(zip(catalogue.class_names, classes.tolist(), strict=True)),
            "split": {
                "seed": seed,
                "test_share": TEST_SHARE,
                "honest": honest,
                "cross_fit": cross_fit if draws else 0,
            },
        }
        with stage("Writing the scenario"):
            return cls.write(
                out,
                about,
                detector,
                signatures,
                train=train,
                test=test,
                cross_fitted=cross_fitted,
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
        """
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
            manifest["sha256"] = {name: sha256(folder / name) for name in _FILES}
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
        for name in _FILES:
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
        return FlowSet(signature, actual, self.signatures.predicted, self.catalogue)

    def copy_to(self, folder: Path) -> None:
        """Puts the same scenario into another folder, by hard links where they can be made."""
        with replacing(folder) as temporary:
            temporary.mkdir()
            for name in (MANIFEST, *_FILES):
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
    if not out.is_dir() or {entry.name for entry in out.iterdir()} - {MANIFEST, *_FILES}:
        raise InputError(
            "exists and holds more than a scenario", where=str(out), mend="Choose another --out"
        )
    _read_manifest(out)


def _check_classes(flows: Flows, catalogue: Catalogue) -> None:
    counts = np.bincount(flows.actual, minlength=len(catalogue.classes))
    present = np.flatnonzero(counts)
    if len(present) < 2:
        found = catalogue.class_names[int(present[0])] if len(present) else "none"
        raise InputError(
            f"all flows are of one class ({found})",
            expected="flows of at least two classes, so that there is something to detect",
            mend="Give the files that hold the attacks, too",
        )
    for index in present:
        if counts[index] < 2:
            raise InputError(
                f"class {catalogue.class_names[int(index)]} has only one flow",
                expected="at least 2 flows of every class that occurs, to be split",
                mend="Add flows of that class or leave it out",
            )
    if len(flows) * TEST_SHARE < len(present) + 1:
        raise InputError(
            f"only {len(flows)} flows of {len(present)} classes",
            expected=f"enough for a test part of {TEST_SHARE:.0%} that holds every class",
            mend="Give more flows",
        )


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
