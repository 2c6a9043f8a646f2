"""Which kind of data set files are of, told by their columns, and by their labels between twins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from envs.datasets.kind import DataSet
from envs.datasets.labels import is_missing
from envs.datasets.tables.files import find_files, looks_like_a_table
from envs.datasets.tables.rows import shown_path
from envs.datasets.tables.sample import Sample, sample
from envs.errors import InputError, quoted
from envs.spelling import label_key

_SHOWN = 8


def recognise(paths: Sequence[Path], kinds: Sequence[DataSet]) -> DataSet:
    """The kind that all files are of; files of a folder that are of no kind are passed over.

    Raises:
        InputError: there is none, there are several, or the files are of several kinds.
    """
    found: dict[str, tuple[DataSet, Path]] = {}
    strange: list[Sample] = []
    for path, named in find_files(paths):
        try:
            one = sample(path)
        except InputError:
            if named or looks_like_a_table(path):
                raise
            continue
        fitting = _fitting(one, kinds)
        if len(fitting) > 1:
            raise InputError(
                f"the file can be read as {' or '.join(kind.name for kind in fitting)}",
                where=shown_path(path),
                mend="Say which with --dataset",
            )
        if fitting:
            found.setdefault(fitting[0].name, (fitting[0], path))
        elif named:
            raise _of_no_kind(one, kinds)
        else:
            strange.append(one)
    if len(found) > 1:
        raise InputError(
            "the files are of several kinds: "
            + ", ".join(f"{shown_path(path)} is {kind.name}" for kind, path in found.values()),
            expected="files of one kind: what one program measured means something else in another",
            mend="Prepare a scenario of each kind, or give one kind with --dataset",
        )
    if not found:
        if strange:
            raise _of_no_kind(strange[0], kinds)
        raise InputError(
            "there is no table to read",
            where=", ".join(shown_path(path) for path in paths[:3]),
            expected="CSV, Parquet, Zeek logs or JSON records",
            mend="Check the path",
        )
    return next(iter(found.values()))[0]


def _fitting(one: Sample, kinds: Sequence[DataSet]) -> list[DataSet]:
    """The kinds that a file may be of; labels decide between kinds of equal columns."""
    fitting = [kind for kind in kinds if kind.fits(one)]
    if len(fitting) < 2:
        return fitting
    shares = [_known_share(one, kind) for kind in fitting]
    return [kind for kind, share in zip(fitting, shares, strict=True) if share == max(shares)]


def _known_share(one: Sample, kind: DataSet) -> float:
    """Share of a file's labels that a kind is published with."""
    cells = one.column(kind.label) if kind.label else None
    known = {label_key(label) for label in kind.labels}
    labels = {label_key(cell) for cell in cells or () if not is_missing(cell)}
    return sum(1 for label in labels if label in known) / max(1, len(labels))


def _of_no_kind(one: Sample, kinds: Sequence[DataSet]) -> InputError:
    shown = ", ".join(quoted(name, 60) for name in one.names[:_SHOWN]) or "no header"
    more = len(one.names) - _SHOWN
    return InputError(
        f"the columns are those of no known kind of data set: {shown}"
        + (f" and {more} more" if more > 0 else ""),
        where=shown_path(one.path),
        expected="; ".join(f"{kind.name}: {_wants(kind)}" for kind in kinds),
        mend=f"Describe the table: kirl schema {shown_path(one.path)} writes a first draft, which "
        "kirl prepare takes with --schema. Or say which kind it is with --dataset",
    )


def _wants(kind: DataSet) -> str:
    names = [f"'{name}'" for name in kind.schema.names[:3]]
    return ", ".join(names) + (", ..." if len(kind.schema) > 3 else "")
