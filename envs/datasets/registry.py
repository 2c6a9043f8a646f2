"""All kinds of data set: those that ship, and those of installed packages.

A package adds a kind by an entry point of the group ``kirl.datasets`` that leads to a
:class:`~envs.datasets.kind.DataSet`. In its ``pyproject.toml``::

    [project.entry-points."kirl.datasets"]
    mynet = "my_package.mynet:MYNET"
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from envs.catalogue import Catalogue
from envs.datasets.kind import DataSet
from envs.datasets.source import FlowSource, Reading
from envs.datasets.tables.recognition import check_kind, recognise
from envs.errors import InputError
from envs.flows import KIND

if TYPE_CHECKING:
    import pyarrow as pa

GROUP = "kirl.datasets"

_SHIPPED = {
    "cicids2017": "envs.datasets.cicids2017:CICIDS2017",
    "cicids2017-corrected": "envs.datasets.cicids2017_corrected:CORRECTED",
    "cse-cic-ids2018": "envs.datasets.cse_cic_ids2018:CSE_CIC_IDS2018",
    "cicddos2019": "envs.datasets.cicddos2019:CICDDOS2019",
    "cicflowmeter": "envs.datasets.cicflowmeter_java:CICFLOWMETER",
    "cicflowmeter-python": "envs.datasets.cicflowmeter_python:CICFLOWMETER_PYTHON",
    "unsw-nb15": "envs.datasets.unsw:UNSW_NB15",
    "netflow": "envs.datasets.netflow:NETFLOW",
    "zeek-conn": "envs.datasets.zeek:ZEEK_CONN",
    "suricata-flow": "envs.datasets.suricata:SURICATA_FLOW",
    "argus": "envs.datasets.argus:ARGUS",
    "nfstream": "envs.datasets.nfstream:NFSTREAM",
    "synthetic": "envs.datasets.synthetic.entry:SYNTHETIC",
}


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
                expected="an envs.datasets.kind.DataSet with a name in lower-case letters",
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
    """The kind that files or folders hold, told by the columns of the files.

    Raises:
        InputError: no kind fits them, several do, or the files are of several kinds.
    """
    return recognise(paths, _readable())


def _readable() -> list[DataSet]:
    return [one for one in all_kinds().values() if one.open is not None]


def opened(paths: Sequence[Path], reading: Reading, name: str | None = None) -> FlowSource:
    """The source of the flows in files and folders.

    Args:
        paths: files and folders.
        reading: how they are read.
        name: of the kind, by default the one that the files are recognised as.

    Raises:
        InputError: there is nothing to read, the files are of another kind than the one that was
            named, or the kind is not read from files.
    """
    if name is not None and paths and named(name).open is not None:
        check_kind(paths, name, _readable())
    return _read_by(recognised(paths) if name is None else named(name), paths, reading)


def held(table: pa.Table, reading: Reading, name: str) -> FlowSource:
    """The source of the flows in an Arrow table.

    Args:
        table: as it would stand in a file.
        reading: how it is read.
        name: of the kind.

    Raises:
        InputError: it is no such table, or the kind is not read from tables.
    """
    return _read_by(named(name), table, reading)


def _read_by(kind: DataSet, data: Sequence[Path] | pa.Table, reading: Reading) -> FlowSource:
    if kind.open is None:
        raise InputError(
            f"{kind.name} flows are not read from files",
            expected="a kind that is, such as "
            + ", ".join(one.name for one in all_kinds().values() if one.open),
            mend="Leave --data or --dataset out",
        )
    return kind.open(data, reading)


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
