"""How a scenario lies on disk.

=================== ==========================================================
``manifest.json``   provenance, counts, split, catalogue, features, versions, fingerprint
``signatures.parquet`` id, predicted class, rule, training support
``train.parquet``   signature (int32), actual (int8) of each training flow, and the
                    signatures it matches honestly, ``cross_fitted_0`` and so on
``test.parquet``    signature and actual of the test flows
``contexts.parquet`` with a second opinion alone: signature, opinion's class and confidence of
                    each context; splits then have ``context`` in the place of ``signature``
``opinion.safetensors`` with a second opinion alone: its trees, as arrays
``detector.safetensors`` the fitted decision tree, as arrays; or, of a scenario made from the
                    alerts of an IDS, ``rules.json``, the ids and messages of its rules
=================== ==========================================================

Files never change after they are written; the manifest holds their hashes and one of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from envs.catalogue import Catalogue
from envs.detector import Detector, RuleDetector, SecondOpinion, TreeDetector
from envs.detector.opinion import CONFIDENCES
from envs.errors import InputError
from envs.files import replacing, sha256, write_json
from envs.flows import KIND, FeatureSchema
from envs.signatures import SignatureTable
from envs.state import Contexts

FORMAT = 3

MANIFEST = "manifest.json"
TABLES = ("signatures.parquet", "train.parquet", "test.parquet")
CONTEXTS = "contexts.parquet"
OPINION = (CONTEXTS, SecondOpinion.file)
"""What scenarios with a second opinion have besides."""

DETECTORS = {one.kind: one for one in (TreeDetector, RuleDetector)}
FILES = (*TABLES, *OPINION, *(one.file for one in DETECTORS.values()))
"""All files that scenarios have beside the manifest; each has one detector."""

REPLACEABLE = {MANIFEST, *FILES, "detector.skops"}
"""Files of scenarios of this format and of those before it."""

_CONTEXT_COLUMNS = ("signature", "opinion", "confidence")
_CROSS_FITTED = "cross_fitted_"

Split = tuple[NDArray[np.int32], NDArray[np.int8]]
"""Signature, or context where there are contexts, int32 [flows], and true class int8 [flows]."""


@dataclass(frozen=True)
class Tables:
    """A scenario's tables.

    Attributes:
        signatures: the signature database.
        train: signature and true class of the training flows.
        test: the same of the test flows.
        cross_fitted: int32 [draws, training flows], the signatures that they match honestly.
        contexts: with a second opinion, what ``train``, ``test`` and ``cross_fitted`` hold in the
            place of signatures; ``None`` without.
    """

    signatures: SignatureTable
    train: Split
    test: Split
    cross_fitted: NDArray[np.int32]
    contexts: Contexts | None = None

    def fingerprint(
        self, catalogue: Catalogue, detector: Detector[Any], opinion: SecondOpinion | None = None
    ) -> str:
        """SHA-256 of all that decides what can be learnt: equal content has an equal one."""
        digest = hashlib.sha256(json.dumps(catalogue.deciding(), sort_keys=True).encode())
        digest.update(detector.digest().encode())
        signatures = self.signatures
        for array in (signatures.predicted, signatures.support, *self.train, *self.test):
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(np.ascontiguousarray(self.cross_fitted).tobytes())
        if opinion is not None and self.contexts is not None:
            digest.update(opinion.digest().encode())
            for column in _CONTEXT_COLUMNS:
                digest.update(np.ascontiguousarray(getattr(self.contexts, column)).tobytes())
        return digest.hexdigest()

    def check_ranges(self, classes: int) -> None:
        """Raises ValueError for an id that leads nowhere."""
        columns: list[tuple[NDArray[Any], int]] = [(self.signatures.predicted, classes)]
        met = len(self.signatures)
        if self.contexts is not None and self.contexts.opinion is not None:
            columns += [(self.contexts.signature, met), (self.contexts.opinion, classes)]
            met = len(self.contexts)
        for context, actual in (self.train, self.test):
            columns += [(context, met), (actual, classes)]
        columns += [(draw, met) for draw in self.cross_fitted]
        for column, size in columns:
            if not len(column) or column.min() < 0 or column.max() >= size:
                raise ValueError("an id is out of range")


def detector_kind(manifest: dict[str, Any]) -> type[TreeDetector | RuleDetector]:
    """What made a scenario's detections: a decision tree, unless the manifest says otherwise."""
    return DETECTORS[manifest.get("detector", TreeDetector.kind)]


def files_of(manifest: dict[str, Any]) -> tuple[str, ...]:
    """The files of a scenario beside its manifest."""
    opinion = OPINION if manifest.get("opinion") else ()
    return (*TABLES, *opinion, detector_kind(manifest).file)


def write(
    out: Path,
    manifest: dict[str, Any],
    detector: Detector[Any],
    tables: Tables,
    opinion: SecondOpinion | None = None,
) -> None:
    """Writes a scenario's folder in the place of what stood there.

    Args:
        out: the folder.
        manifest: gets the versions of the software and the hashes.
        detector: to be saved.
        tables: to be saved.
        opinion: to be saved, if there is one; the manifest then says so.

    Raises:
        InputError: ``out`` holds anything but a scenario, or cannot be written to.
    """
    check_replaceable(out)
    with replacing(out) as folder:
        folder.mkdir()
        detector.save(folder / detector.file)
        _write_signatures(folder / "signatures.parquet", tables.signatures)
        met = "signature"
        if opinion is not None and tables.contexts is not None:
            opinion.save(folder / opinion.file)
            _write_contexts(folder / CONTEXTS, tables.contexts)
            met = "context"
        _write_split(folder / "train.parquet", met, tables.train, tables.cross_fitted)
        _write_split(folder / "test.parquet", met, tables.test)
        manifest["sha256"] = {name: sha256(folder / name) for name in files_of(manifest)}
        manifest["manifest_sha256"] = _manifest_sha256(manifest)
        write_json(folder / MANIFEST, manifest)


def read(path: Path) -> tuple[dict[str, Any], Tables]:
    """Reads manifest and tables, and checks that no file has changed since it was written.

    Raises:
        InputError: not a scenario, of another format, incomplete, or changed.
    """
    manifest = read_manifest(path)
    for name in files_of(manifest):
        if not (path / name).is_file():
            raise InputError(f"{name} is missing", where=str(path), mend="Run kirl prepare again")
        if sha256(path / name) != manifest["sha256"].get(name):
            raise _changed(path / name, "the file as kirl prepare wrote it")
    met = "context" if manifest.get("opinion") else "signature"
    try:
        signatures = _read_signatures(path / "signatures.parquet")
        tables = Tables(
            signatures,
            _read_split(path / "train.parquet", met),
            _read_split(path / "test.parquet", met),
            _read_cross_fitted(path / "train.parquet", met),
            _read_contexts(path / CONTEXTS, signatures) if manifest.get("opinion") else None,
        )
        tables.check_ranges(len(manifest["catalogue"]["classes"]))
    except (pa.ArrowException, KeyError, ValueError, TypeError, OverflowError) as error:
        raise InputError(
            f"holds tables that are no scenario's ({type(error).__name__})",
            where=str(path),
            mend="Run kirl prepare again",
        ) from error
    return manifest, tables


def check_replaceable(out: Path) -> None:
    """Raises :class:`InputError` where writing a scenario to ``out`` would destroy other things."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir() or {entry.name for entry in out.iterdir()} - REPLACEABLE:
        raise InputError(
            "exists and holds more than a scenario", where=str(out), mend="Choose another --out"
        )
    if not _of_earlier_format(out / MANIFEST):
        read_manifest(out)


def _of_earlier_format(file: Path) -> bool:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return json.loads(file.read_text(encoding="utf-8"))["format"] in range(1, FORMAT)
    return False


def versions() -> dict[str, str]:
    """Versions of the software that a scenario depends on."""
    names = ("kirl", "numpy", "scikit-learn", "pyarrow", "gymnasium")
    return {"python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in names
    }


def read_manifest(path: Path) -> dict[str, Any]:
    """A scenario's manifest.

    Raises:
        InputError: there is none, it cannot be read, is of another format, or has changed.
    """
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
            if not re.fullmatch(KIND, manifest["source"]["kind"]):
                raise ValueError("the flows are of no kind with a name")
            if "features" in manifest:
                FeatureSchema.from_json(manifest["features"])
            detector_kind(manifest)
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
        raise _changed(file, "the manifest as kirl prepare wrote it")
    return manifest


def _changed(path: Path, expected: str) -> InputError:
    return InputError(
        "has changed since the scenario was written",
        where=str(path),
        expected=expected,
        mend="Run kirl prepare again",
    )


def _manifest_sha256(manifest: dict[str, Any]) -> str:
    rest = {key: value for key, value in manifest.items() if key != "manifest_sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


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


def _write_contexts(path: Path, contexts: Contexts) -> None:
    columns = {name: pa.array(getattr(contexts, name)) for name in _CONTEXT_COLUMNS}
    pq.write_table(pa.table(columns), path)


def _read_contexts(path: Path, signatures: SignatureTable) -> Contexts:
    table = pq.read_table(path)
    signature, opinion, confidence = (table[name].to_numpy() for name in _CONTEXT_COLUMNS)
    if not np.isin(confidence, np.array(CONFIDENCES, np.float32)).all():
        raise ValueError("a confidence is that of no bucket")
    found = np.stack([signature, opinion, confidence], axis=1)
    if np.any(np.diff(np.unique(found, axis=0, return_inverse=True)[1].reshape(-1)) != 1):
        raise ValueError("contexts are not in order, or twice there")
    return Contexts(
        signature.astype(np.int32),
        signatures.predicted,
        opinion.astype(np.int8),
        confidence.astype(np.float32),
    )


def _write_split(
    path: Path,
    met: str,
    flows: Split,
    cross_fitted: Iterable[NDArray[np.int32]] = (),
) -> None:
    columns = {met: pa.array(flows[0]), "actual": pa.array(flows[1])}
    for number, draw in enumerate(cross_fitted):
        columns[f"{_CROSS_FITTED}{number}"] = pa.array(draw)
    pq.write_table(pa.table(columns), path, compression="zstd")


def _read_cross_fitted(path: Path, met: str) -> NDArray[np.int32]:
    """Signatures or contexts by draw, int32 [draws, flows]."""
    schema = pq.read_schema(path)
    names = [name for name in schema.names if name.startswith(_CROSS_FITTED)]
    table = pq.read_table(path, columns=[met, *names])
    draws = [table[f"{_CROSS_FITTED}{number}"].to_numpy() for number in range(len(names))]
    return np.array(draws, np.int32).reshape(len(names), len(table))


def _read_split(path: Path, met: str) -> Split:
    table = pq.read_table(path, columns=[met, "actual"])
    return (
        table[met].to_numpy().astype(np.int32),
        table["actual"].to_numpy().astype(np.int8),
    )
