"""A table of your own, described in a YAML file: ``kirl prepare --schema FILE``.

What stands in a file; ``kirl schema`` writes a first draft of one from a table::

    name: my-network              # what scenarios call this kind of table
    made_by: our flow exporter    # what computed the features
    catalogue: enterprise-network # classes and mitigations
    label: verdict                # the column of labels
    features: all numeric         # or a list of columns
    ignore: [row, src_ip]         # columns that are no features
    units: {duration: s}          # where they matter
    categories: [protocol]        # columns of words; each word becomes a number
    missing: {duration: -1}       # what an empty cell stands for; else the row is dropped
    keys: {time: ts, id: uid}     # what tells flows apart
    labels:                       # the class that each label means; 'drop' leaves flows out
      fine: Benign
      scan: Scan
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from envs import plain_yaml
from envs.datasets.label_files import UNDECIDED
from envs.datasets.labels import is_missing
from envs.datasets.source import Reading, Tally
from envs.datasets.tables import form
from envs.datasets.tables.files import find_files, looks_like_a_table
from envs.datasets.tables.form import KEYS, TableFormat, column_key
from envs.datasets.tables.rows import is_number
from envs.datasets.tables.sample import Sample, sample, sample_held
from envs.datasets.tables.source import TableSource
from envs.errors import InputError, quoted
from envs.files import shown_path
from envs.flows import KIND, Provenance
from envs.plain_yaml import Document

if TYPE_CHECKING:
    import pyarrow as pa

ALL_NUMERIC = "all numeric"

DESCRIBED = "schema"
"""Where a scenario's manifest keeps the schema: a key of ``source.reading``."""

_MOST = 4096


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("not printable")
    return text


_Key = Literal["time", "id", "src_ip", "src_port", "dst_ip", "dst_port", "protocol"]
_Text = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]


class TableSchema(BaseModel):
    """What a schema file says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=KIND, description="1 to 64 lower-case letters, digits, - _ and .")
    made_by: _Text = Field("", description="what computed the features, in a few words")
    catalogue: _Text = Field(
        "enterprise-network", description="a catalogue that ships with kirl, or a YAML file"
    )
    label: _Text | None = Field(None, description="the name of the column of labels")
    features: Literal["all numeric"] | list[_Text] = Field(
        "all numeric", max_length=_MOST, description=f"'{ALL_NUMERIC}', or a list of columns"
    )
    ignore: list[_Text] = Field(
        default_factory=list, max_length=_MOST, description="a list of columns"
    )
    units: dict[_Text, _Text] = Field(
        default_factory=dict, max_length=_MOST, description="columns, each with its unit"
    )
    categories: list[_Text] = Field(
        default_factory=list, max_length=_MOST, description="a list of columns that hold words"
    )
    missing: dict[_Text, float] = Field(
        default_factory=dict, max_length=_MOST, description="columns, each with a number"
    )
    keys: dict[_Key, _Text] = Field(
        default_factory=dict, description="of " + ", ".join(KEYS) + ", each with its column"
    )
    labels: dict[str, _Text] = Field(
        default_factory=dict, max_length=_MOST, description="labels, each with a class or 'drop'"
    )


def read(path: Path) -> TableSchema:
    """Reads a schema file.

    Raises:
        InputError: the file describes no table; it names the line and the key.
    """
    document = plain_yaml.read(path)
    try:
        schema = TableSchema.model_validate(document.value)
    except ValidationError as error:
        raise _told(error, document) from None
    for label, name in schema.labels.items():
        if UNDECIDED in name:
            raise InputError(
                f"the label {quoted(label)} has no class yet",
                where=document.where(("labels", label)),
                expected=f"a class of the catalogue {schema.catalogue}, or 'drop'",
                mend=f"Write one in place of {name}; kirl catalogue show {schema.catalogue} "
                "lists them",
            )
    _check_roles(schema, document)
    return schema


def _check_roles(schema: TableSchema, document: Document) -> None:
    """Refuses a column that is to be a feature and, elsewhere in the file, is said to be none."""
    others = {column_key(name): "ignore" for name in schema.ignore}
    if schema.label is not None:
        others[column_key(schema.label)] = "label"
    features = [] if isinstance(schema.features, str) else schema.features
    for key, names in (("features", features), ("categories", schema.categories)):
        for number, name in enumerate(names):
            other = others.get(column_key(name))
            if other is not None:
                raise InputError(
                    f"the column {quoted(name)} is named under {other}, too",
                    where=document.where((key, number)),
                    expected=f"columns under {key} that are neither the label nor ignored",
                    mend=f"Remove it here, or from {other}",
                )


class SchemaSource(TableSource):
    """Flows in tables that a schema describes; the scenario keeps the schema.

    Args:
        schema: of the tables.
        paths: files and folders, or a table that is held in memory.
        reading: how they are read.

    Raises:
        InputError: there is nothing to read, or the tables are not as the schema says.
    """

    def __init__(
        self, schema: TableSchema, paths: Sequence[Path] | pa.Table, reading: Reading
    ) -> None:
        self._described = schema
        if reading.schema is None:
            made = form_of(schema, _samples(paths))
        else:
            made = _form(schema, [column.name for column in reading.schema.columns])
        super().__init__(made, paths, reading)

    def provenance(self, tally: Tally) -> Provenance:
        """Names the files, counts the rows, and keeps the schema."""
        made = super().provenance(tally)
        described = self._described.model_dump(mode="json", exclude_defaults=True)
        return replace(made, reading=made.reading | {DESCRIBED: described})


def _samples(paths: Sequence[Path] | pa.Table) -> list[Sample]:
    """The beginnings of the files, without those of folders that are no tables."""
    if not isinstance(paths, Sequence):
        return [sample_held(paths)]
    found = find_files(paths)
    return [sample(path) for path, named in found if named or looks_like_a_table(path)]


def described(reading: Mapping[str, Any]) -> TableSchema | None:
    """The schema that a scenario's flows were read by, given its manifest's ``source.reading``.

    Raises:
        ValueError: the manifest holds no sound schema.
    """
    return TableSchema.model_validate(reading[DESCRIBED]) if DESCRIBED in reading else None


def _told(error: ValidationError, document: Document) -> InputError:
    """The first of pydantic's complaints in words of the file."""
    first = error.errors()[0]
    at = tuple(step for step in first["loc"] if step != "[key]")
    fields = TableSchema.model_fields
    known = fields.get(str(at[0])) if at else None
    expected = known.description if known else "the keys " + ", ".join(fields)
    if first["type"] == "missing":
        what, mend = f"{at[-1]!r} is missing", "Add it"
    elif first["type"] == "extra_forbidden":
        what, mend = f"unknown key {str(at[-1])[:60]!r}", "Correct the name"
    else:
        shown = repr(first["input"])
        what = f"{shown if len(shown) <= 60 else shown[:60] + '...'} does not fit here"
        mend = "Correct it"
    place = tuple(step for step in at if isinstance(step, str | int))
    return InputError(what, where=document.where(place), expected=expected, mend=mend)


def form_of(schema: TableSchema, samples: Sequence[Sample]) -> TableFormat:
    """What tables that a schema describes look like.

    Args:
        schema: of the tables.
        samples: the beginnings of the files; they tell which columns are numeric.

    Raises:
        InputError: a column that the schema names is in no file, or there is no feature.
    """
    named = {column_key(name): name for one in samples for name in one.names}
    _check_named(schema, named, samples)
    words = {column_key(name) for name in schema.categories}
    if isinstance(schema.features, str):
        chosen = _numeric(schema, named, samples)
        chosen += [named[key] for key in words if named[key] not in chosen]
    else:
        chosen = list(dict.fromkeys(named[column_key(name)] for name in schema.features))
    if not chosen:
        raise InputError(
            "no column is left to be a feature",
            where=", ".join(shown_path(one.path) for one in samples[:3]),
            expected="at least one column of numbers, or of words named under categories",
            mend="Name the features in the schema file",
        )
    order = {name: place for place, name in enumerate(named.values())}
    return _form(schema, sorted(chosen, key=order.__getitem__))


def _form(schema: TableSchema, features: Sequence[str]) -> TableFormat:
    """The form of tables with these features, in their order."""
    words = {column_key(name) for name in schema.categories}
    units, missing = _by_key(schema.units), _by_key(schema.missing)
    fields = [
        form.Field(
            name,
            units.get(column_key(name), ""),
            category=column_key(name) in words,
            missing=missing.get(column_key(name)),
        )
        for name in features
    ]
    return TableFormat(
        kind=schema.name,
        title=schema.name,
        made_by=schema.made_by or schema.name,
        fields=tuple(fields),
        labels=(schema.label,) if schema.label else (),
        keys={key: (name,) for key, name in schema.keys.items()},
        catalogue=schema.catalogue,
        advice="Give tables that the schema describes, or correct the schema",
    )


def _by_key(given: Mapping[str, Any]) -> dict[str, Any]:
    return {column_key(name): value for name, value in given.items()}


def _check_named(schema: TableSchema, named: Mapping[str, str], samples: Sequence[Sample]) -> None:
    listed = [] if isinstance(schema.features, str) else schema.features
    wanted = {
        "label": [schema.label] if schema.label else [],
        "features": listed,
        "units": list(schema.units),
        "categories": schema.categories,
        "missing": list(schema.missing),
        "keys": list(schema.keys.values()),
    }
    gone = [(key, name) for key, names in wanted.items() for name in names]
    gone = [(key, name) for key, name in gone if column_key(name) not in named]
    columns = list(named.values())
    if gone:
        told = ", ".join(f"{quoted(name)} ({key})" for key, name in gone[:8])
        raise InputError(
            f"no file has the column{'s' if len(gone) > 1 else ''} {told}",
            where=", ".join(shown_path(one.path) for one in samples[:3]),
            expected="of the columns " + ", ".join(quoted(name) for name in columns[:20]),
            mend="Correct the schema file",
        )


def _numeric(schema: TableSchema, named: Mapping[str, str], samples: Sequence[Sample]) -> list[str]:
    """Columns of numbers that nothing else is said of, in the order of the files."""
    others = {column_key(name) for name in (*schema.ignore, *schema.keys.values())}
    others |= {column_key(name) for name in (*schema.categories, schema.label or "")}
    return [
        name
        for key, name in named.items()
        if key not in others
        and all(is_numeric(cells) for one in samples if (cells := one.column(name)) is not None)
    ]


def is_numeric(cells: Sequence[str]) -> bool:
    """Whether all cells of a column's beginning are numbers, or say that there is none."""
    return any(not is_missing(cell) for cell in cells) and all(is_number(cell) for cell in cells)
