"""From a block of cells to sound flows, with an account of all rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from envs.datasets.labels import LEFT_OUT as LEFT_OUT_LABEL
from envs.datasets.labels import NO_LABEL, UNKNOWN
from envs.datasets.source import (
    EMPTY,
    HEADER,
    LEFT_OUT,
    NON_FINITE,
    UNLABELLED,
    FlowBatch,
    LabelJoin,
    Reading,
    Tally,
)
from envs.datasets.tables.form import TableFormat
from envs.datasets.tables.layout import Feature, Layout
from envs.datasets.tables.rows import Block, Words, to_float32, truncated, word_in
from envs.errors import InputError, quoted

_UNKNOWN_WORD = -1.0
"""Stands for a word that the scenario does not know."""


_LABELS = 1_000
"""Words of one block that mean no class and are taken for labels."""


class Cleaner:
    """Turns the blocks of one file into flows.

    Args:
        form: of the table.
        layout: of the file.
        reading: how it is read.
        where: the file as its owner gave it, for messages.
        name: of the file, as the keys of flows tell it.
        join: labels that stand in a file of their own.
    """

    def __init__(
        self,
        form: TableFormat,
        layout: Layout,
        reading: Reading,
        where: str,
        name: str,
        join: LabelJoin | None = None,
    ) -> None:
        self._form, self._layout, self._reading = form, layout, reading
        self._where, self._name, self._join = where, name, join
        self._told: set[str] = set()

    def clean(self, block: Block) -> FlowBatch:
        """The sound rows.

        Raises:
            InputError: the file ends in the middle of a row.
        """
        features, empty = self._features(block)
        actual, spelled = self._actual(block)
        if block.cut_off and block.size:
            self._check_last(int(actual[-1]), bool(empty[-1]), block)
        tally = Tally(block.size + block.blank + block.headers)
        nothing = empty & (actual == NO_LABEL)
        keep, dropped = ~nothing, Counter({EMPTY: int(nothing.sum()) + block.blank})
        dropped[HEADER] = block.headers
        if self._reading.labelling is not None:
            self._count_attempted(tally, keep, spelled)
            for code, reason in ((NO_LABEL, UNLABELLED), (LEFT_OUT_LABEL, LEFT_OUT)):
                here = keep & (actual == code)
                dropped[reason] = int(here.sum())
                keep &= ~here
            self._count_unknown(tally, keep & (actual == UNKNOWN), spelled, block)
            keep &= actual != UNKNOWN
        finite = np.asarray(np.isfinite(features).all(axis=1))
        refused = keep & ~finite
        dropped[NON_FINITE] = int(refused.sum())
        keep &= finite
        tally.dropped = dropped
        if self._reading.labelling is not None:
            tally.labels = _counted(spelled, keep)
        whole = bool(keep.all())
        return FlowBatch(
            features if whole else features[keep],
            np.minimum(actual if whole else actual[keep], 127).astype(np.int8),
            tally,
            block.consumed,
            self._keys(block, keep) if self._reading.keys else None,
            self._refused(block, refused, features) if self._reading.keys else None,
        )

    @cached_property
    def _words(self) -> dict[str, Sequence[int]]:
        """Places among a block's words: of features, labels and keys."""
        layout = self._layout
        features = sum(1 for feature in layout.features if feature.text)
        labels = sum(1 for position in layout.labels if position >= 0)
        return {
            "features": range(features),
            "labels": range(features, features + labels),
            "keys": range(features + labels, features + labels + len(layout.keys)),
        }

    def _features(self, block: Block) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Features float32 [n, features], and which rows hold nothing."""
        layout = self._layout
        features = np.empty((block.size, len(layout.features)), np.float32)
        empty = np.ones(block.size, bool)
        numbers = iter(block.numbers)
        words = iter(self._words["features"])
        for place, feature in enumerate(layout.features):
            if feature.text:
                column = block.texts[next(words)]
                cells = [word_in(word, layout.missing_words) for word in column.words]
                empty &= np.array([not cell for cell in cells], bool)[column.codes]
                number = _numbers_of(cells, feature)[column.codes]
            else:
                number = next(numbers)
                empty &= np.isnan(number)
            features[:, place] = to_float32(_mended(number, feature))
        return features, empty

    def _actual(self, block: Block) -> tuple[NDArray[np.int16], Words]:
        """Class index or code of each row, int16 [n], and the labels as they are spelled."""
        labelling = self._reading.labelling
        if labelling is None:
            nothing = Words(np.zeros(block.size, np.int32), [""])
            return np.full(block.size, NO_LABEL, np.int16), nothing
        if self._join is not None:
            texts = self._join.labels_for(self._key_words(block), block.size)
        else:
            texts = self._label_words(block)
        no = {word.casefold() for word in self._form.unlabelled}
        resolved = [
            (NO_LABEL, "") if text.strip().casefold() in no else labelling.resolve(text)
            for text in texts.words
        ]
        classes = np.array([number for number, _ in resolved], np.int16)
        spelled = Words(texts.codes, [name for _, name in resolved])
        return classes[texts.codes], spelled

    def _count_attempted(self, tally: Tally, kept: NDArray[np.bool_], spelled: Words) -> None:
        labelling = self._reading.labelling
        if labelling is not None:
            tried = [labelling.is_attempted(word) for word in spelled.words]
            if any(tried):
                tally.attempted = int(np.array(tried)[spelled.codes][kept].sum())

    def _label_words(self, block: Block) -> Words:
        """The label of each row, made of all label columns."""
        positions = self._layout.labels
        columns = [block.texts[place] for place in self._words["labels"]]
        if len(positions) == 1:
            only = columns[0]
            return Words(only.codes, [self._form.label_of((word,)) for word in only.words])
        code = np.zeros(block.size, np.int64)
        for column in columns:
            code = code * max(1, len(column.words)) + column.codes
        distinct, codes = np.unique(code, return_inverse=True)
        texts = []
        for one in distinct.tolist():
            parts, left = [], one
            for column in reversed(columns):
                left, place = divmod(left, max(1, len(column.words)))
                parts.append(column.words[place])
            there = iter(reversed(parts))
            cells = tuple(next(there) if position >= 0 else "" for position in positions)
            texts.append(self._form.label_of(cells))
        return Words(codes.astype(np.int32), texts or [""])

    def _key_words(self, block: Block) -> dict[str, Words]:
        places = zip(self._layout.keys, self._words["keys"], strict=True)
        return {key: block.texts[place] for key, place in places}

    def _keys(self, block: Block, keep: NDArray[np.bool_]) -> pa.Table:
        rows = np.asarray(block.rows(), np.int64)[keep]
        zeros = pa.array(np.zeros(len(rows), np.int32))
        columns = {
            "file": pa.DictionaryArray.from_arrays(zeros, pa.array([self._name])),
            "row": pa.array(rows),
        }
        for key, words in self._key_words(block).items():
            columns[key] = pa.DictionaryArray.from_arrays(
                pa.array(words.codes[keep]), _sound_texts(words.words)
            )
        return pa.table(columns)

    def _refused(
        self, block: Block, rows: NDArray[np.bool_], features: NDArray[np.float32]
    ) -> pa.Table | None:
        """Keys of the rows that are refused for a feature, and which one it is."""
        if not rows.any():
            return None
        first = np.isfinite(features[rows]).argmin(axis=1)
        why = [f"{quoted(name)} is missing or infinite" for name in self._layout.names]
        reasons = pa.DictionaryArray.from_arrays(pa.array(first.astype(np.int32)), pa.array(why))
        return self._keys(block, rows).append_column("why", reasons)

    def _check_last(self, actual: int, empty: bool, block: Block) -> None:
        if self._reading.labelling is None or empty or actual not in (NO_LABEL, UNKNOWN):
            return
        if not self._layout.labels:
            return
        fault = InputError("its label is not whole", expected="a label that the catalogue knows")
        raise truncated(fault, f"{self._where}, row {block.rows()[block.size - 1]}")

    def _count_unknown(
        self, tally: Tally, unknown: NDArray[np.bool_], spelled: Words, block: Block
    ) -> None:
        if not unknown.any():
            return
        tally.unknown = _counted(spelled, unknown)
        if len(tally.unknown) > _LABELS:
            some = ", ".join(quoted(label) for label in list(tally.unknown)[:3])
            raise InputError(
                f"the label column holds more than {_LABELS:,} words that mean no class, such as "
                f"{some}",
                where=self._where,
                expected="a few labels, each of which stands in many rows",
                mend="Check that it is the column of labels and not one of identifiers or numbers",
            )
        if self._told.issuperset(tally.unknown):
            # Blocks come in order, and counting lines takes a while.
            return
        self._told |= set(tally.unknown)
        codes, places = np.unique(spelled.codes[unknown], return_index=True)
        rows, at = block.rows(), np.flatnonzero(unknown)[places]
        for code, place in zip(codes.tolist(), at.tolist(), strict=True):
            found = self._where, int(rows[place])
            label = spelled.words[code]
            tally.first[label] = min(tally.first.get(label, found), found)


def _mended(number: NDArray[np.float64], feature: Feature) -> NDArray[np.float64]:
    """A column in the feature's unit, with what missing cells stand for."""
    if feature.factor != 1.0:
        number = number * feature.factor
    if feature.missing is None:
        return number
    return np.where(np.isnan(number), feature.missing, number)


def _numbers_of(cells: list[str], feature: Feature) -> NDArray[np.float64]:
    """The number that stands for each word."""
    if feature.value_of is not None:
        return np.array([feature.value_of(c) if c else np.nan for c in cells], np.float64)
    codes = feature.codes or {}
    return np.array([codes.get(cell, _UNKNOWN_WORD) for cell in cells], np.float64)


def _sound_texts(words: list[str]) -> pa.Array:
    try:
        return pa.array(words, pa.string())
    except UnicodeEncodeError:
        # JSON can spell out halves of characters, which no text may hold.
        return pa.array([word.encode("utf-8", "replace").decode() for word in words], pa.string())


def _counted(words: Words, rows: NDArray[np.bool_]) -> Counter[str]:
    found: Counter[str] = Counter()
    for word, count in zip(words.words, words.counts(rows), strict=True):
        if count:
            found[word] += count
    return found
