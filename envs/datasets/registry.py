"""All kinds of data set: those that ship, and those of installed packages.

A package adds a kind by an entry point of the group ``kirl.datasets`` that leads to a
:class:`DataSet`. In its ``pyproject.toml``::

    [project.entry-points."kirl.datasets"]
    mynet = "my_package.mynet:MYNET"
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from envs.catalogue import Catalogue
from envs.datasets.source import FlowSource
from envs.errors import InputError
from envs.flows import KIND, FeatureSchema

GROUP = "kirl.datasets"

_SHIPPED = {
    "cicids2017": "envs.datasets.cicids2017:CICIDS2017",
    "synthetic": "envs.datasets.synthetic.entry:SYNTHETIC",
}


@dataclass(frozen=True)
class DataSet:
    """One kind of labelled traffic.

    Attributes:
        name: what ``kirl prepare --dataset`` and a scenario's manifest call it.
        title: one line about it.
        citation: of the paper or page that describes it.
        schema: its features, in the order of the columns.
        label: the column that holds the label; ``None`` where labels are no column.
        labels: the labels that it is published with.
        synthetic: whether its flows are drawn from a model rather than recorded.
        open: given files or folders and a catalogue, the source of their flows; ``None`` for a
            kind that is not read from files.
        recognises: whether files or folders hold this kind.
        draw: given a number of flows, a seed and a catalogue, the source of such flows; ``None``
            for a kind that is recorded.
    """

    name: str
    title: str
    citation: str
    schema: FeatureSchema
    label: str | None = None
    labels: tuple[str, ...] = ()
    synthetic: bool = False
    open: Callable[[Sequence[Path], Catalogue], FlowSource] | None = None
    recognises: Callable[[Sequence[Path]], bool] = lambda paths: False
    draw: Callable[[int, int, Catalogue], FlowSource] | None = None


@cache
def all_kinds() -> dict[str, DataSet]:
    """All kinds by name, those that ship first.

    Raises:
        InputError: an installed package's kind cannot be loaded, or is no data set of a new name.
    """
    kinds: dict[str, DataSet] = {}
    for where in _SHIPPED.values():
        module, _, attribute = where.partition(":")
        one: DataSet = getattr(import_module(module), attribute)
        kinds[one.name] = one
    for point in entry_points(group=GROUP):
        where = f"entry point {point.name} = {point.value} of the group {GROUP}"
        try:
            found = point.load()
        except Exception as error:
            # A package of others may fail by anything.
            raise InputError(
                f"cannot be loaded ({type(error).__name__}: {error})",
                where=where,
                mend="Repair the package that brings it, or uninstall it",
            ) from error
        if not isinstance(found, DataSet) or not re.fullmatch(KIND, found.name):
            raise InputError(
                "does not lead to a data set",
                where=where,
                expected="an envs.datasets.registry.DataSet with a name in lower-case letters",
                mend="Correct the package that brings it",
            )
        if kinds.setdefault(found.name, found) is not found:
            raise InputError(
                f"there is a data set called {found.name} already",
                where=where,
                mend="Rename one of the two, or uninstall its package",
            )
    return kinds


def named(name: str) -> DataSet:
    """The kind of that name.

    Raises:
        InputError: there is none.
    """
    kinds = all_kinds()
    if name not in kinds:
        raise InputError(
            f"there is no kind of data set called {name!r}",
            expected="one of " + ", ".join(kinds),
            mend="kirl datasets lists them; see there how a package adds one",
        )
    return kinds[name]


def recognised(paths: Sequence[Path]) -> DataSet:
    """The kind that files or folders hold.

    Where no kind recognises them, the first one is taken to say what it misses in them.

    Raises:
        InputError: several kinds recognise them.
    """
    readable = [one for one in all_kinds().values() if one.open is not None]
    found = [one for one in readable if one.recognises(paths)] if len(readable) > 1 else readable
    if len(found) > 1:
        raise InputError(
            f"the files can be read as {' or '.join(one.name for one in found)}",
            where=", ".join(map(str, paths[:3])),
            mend="Say which with --dataset",
        )
    return (found or readable)[0]


def opened(paths: Sequence[Path], catalogue: Catalogue, name: str | None = None) -> FlowSource:
    """The source of the flows in files and folders.

    Args:
        paths: files and folders.
        catalogue: the classes that labels are merged into.
        name: of the kind, by default the one that the files are recognised as.

    Raises:
        InputError: there is nothing to read, or the kind is not read from files.
    """
    kind = recognised(paths) if name is None else named(name)
    if kind.open is None:
        raise InputError(
            f"{kind.name} flows are not read from files",
            expected="a kind that is, such as "
            + ", ".join(one.name for one in all_kinds().values() if one.open),
            mend="Leave --data or --dataset out",
        )
    return kind.open(paths, catalogue)


def drawn(rows: int, seed: int, catalogue: Catalogue, name: str = "synthetic") -> FlowSource:
    """The source of ``rows`` flows of a kind that is drawn.

    Raises:
        InputError: the kind is recorded, or such flows cannot be drawn.
    """
    kind = named(name)
    if kind.draw is None:
        raise InputError(
            f"{kind.name} flows are recorded, not drawn",
            mend="Give their files with --data",
        )
    return kind.draw(rows, seed, catalogue)
