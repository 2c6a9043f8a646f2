"""Which flows ``kirl prepare`` was asked to read, measure or draw, and the source of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from envs import Catalogue, InputError
from envs.datasets import registry, schema_file
from envs.datasets.label_files import is_mapping, read_labels
from envs.datasets.label_join import join_of
from envs.datasets.labels import Attempted, Labelling
from envs.datasets.source import FlowSource, Reading
from rayapp.commands import console

EXAMPLE = "Example: kirl prepare --data MachineLearningCVE/ --out scenario"


@dataclass(frozen=True)
class FlowChoice:
    """What was given on the command line.

    Attributes:
        data: files and folders.
        synthetic: flows to draw instead.
        dataset: name of the kind of data set.
        schema: file that describes tables of the user's own.
        labels: files that say what labels mean.
        attempted: what labels that end in 'Attempted' count as.
        catalogue: name or file.
        seed: of synthetic flows.
    """

    data: Sequence[Path]
    synthetic: int | None = None
    dataset: str | None = None
    schema: Path | None = None
    labels: Sequence[Path] = ()
    attempted: Attempted | None = None
    catalogue: str | None = None
    seed: int = 0

    def source(self) -> FlowSource:
        """The source of the flows; what its owner should know of the files is printed.

        Raises:
            InputError: the flows cannot be read or drawn, or an option has no effect.
        """
        if not self.data:
            kind = registry.named(self.dataset or "synthetic")
            classes = Catalogue.find(self.catalogue or kind.catalogue)
            return registry.drawn(self.synthetic or 0, self.seed, classes, kind.name)
        source = self._described() if self.schema else self._recognised()
        for remark in source.remarks:
            console.say(f"{remark}.")
        return source

    def _recognised(self) -> FlowSource:
        kind = registry.named(self.dataset) if self.dataset else registry.recognised(self.data)
        classes = Catalogue.find(self.catalogue or kind.catalogue)
        return registry.opened(self.data, self._reading(classes, {}), kind.name)

    def _described(self) -> FlowSource:
        schema = schema_file.read(self.schema or Path())
        classes = Catalogue.find(self.catalogue or schema.catalogue)
        reading = self._reading(classes, schema.labels)
        return schema_file.SchemaSource(schema, self.data, reading)

    def _reading(self, classes: Catalogue, said: Mapping[str, str]) -> Reading:
        mappings = [path for path in self.labels if is_mapping(path)]
        joined = [path for path in self.labels if path not in mappings]
        meaning = {**said, **read_labels(mappings, classes)}
        labelling = Labelling(classes, meaning, self.attempted, insists=self.attempted is not None)
        return Reading(labelling, join=join_of(joined, self.data) if joined else None)


def check_one(given: Mapping[str, object]) -> None:
    """Checks that exactly one way to come by flows was given.

    Args:
        given: what was given, by option.

    Raises:
        InputError: none, or several.
    """
    named = [option for option, value in given.items() if value]
    if len(named) != 1:
        raise InputError(
            f"{' and '.join(named)} are given" if named else "nothing to prepare",
            expected="one of --data PATH, --alerts PATH, --pcap CAPTURE and --synthetic ROWS",
            mend=EXAMPLE,
        )


def check_joined(labels: Sequence[Path]) -> None:
    """Checks that flows which a capture gives, and which have no labels, are given some.

    Raises:
        InputError: no file says which flow has which label.
    """
    if all(is_mapping(path) for path in labels):
        raise InputError(
            "flows of a capture have no labels",
            expected="--labels FILE: a table with a label, addresses, ports and time of each flow",
            mend="Give the labels, or write the flows with kirl flows CAPTURE --out flows.parquet "
            "and decide them with kirl decide",
        )


def check_effect(way: str, unfit: Mapping[str, object]) -> None:
    """Refuses options that have no effect on flows that come by ``way``.

    Raises:
        InputError: one was given.
    """
    named = [option for option, value in unfit.items() if value]
    if named:
        raise InputError(
            f"{' and '.join(named)} has no effect with {way}"
            if len(named) == 1
            else f"{' and '.join(named)} have no effect with {way}",
            mend="Leave it out" if len(named) == 1 else "Leave them out",
        )
