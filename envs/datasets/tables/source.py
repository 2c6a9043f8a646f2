"""Flows from tables: which files to read, how they are cut, and which of their rows are sound.

A kind of data set that is a table says what it looks like (:class:`TableFormat`) and takes the
rest from :func:`table_data_set`. Whatever form a file has, equal rows give equal flows; rows that
cannot be used are dropped and counted; anything else that is wrong is an error with its place.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from envs.datasets.duplicates import equal_files
from envs.datasets.kind import DataSet
from envs.datasets.label_files import check_labels
from envs.datasets.source import (
    EMPTY,
    NON_FINITE,
    FlowBatch,
    FlowSource,
    LabelJoin,
    Reading,
    Tally,
    check_any_left,
    in_order,
)
from envs.datasets.tables.cleaning import Cleaner
from envs.datasets.tables.files import (
    find_files,
    looks_like_a_table,
    names_of,
    refuse_twins,
    size_of,
)
from envs.datasets.tables.form import Field, TableFormat, column_key
from envs.datasets.tables.layout import Layout, absent, completed, has_label, locate, present
from envs.datasets.tables.opening import opened
from envs.datasets.tables.parquet_files import group_starts, read_held, read_parquet
from envs.datasets.tables.records import read_records
from envs.datasets.tables.rows import Block, Wanted, Words, word_in
from envs.datasets.tables.sample import Dialect, Sample, sample, sample_held
from envs.datasets.tables.text_files import read_text
from envs.errors import InputError, quoted
from envs.files import shown_path
from envs.flows import Column, FeatureSchema, Provenance

if TYPE_CHECKING:
    import pyarrow as pa

PART_BYTES = 64 * 2**20
"""Bytes of files that are read in one go; a published row of CICIDS2017 in CSV has about 500."""

_NO_LABEL = "it has no label column"

_REMARKS = 20
"""Files of a folder that are not read and are named."""

MOST_WORDS = 512
"""Words of one column that become numbers of their own: the most frequent ones."""


def table_data_set(
    form: TableFormat, *, citation: str, about: str, labels: Sequence[str]
) -> DataSet:
    """The entry of a kind of data set that is a table in files.

    Args:
        form: what the table looks like.
        citation: of the paper or page that describes it.
        about: one line about it.
        labels: that it is published with.
    """
    return DataSet(
        form.kind,
        about,
        citation,
        form.schema,
        form.label,
        tuple(labels),
        catalogue=form.catalogue,
        open=lambda paths, reading: TableSource(form, paths, reading),
        fits=lambda one: fits(form, one),
        known=lambda one: known(form, one),
    )


def fits(form: TableFormat, one: Sample) -> int:
    """How many columns tell that a file is of this kind, 0 if it is of another one."""
    one = one.headed(form)
    telling = form.telling or (tuple(f.name for f in form.fields),)
    told = max(
        (
            len(names)
            for names in telling
            if all(column_key(name) in one.positions for name in names)
        ),
        default=0,
    )
    return told if told and (form.agrees is None or form.agrees(one)) else 0


def known(form: TableFormat, one: Sample) -> tuple[int, list[str]]:
    """How many of a kind's features a file has, and the names of the others."""
    one = one.headed(form)
    missing = [f.name for f in form.fields if not any(key in one.positions for key in f.keys)]
    return len(form.fields) - len(missing), missing


class TableSource(FlowSource):
    """Flows in files. To be streamed, every machine must see the files.

    Args:
        form: of the table.
        paths: files and folders, searched in depth. Order of rows: that of ``paths``, within a
            folder that of the sorted file paths. A file reached twice is read once. Or a table
            that is held in memory.
        reading: how they are read.
        part_bytes: size of the parts that plain files are cut into.

    Raises:
        InputError: there is nothing to read, or what is there is of another kind.
    """

    def __init__(
        self,
        form: TableFormat,
        paths: Sequence[Path] | pa.Table,
        reading: Reading,
        part_bytes: int = PART_BYTES,
    ) -> None:
        self._form, self._reading = form, reading
        if reading.labelling is not None:
            self.catalogue = reading.labelling.catalogue
        samples, unused = _usable(form, paths, reading)
        self._files = [one.path for one in samples]
        if form.published is not None:
            refuse_twins(self._files, form.published)
        fields = present(form, samples)
        self.schema = reading.schema or _schema(form, fields, samples)
        self._absent = absent(form, fields) if reading.schema is None else []
        joined = _joined(form, samples, reading)
        on_disk = [one.path for one in samples if one.held is None]
        self.remarks = (*_shortened(unused), *self._remarks(on_disk), *joined)
        alone = replace(reading, join=None)
        self.parts = [
            TablePart(stretch, Path.cwd(), form, one.dialect, layout, alone, join, one.held)
            for one in samples
            for layout in [locate(form, one, self.schema, reading)]
            for join in [None if reading.join is None else reading.join.of(one.path)]
            for stretch in stretches(one, part_bytes)
        ]

    def _remarks(self, on_disk: Sequence[Path]) -> Iterator[str]:
        for alike in equal_files(on_disk):
            named = " and ".join(map(shown_path, alike))
            yield f"{named} hold the same bytes, so each of their flows counts {len(alike)} times"
        if self._absent:
            listed = ", ".join(self._absent[:5])
            more = len(self._absent) - 5
            yield (
                f"{len(self._absent)} of {len(self._form.fields)} features "
                f"{'is' if len(self._absent) == 1 else 'are'} not in the files: {listed}"
                + (f" and {more} more" if more > 0 else "")
            )

    def provenance(self, tally: Tally) -> Provenance:
        """Names the files and counts the rows."""
        names = names_of(self._files)
        if self._reading.labelling is not None:
            check_labels(tally, self._reading.labelling, self._form.label)
        if not tally.rows and self._form.select is not None:
            column, value = self._form.select
            raise InputError(
                f"no record has the {column} {quoted(value)}",
                where=", ".join(names[:3]),
                expected=f"records of {self._form.title} that are flows",
                mend=self._form.advice,
            )
        check_any_left(tally, names)
        dropped = {NON_FINITE: 0, EMPTY: 0} | {k: v for k, v in tally.dropped.items() if v}
        return Provenance(
            kind=self._form.kind,
            origin={"files": names} | ({"absent": self._absent} if self._absent else {}),
            rows_read=tally.rows,
            dropped=dropped,
            labels=in_order(tally.labels, self.catalogue) if tally.labels else {},
            reading={} if self._reading.labelling is None else self._reading.labelling.said(),
        )


def _usable(
    form: TableFormat, paths: Sequence[Path] | pa.Table, reading: Reading
) -> tuple[list[Sample], list[str]]:
    """The files to read, and remarks on those of folders that are not read."""
    if not isinstance(paths, Sequence):
        return [sample_held(paths).headed(form)], []
    samples, unused = list[Sample](), list[str]()
    for path, named in find_files(paths):
        try:
            one = sample(path).headed(form)
        except InputError as error:
            if named or looks_like_a_table(path):
                raise
            unused.append(f"{shown_path(path)} is not read: {error.what}")
            continue
        if not named and not fits(form, one):
            unused.append(f"{shown_path(path)} is not read: it is no table of {form.title}")
        elif not named and _lacks_label(form, one, reading):
            unused.append(f"{shown_path(path)} is not read: {_NO_LABEL}")
        else:
            samples.append(completed(form, one))
    if not samples:
        unlabelled = any(_NO_LABEL in why for why in unused)
        raise InputError(
            f"there is no table of {form.title} in the folder",
            where=", ".join(shown_path(path) for path in paths[:3]),
            expected=f"files with the features of {form.made_by}"
            + (", with a label" if unlabelled else ""),
            mend=form.advice + ("; or give their labels with --labels FILE" if unlabelled else ""),
            below="\n".join(unused[:_REMARKS]),
        )
    return samples, unused


def _joined(form: TableFormat, samples: Sequence[Sample], reading: Reading) -> Iterator[str]:
    """What becomes of labels that stand in a file of their own; it is read before all else."""
    if reading.join is None:
        return
    told: dict[int, tuple[LabelJoin, list[Sample]]] = {}
    for one in samples:
        join = reading.join.of(one.path)
        told.setdefault(id(join), (join, []))[1].append(one)
    for join, files in told.values():
        yield join.account(_flow_keys(form, files, reading))


def _flow_keys(
    form: TableFormat, samples: Sequence[Sample], reading: Reading
) -> Iterator[tuple[str, dict[str, Words], int]]:
    """What tells flows apart: the file, the keys, and how many flows, block by block."""
    nothing = FeatureSchema(form.made_by, ())
    for one in samples:
        layout = locate(replace(form, factors=None), one, nothing, reading)
        where = shown_path(one.path)
        for block in blocks(Stretch(one.path), one.dialect, layout.columns, layout.wanted):
            yield where, dict(zip(layout.keys, block.texts, strict=True)), block.size


def _shortened(unused: Sequence[str]) -> Iterator[str]:
    yield from unused[:_REMARKS]
    if len(unused) > _REMARKS:
        yield f"{len(unused) - _REMARKS:,} more files are not read"


def _lacks_label(form: TableFormat, one: Sample, reading: Reading) -> bool:
    return reading.labelling is not None and reading.join is None and not has_label(form, one)


def _schema(form: TableFormat, fields: Sequence[Field], samples: Sequence[Sample]) -> FeatureSchema:
    """The features that the files have, with the words of those that are no numbers."""
    categories = [f for f in fields if f.category]
    words = _words(form, categories, samples) if categories else {}
    columns = (Column(f.name, f.unit, words.get(f.name)) for f in fields)
    return FeatureSchema(form.made_by, tuple(columns))


def _words(
    form: TableFormat, fields: Sequence[Field], samples: Sequence[Sample]
) -> dict[str, tuple[str, ...]]:
    """The words of each column: they do not depend on the order of rows or files."""
    counts: dict[str, Counter[str]] = {f.name: Counter() for f in fields}
    asked = FeatureSchema(form.made_by, tuple(Column(f.name, f.unit, ()) for f in fields))
    for one in samples:
        layout = locate(replace(form, factors=None), one, asked, Reading(None))
        wanted = layout.wanted
        for block in blocks(Stretch(one.path), one.dialect, layout.columns, wanted, one.held):
            for name, column in zip(counts, block.texts, strict=True):
                for word, count in zip(column.words, column.counts(), strict=True):
                    counts[name][word_in(word, form.missing_words)] += count
    return {name: _most_frequent(found) for name, found in counts.items()}


def _most_frequent(counts: Counter[str]) -> tuple[str, ...]:
    ranked = sorted((-count, word) for word, count in counts.items() if count)
    return tuple(sorted(word for _, word in ranked[:MOST_WORDS]))


@dataclass(frozen=True)
class Stretch:
    """A file, or some of its bytes (text) or row groups (Parquet); whole if nothing is said.

    Attributes:
        path: the file.
        start: of the stretch. A row of a text belongs to the stretch in which it begins.
        stop: where the next one starts, ``None`` at the file's end.
        size: bytes on disk, for progress.
    """

    path: Path
    start: int = 0
    stop: int | None = None
    size: int = 0


def stretches(one: Sample, size: int) -> list[Stretch]:
    """Cuts a file into stretches of about ``size`` bytes that can be read by themselves.

    Packed files and JSON are whole, and so are Parquet files of one row group, and what is held
    in memory.

    Raises:
        InputError: the file cannot be read.
    """
    path = one.path
    if one.held is not None:
        return [Stretch(path, size=len(one.held))]
    whole = size_of(path)
    if whole <= size or one.dialect.form == "records":
        return [Stretch(path, size=whole)]
    if one.dialect.form == "parquet":
        # What is wrong with a file is told when its turn to be read has come.
        starts = [0]
        with contextlib.suppress(InputError):
            starts = group_starts(path, size)
    else:
        with opened(path) as file:
            if not file.plain:
                return [Stretch(path, size=whole)]
        starts = list(range(0, whole, size))
    stops: list[int | None] = [*starts[1:], None]
    sizes = [whole * (i + 1) // len(starts) - whole * i // len(starts) for i in range(len(starts))]
    return [Stretch(path, *one) for one in zip(starts, stops, sizes, strict=True)]


def blocks(
    stretch: Stretch,
    dialect: Dialect,
    columns: tuple[str, ...],
    wanted: Wanted,
    held: pa.Table | None = None,
) -> Iterator[Block]:
    """The rows of a stretch in order, whatever form the file has.

    Args:
        stretch: of a file.
        dialect: how the file is written.
        columns: names of all its columns.
        wanted: the columns to read.
        held: the table itself, where it is no file but held in memory.

    Raises:
        InputError: the file is damaged.
    """
    if dialect.form == "records":
        yield from read_records(stretch.path, columns, wanted, array=dialect.array)
        return
    read = replace(wanted, texts=(*wanted.texts, *(wanted.select or ())[:1]))
    if held is not None:
        blocks = read_held(held, read, shown_path(stretch.path))
    elif dialect.form == "parquet":
        blocks = read_parquet(stretch.path, read, stretch.start, stretch.stop)
    else:
        blocks = read_text(stretch.path, dialect, read, stretch.start, stretch.stop)
    for block in blocks:
        yield block if wanted.select is None else block.selected(wanted.select[1])


@dataclass(frozen=True)
class TablePart:
    """A stretch of a file.

    Attributes:
        stretch: with the path as its owner gave it.
        folder: that a relative path starts from; readers may be at work in another one.
        form: of the table.
        dialect: how the file is written.
        layout: where everything stands in it.
        reading: how it is read.
        join: labels that stand in a file of their own.
        held: the table, where it is no file but held in memory.
    """

    stretch: Stretch
    folder: Path
    form: TableFormat
    dialect: Dialect
    layout: Layout
    reading: Reading
    join: LabelJoin | None = None
    held: pa.Table | None = None

    @property
    def size(self) -> int:
        """Bytes on disk; rows of a table that is held in memory."""
        return self.stretch.size

    def batches(self) -> Iterator[FlowBatch]:
        """Reads the rows in order and drops what is unsound.

        The parts of a file together give exactly the rows of the whole.

        Raises:
            InputError: which names the file as its owner did.
        """
        stretch = replace(self.stretch, path=self.folder / self.stretch.path)
        name, shown = quoted(stretch.path.name, 500)[1:-1], shown_path(self.stretch.path)
        cleaner = Cleaner(self.form, self.layout, self.reading, shown, name, self.join)
        try:
            layout = self.layout
            read = blocks(stretch, self.dialect, layout.columns, layout.wanted, self.held)
            for block in read:
                yield cleaner.clean(block)
        except InputError as error:
            told = error.where
            if told and not self.stretch.path.is_absolute():
                told = told.replace(shown_path(stretch.path), shown_path(self.stretch.path))
            raise InputError(
                error.what, where=told, expected=error.expected, mend=error.mend
            ) from error
