"""Which kind of data set files are of: told by their columns, and by their labels between twins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from envs.datasets.kind import DataSet
from envs.datasets.labels import is_missing
from envs.datasets.tables.files import find_files, looks_like_a_table
from envs.datasets.tables.sample import Sample, sample
from envs.errors import InputError, quoted
from envs.files import shown_path
from envs.spelling import label_key

_SHOWN = 8
_ALIKE = 3
"""Features of a kind that a file has before it is likened to it; two tables share a port."""


@dataclass(frozen=True)
class Fitting:
    """A file, and the kinds that it may be of.

    Attributes:
        sample: the file's beginning.
        kinds: by name, each with how many columns tell that the file is of it.
    """

    sample: Sample
    kinds: Mapping[str, int]


def recognise(paths: Sequence[Path], kinds: Sequence[DataSet]) -> DataSet:
    """The kind that all files are of; files of a folder that are of no kind are passed over.

    Raises:
        InputError: there is none, there are several, or the files are of several kinds.
    """
    by_name = {kind.name: kind for kind in kinds}
    fitting = [one for one in _read(paths, kinds, refuse=True) if one.kinds]
    shared = set(by_name).intersection(*(one.kinds for one in fitting))
    found = _narrowed(fitting, [by_name[name] for name in by_name if name in shared])
    if not found:
        told: dict[str, str] = {}
        for one in fitting:
            best = " or ".join(kind.name for kind in _narrowed([one], _of(one, by_name)))
            told.setdefault(best, f"{shown_path(one.sample.path)} is {best}")
        raise InputError(
            "the files are of several kinds: " + ", ".join(told.values()),
            expected="files of one kind: what one program measured means something else in another",
            mend="Prepare a scenario of each kind",
        )
    if len(found) > 1:
        names = [kind.name for kind in found]
        raise InputError(
            f"the file can be read as {' or '.join(names)}",
            where=shown_path(fitting[0].sample.path),
            mend=f"Say which with --dataset {' or --dataset '.join(names)}",
        )
    return found[0]


def check_kind(paths: Sequence[Path], name: str, kinds: Sequence[DataSet]) -> None:
    """Checks that files are not of another kind than the one that they are to be read as.

    Files of a folder are let pass if one of them may be of the kind: the others are not read.

    Raises:
        InputError: they are of another kind.
    """
    by_name = {kind.name: kind for kind in kinds}
    named = {path for path, given in find_files(paths) if given}
    fitting = [one for one in _read(paths, kinds, refuse=False) if one.kinds]
    if any(_may_be(one, name, by_name) for one in fitting):
        fitting = [one for one in fitting if one.sample.path in named]
    for one in fitting:
        if not _may_be(one, name, by_name):
            best = _narrowed([one], _of(one, by_name))
            raise InputError(
                f"the file is of the kind {' or '.join(kind.name for kind in best)}, not {name}",
                where=shown_path(one.sample.path),
                expected=f"flows of {name}: what one program measured means something else in "
                "another",
                mend="Prepare a scenario of its own from these files: kirl prepare --data "
                f"{shown_path(one.sample.path)} --dataset {best[0].name} --out scenario",
            )


def _of(one: Fitting, kinds: Mapping[str, DataSet]) -> list[DataSet]:
    return [kinds[name] for name in one.kinds]


def _may_be(one: Fitting, name: str, kinds: Mapping[str, DataSet]) -> bool:
    if name not in one.kinds:
        return False
    shares = {other: _known_share([one.sample], kinds[other]) for other in one.kinds}
    return shares[name] == max(shares.values())


def _read(paths: Sequence[Path], kinds: Sequence[DataSet], *, refuse: bool) -> Iterator[Fitting]:
    """The beginnings of the files that are tables.

    Raises:
        InputError: a file that was named, or one that is called as tables are, cannot be read; if
            ``refuse``, also one that is of no kind, or where there is none of any kind.
    """
    strange: list[Sample] = []
    some = False
    for path, named in find_files(paths):
        try:
            one = sample(path)
        except InputError:
            if named or looks_like_a_table(path):
                raise
            continue
        told = {kind.name: kind.fits(one) for kind in kinds}
        fitting = Fitting(one, {name: int(columns) for name, columns in told.items() if columns})
        if not fitting.kinds:
            if named and refuse:
                raise _of_no_kind(one, kinds)
            strange.append(one)
        some = some or bool(fitting.kinds)
        yield fitting
    if refuse and not some:
        if strange:
            raise _of_no_kind(strange[0], kinds)
        raise InputError(
            "there is no table to read",
            where=", ".join(shown_path(path) for path in paths[:3]),
            expected="CSV, Parquet, Zeek logs or JSON records",
            mend="Check the path",
        )


def _narrowed(fitting: Sequence[Fitting], kinds: Sequence[DataSet]) -> list[DataSet]:
    """The likeliest among the kinds that files may be of; several if they are equally likely.

    A kind that is published with the files' labels comes first. Then comes the one that knows
    most of their columns. Then a program's output goes before a data set that was made with the
    program: nothing says that the files are of that data set.
    """
    samples = [one.sample for one in fitting]

    def ranked(kind: DataSet) -> tuple[float, int, bool]:
        columns = min(one.kinds[kind.name] for one in fitting)
        return _known_share(samples, kind), columns, not kind.labels

    ranks = {kind.name: ranked(kind) for kind in kinds}
    return [kind for kind in kinds if ranks[kind.name] == max(ranks.values())]


def _known_share(samples: Sequence[Sample], kind: DataSet) -> float:
    """Share of the files' labels that a kind is published with."""
    known = {label_key(label) for label in kind.labels}
    labels = {
        label_key(cell)
        for one in samples
        for cell in (one.column(kind.label) if kind.label else None) or ()
        if not is_missing(cell)
    }
    return sum(1 for label in labels if label in known) / max(1, len(labels))


def _of_no_kind(one: Sample, kinds: Sequence[DataSet]) -> InputError:
    shown = ", ".join(quoted(name, 60) for name in one.names[:_SHOWN]) or "no header"
    more = len(one.names) - _SHOWN
    there = {kind.name: kind.known(one) for kind in kinds}
    near = sorted((k for k in kinds if there[k.name][0] >= _ALIKE), key=lambda k: -there[k.name][0])
    most = there[near[0].name][0] if near else 0
    nearest = ", ".join(kind.name for kind in near if there[kind.name][0] == most)
    where = shown_path(one.path)
    draft = f"kirl schema {where} drafts a description of the table, which kirl prepare takes "
    return InputError(
        f"the columns are those of no known kind of data set: {shown}"
        + (f" and {more} more" if more > 0 else ""),
        where=where,
        expected="a known kind; kirl datasets lists them"
        + (f". {most} features of {nearest} are there" if near else ""),
        mend=("If it is of such a kind, say which with --dataset NAME. Else " if near else "")
        + f"{draft}with --schema",
        below="\n".join(_wants(kind, there[kind.name]) for kind in near[:_SHOWN]) or None,
    )


def _wants(kind: DataSet, there: tuple[int, list[str]]) -> str:
    """What a kind wants beside what a file has, on one line."""
    found, missing = there
    return f"{kind.name}: {found} of {len(kind.schema)} features are there; not: " + (
        ", ".join(missing) or "none"
    )
