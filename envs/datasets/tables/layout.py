"""Which columns of a file are a kind's features, labels and keys, and what to do with their cells.

A layout is found once per file, from its beginning, and travels to where the file is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from envs.datasets.source import Reading
from envs.datasets.tables.form import KEYS, Field, TableFormat, column_key
from envs.datasets.tables.rows import Wanted
from envs.datasets.tables.sample import Sample
from envs.errors import InputError, quoted
from envs.files import shown_path
from envs.flows import FeatureSchema

_SHOWN = 8
"""Columns of a file, and hints, in a message."""

_NAMED = 20
"""Missing columns in a message; all of them stand below it."""

_LISTED = 200
"""Columns of a file that are listed below a message."""

_LONG = 6

_WORDS = (
    *("fwd", "bwd", "forward", "backward", "src", "dst", "in", "out"),
    *("min", "max", "mean", "avg", "std", "var", "total", "tot", "count"),
    *("byte", "packet", "pkt", "ms", "us"),
)
"""Parts of names that change the meaning or the unit."""


@dataclass(frozen=True)
class Feature:
    """How one feature is read from a file.

    Attributes:
        position: of its column in the file.
        factor: that numbers are multiplied with.
        missing: what an empty cell stands for; ``None`` drops the row.
        codes: the number of each word; ``None`` for a column of numbers.
        value_of: the number that a cell of text stands for; ``None`` for a column of numbers.
    """

    position: int
    factor: float = 1.0
    missing: float | None = None
    codes: dict[str, int] | None = None
    value_of: Callable[[str], float] | None = None

    @property
    def text(self) -> bool:
        """Whether the column is read as words."""
        return self.codes is not None or self.value_of is not None


@dataclass(frozen=True)
class Layout:
    """Where in a file everything stands.

    Attributes:
        features: in the order of the source's schema.
        labels: positions of the label columns; -1 for one that is not there.
        keys: position of each of :data:`envs.datasets.tables.form.KEYS` that the file has.
        names: of the features, for messages.
        missing_words: what stands for nothing in a cell.
        select: position and value of rows that are flows.
        columns: names of all columns of the file.
    """

    features: tuple[Feature, ...]
    labels: tuple[int, ...]
    keys: dict[str, int]
    names: tuple[str, ...]
    missing_words: tuple[str, ...]
    select: tuple[int, str] | None
    columns: tuple[str, ...]

    @property
    def wanted(self) -> Wanted:
        """What to read: numbers in the order of features, then words, labels and keys."""
        pairs = list(zip(self.features, self.names, strict=True))
        numeric = [(f.position, name) for f, name in pairs if not f.text]
        words = [f.position for f in self.features if f.text]
        labels = [position for position in self.labels if position >= 0]
        return Wanted(
            tuple(position for position, _ in numeric),
            (*words, *labels, *self.keys.values()),
            tuple(name for _, name in numeric),
            self.missing_words,
            self.select,
        )


def present(form: TableFormat, samples: Sequence[Sample]) -> list[Field]:
    """The features that all files have.

    Raises:
        InputError: a file has none of them, or one of them twice.
    """
    found = [{f.name for f in form.fields if _position(f, one, form) >= 0} for one in samples]
    for one, names in zip(samples, found, strict=True):
        if not names:
            raise _none_of(form, one)
    return [f for f in form.fields if all(f.name in names for names in found)]


def completed(form: TableFormat, one: Sample) -> Sample:
    """A file of JSON records with the columns that none of its first records happens to have.

    Raises:
        InputError: it has none of the features.
    """
    if not form.sparse or one.dialect.form != "records":
        return one
    if all(_position(f, one, form) < 0 for f in form.fields):
        raise _none_of(form, one)
    keys = (names for names in (form.keys or {}).values() if _named(names, one) < 0)
    more = [f.column for f in form.fields if _position(f, one, form) < 0]
    return one.with_columns([*dict.fromkeys(more), *(names[0] for names in keys)])


def absent(form: TableFormat, fields: Sequence[Field]) -> list[str]:
    """The features that are not in all files."""
    names = {f.name for f in fields}
    return [f.name for f in form.fields if f.name not in names]


def locate(form: TableFormat, one: Sample, schema: FeatureSchema, reading: Reading) -> Layout:
    """Where the features of ``schema`` stand in a file.

    Raises:
        InputError: a column is missing or there twice, or its unit cannot be told.
    """
    fields = {f.name: f for f in form.fields}
    factors = form.factors(one) if form.factors is not None else {}
    features, missing = [], []
    for column in schema.columns:
        wanted = fields.get(column.name, Field(column.name, column.unit))
        position = _position(wanted, one, form)
        if position < 0:
            missing.append(column.name)
        codes = None
        if column.categories is not None:
            codes = {word: code for code, word in enumerate(column.categories)}
        factor = wanted.factor * factors.get(column.name, 1.0)
        features.append(Feature(position, factor, wanted.missing, codes, wanted.value_of))
    if missing:
        raise _missing(missing, form, one)
    labels: tuple[int, ...] = ()
    if reading.labelling is not None and reading.join is None:
        labels = tuple(_named(names, one) for names in form.label_names)
        if max(labels, default=-1) < 0:
            raise _no_label(form, one)
    select = None
    if form.select is not None:
        select = _named((form.select[0],), one), form.select[1]
    keys = _keys(form, one) if reading.keys or reading.join is not None else {}
    return Layout(
        tuple(features),
        labels,
        keys,
        schema.names,
        form.missing_words,
        select if select is None or select[0] >= 0 else None,
        one.names,
    )


def has_label(form: TableFormat, one: Sample) -> bool:
    """Whether a file has a column of labels."""
    return any(_named(names, one) >= 0 for names in form.label_names)


def _keys(form: TableFormat, one: Sample) -> dict[str, int]:
    named = form.keys or {}
    places = {key: _named(named.get(key, ()), one) for key in KEYS}
    return {key: position for key, position in places.items() if position >= 0}


def _named(names: Sequence[str], one: Sample) -> int:
    for name in names:
        found = one.positions.get(column_key(name))
        if found:
            return found[0]
    return -1


def _position(field: Field, one: Sample, form: TableFormat) -> int:
    """The column of a feature, -1 for none.

    Raises:
        InputError: several columns go by its names.
    """
    positions = one.positions
    for name, again in form.twins:
        pair = positions.get(column_key(name), [])
        if len(pair) == 2 and column_key(again) not in positions:
            # pandas calls the second one '.1'.
            if field.name == again:
                return pair[1]
            if field.name == name:
                return pair[0]
    found = [place for key in field.keys for place in positions.get(key, ())]
    if len(found) > 1:
        spelled = list(dict.fromkeys(quoted(one.names[place].strip()) for place in found))
        raise InputError(
            f"column {quoted(field.name)} occurs {len(found)} times"
            + (f", as {' and as '.join(spelled[:_SHOWN])}" if len(spelled) > 1 else ""),
            where=shown_path(one.path),
            expected="each column once" + "".join(f" ('{name}' twice)" for name, _ in form.twins),
            mend="Remove or rename the column that is not meant",
        )
    return found[0] if found else -1


def _none_of(form: TableFormat, one: Sample) -> InputError:
    shown = ", ".join(quoted(name) for name in one.names[:_SHOWN]) or "no header"
    more = len(one.names) - _SHOWN
    return InputError(
        f"not a table of {form.title} flows: none of its columns is there, but {shown}"
        + (f" and {more} more" if more > 0 else ""),
        where=shown_path(one.path),
        expected=f"the features of {form.made_by}",
        mend=form.advice,
    )


def _missing(missing: list[str], form: TableFormat, one: Sample) -> InputError:
    several = len(missing) > 1
    listed = ", ".join(f"'{name}'" for name in missing[:_NAMED])
    if len(missing) > _NAMED:
        listed += f" and {len(missing) - _NAMED} more"
    used = {key for f in form.fields for key in f.keys}
    spare = [name for name in one.names if column_key(name) not in used]
    hints = [
        f"Is {quoted(other.strip())} '{name}'? Then rename it"
        for name, other in _misspelled(missing, spare).items()
    ]
    shown = ", ".join(quoted(name.strip()) for name in one.names[:_LISTED])
    return InputError(
        f"column{'s' if several else ''} {listed} {'are' if several else 'is'} missing",
        where=shown_path(one.path),
        expected="the columns that the scenario was prepared with",
        mend=". ".join(hints[:_SHOWN])
        or "Add the columns, or prepare a scenario from flows without them",
        below=f"Missing: {', '.join(missing)}\nThe file has: {shown or 'no header'}",
    )


def _misspelled(missing: Sequence[str], spare: Sequence[str]) -> dict[str, str]:
    """Columns that are missing, each with one of the file that differs by a slip of the pen.

    Names that say another direction, another statistic or another unit differ by more than that.
    """
    found = {}
    # A hostile header can hold thousands of names; comparing each would take minutes.
    free = {column_key(other[:80]): other for other in spare[:500]}
    for name in missing:
        near = [key for key in free if _is_slip(column_key(name), key)]
        if len(near) == 1:
            found[name] = free.pop(near[0])
    return found


def _shared(one: str, other: str) -> int:
    """How many letters two words begin with in common."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def _is_slip(key: str, other: str) -> bool:
    """Whether one letter within a long name was changed, left out, added, or swapped."""
    if len(key) < _LONG or key[0] != other[:1] or key[-1] != other[-1:]:
        return False
    if any((word in key) != (word in other) for word in _WORDS):
        return False
    start = _shared(key, other)
    end = _shared(key[start:][::-1], other[start:][::-1])
    one, two = key[start : len(key) - end], other[start : len(other) - end]
    return max(len(one), len(two)) == 1 or (len(one) == 2 and one == two[::-1])


def _no_label(form: TableFormat, one: Sample) -> InputError:
    names = " or ".join(f"'{name}'" for names in form.label_names for name in names[:2])
    return InputError(
        "there is no label column",
        where=shown_path(one.path),
        expected=f"a column {names}" if names else "labels in a file of their own",
        mend="Give kirl prepare the labels with --labels FILE, or decide the flows: kirl decide "
        f"--run RUN --data {shown_path(one.path)}",
    )
