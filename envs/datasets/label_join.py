"""Labels that stand in a file of their own: each finds its flow by an id, or by who and when.

Where both files have an id of the flow (Zeek's ``uid``, ``flow_id``, ``Flow ID``), equal ids
belong together. Otherwise addresses and ports of both ends, in either direction, the protocol
where both files have it, and the time do: of the labels whose time is at most
:data:`TOLERANCE` away the nearest one counts. A label with a start and an end is away from a flow
that begins between them by nothing. Times without a zone are taken for UTC.

Nothing is guessed: two different labels that fit one flow equally well are an error.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.datasets.flow_keys import ENDS, ids, pairs, times
from envs.datasets.label_columns import NAMES, read_columns
from envs.datasets.tables.rows import Words
from envs.errors import InputError, quoted
from envs.files import shown_path

TOLERANCE = 1.0
"""Seconds that a label's time may be away from a flow's."""


@dataclass
class FileLabels:
    """The labels of a file; it travels to where flows are read.

    Attributes:
        where: the file, for messages.
        labels: of the entries, as words.
        rows: of the entries, as an editor counts them, int64 [entries].
        keys: of the entries, by :data:`envs.datasets.label_columns.NAMES`; those that the file has.
    """

    where: str
    labels: Words
    rows: NDArray[np.int64]
    keys: dict[str, Words]
    _groups: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    _spans: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None

    @classmethod
    def read(cls, path: Path) -> FileLabels:
        """Reads a file of labels: CSV, JSON lines, a JSON array, a Zeek log or Parquet.

        Raises:
            InputError: it cannot be read, has no label column, or nothing to find flows by.
        """
        return cls(shown_path(path), *read_columns(path))

    def labels_for(self, keys: Mapping[str, Words], size: int) -> Words:
        """The label of each row, ``""`` where there is none.

        Args:
            keys: of the flows.
            size: number of rows.

        Raises:
            InputError: two labels fit a flow, or a time cannot be read.
        """
        entries = self.match(keys, size)
        codes = np.where(entries < 0, len(self.labels.words), self.labels.codes[entries])
        return Words(codes.astype(np.int32), [*self.labels.words, ""])

    def of(self, path: Path) -> FileLabels:
        """The labels of the flows in a file: these, whatever the file."""
        return self

    def account(self, flows: Iterable[tuple[str, Mapping[str, Words], int]]) -> str:
        """What matched and what did not, in a sentence.

        Args:
            flows: name of the file, keys and number of rows, block by block.

        Raises:
            InputError: nothing matches, two labels fit a flow, one label fits flows of two files,
                or a time cannot be read.
        """
        files: dict[str, int] = {}
        owners = np.full(len(self.rows), -1)
        rows = matched = 0
        ways, example = set(), ""
        for file, keys, size in flows:
            self._check_keys(keys, file)
            number = files.setdefault(file, len(files))
            used = np.zeros(len(self.rows), bool)
            matched += int((self.match(keys, size, used) >= 0).sum())
            rows += size
            self._check_owners(owners, used, number, list(files), keys)
            owners[used] = number
            ways.add("id" if self._by_id(keys) else f"addresses, ports and time ({TOLERANCE:g} s)")
            example = example or _example(keys)
        if not matched:
            raise InputError(
                f"none of {rows:,} flows has one of its {len(self.rows):,} labels",
                where=self.where,
                expected="the labels of these flows, "
                f"for example of {example}; the file begins with {_example(self.keys)}",
                mend="Check that flows and labels are of the same capture, and the zone of times",
            )
        return (
            f"{self.where}, joined by {' or '.join(sorted(ways))}: {matched:,} of {rows:,} flows "
            f"have a label, {int((owners < 0).sum()):,} of {len(owners):,} labels have no flow"
        )

    def match(
        self, keys: Mapping[str, Words], size: int, used: NDArray[np.bool_] | None = None
    ) -> NDArray[np.int64]:
        """The entry that each row's label comes from, -1 for none, int64 [size].

        Args:
            keys: of the flows.
            size: number of rows.
            used: bool [entries], set to true for labels that have found a flow.
        """
        found = np.full(size, -1)
        begin = np.full(size, np.nan)
        if "time" in keys and "time" in self.keys:
            begin = times(keys["time"], "the time of a flow")
        groups = self._groups_for(keys)
        for row, key in enumerate(self._names(keys, keys)):
            group = groups.get(key)
            if group is None:
                continue
            best = self._best(group, float(begin[row]), by_id=self._by_id(keys))
            if not best:
                continue
            self._check_one_label(best, key)
            found[row] = best[0]
            if used is not None:
                used[best] = True
        return found

    def _by_id(self, keys: Collection[str]) -> bool:
        return "id" in keys and "id" in self.keys

    def _names(self, columns: Mapping[str, Words], keys: Collection[str]) -> list[str]:
        """What tells each flow or label from others, of the keys that both have."""
        if self._by_id(keys):
            return ids(columns["id"])
        return pairs(columns, with_protocol="protocol" in keys and "protocol" in self.keys)

    def _groups_for(self, keys: Collection[str]) -> dict[str, list[int]]:
        """Entries by what tells them from others."""
        way = "id" if self._by_id(keys) else "protocol" if "protocol" in keys else "ends"
        if way not in self._groups:
            groups: dict[str, list[int]] = {}
            for entry, key in enumerate(self._names(self.keys, keys)):
                if key:
                    groups.setdefault(key, []).append(entry)
            self._groups[way] = groups
        return self._groups[way]

    def _best(self, group: list[int], time: float, *, by_id: bool) -> list[int]:
        """The entries of a group that fit a flow best."""
        codes = self.labels.codes
        if by_id and (np.isnan(time) or all(codes[one] == codes[group[0]] for one in group)):
            return group
        if np.isnan(time):
            return []
        begin, end = self._span
        inside = np.array(group)
        away = np.maximum(0.0, np.maximum(begin[inside] - time, time - end[inside]))
        away[np.isnan(away)] = np.inf
        nearest = away.min()
        fitting: list[int] = inside[away <= nearest + 1e-6].tolist()
        return fitting if nearest <= TOLERANCE else []

    @property
    def _span(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Begin and end of the entries in seconds, float64 [entries]."""
        if self._spans is None:
            begin = end = times(self.keys["time"], self.where)
            if "end" in self.keys:
                told = times(self.keys["end"], self.where)
                end = np.where(np.isnan(told), begin, told)
            self._spans = begin, end
        return self._spans

    def _check_owners(
        self,
        owners: NDArray[np.int64],
        used: NDArray[np.bool_],
        number: int,
        files: Sequence[str],
        keys: Collection[str],
    ) -> None:
        """An id that flows of two files have may mean another flow in each."""
        if not self._by_id(keys):
            return
        named = ids(self.keys["id"]) if (used & (owners >= 0) & (owners != number)).any() else []
        for entry in np.flatnonzero(used & (owners >= 0) & (owners != number)).tolist():
            if len(self._groups_for(keys)[named[entry]]) == 1:
                raise InputError(
                    f"flows of two files have the id {quoted(named[entry], 60)}: of "
                    f"{files[owners[entry]]} and {files[number]}",
                    where=self.where,
                    expected="each flow once, and ids that no two flows share",
                    mend="Give --labels once for each --data, in the same order",
                )

    def _check_keys(self, keys: Collection[str], where: str) -> None:
        if self._by_id(keys) or {*ENDS, "time"} <= set(keys) & set(self.keys):
            return
        here, there = (", ".join(k for k in NAMES if k in one) for one in (keys, self.keys))
        raise InputError(
            f"the labels of {self.where} cannot be joined: flows have {here or 'no keys'}, labels "
            f"have {there}",
            where=where,
            expected="an id in both, or addresses, ports and the time in both",
            mend="Add the columns to the file of labels, or add a label column to the flows",
        )

    def _check_one_label(self, entries: list[int], key: str) -> None:
        codes = self.labels.codes
        for entry in entries:
            if codes[entry] != codes[entries[0]]:
                raise self._two(entries[0], entry, key)

    def _two(self, one: int, other: int, key: str) -> InputError:
        words, codes = self.labels.words, self.labels.codes
        return InputError(
            f"two labels for one flow ({quoted(key, 100)[1:-1]}): "
            f"{quoted(words[codes[one]], 60)} in row {self.rows[one]:,} and "
            f"{quoted(words[codes[other]], 60)} in row {self.rows[other]:,}",
            where=self.where,
            expected="one label for each flow",
            mend="Remove one of the two rows",
        )


@dataclass(frozen=True)
class PairedLabels:
    """Labels in several files, each of the flows in one file or folder.

    Attributes:
        pairs: the file or folder of the flows, and their labels.
    """

    pairs: tuple[tuple[Path, FileLabels], ...]

    def of(self, path: Path) -> FileLabels:
        """The labels of the flows in a file.

        Raises:
            InputError: there are none.
        """
        for place, labels in self.pairs:
            if path == place or place in path.parents:
                return labels
        raise InputError("no labels belong to this file", where=shown_path(path))


def join_of(labels: Sequence[Path], data: Sequence[Path]) -> FileLabels | PairedLabels:
    """The labels of flows: of one file for all flows, or of one for each path of ``data``.

    Raises:
        InputError: a file cannot be read, or there is another number of them.
    """
    if len(labels) == 1:
        return FileLabels.read(labels[0])
    if len(labels) != len(data):
        raise InputError(
            f"there are {len(labels)} files of labels for {len(data)} files or folders of flows",
            expected="one file of labels, or one for each --data in the same order",
            mend="Give --labels once for each --data",
        )
    return PairedLabels(
        tuple((place, FileLabels.read(path)) for place, path in zip(data, labels, strict=True))
    )


def _example(keys: Mapping[str, Words]) -> str:
    first = (f"{key} {quoted(w.words[w.codes[0]], 60)}" for key, w in keys.items() if len(w.codes))
    return ", ".join(first)
