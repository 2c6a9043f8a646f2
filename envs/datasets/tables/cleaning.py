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
    LEFT_OUT,
    NON_FINITE,
    UNLABELLED,
    FlowBatch,
    Reading,
    Tally,
)
from envs.datasets.tables.form import TableFormat
from envs.datasets.tables.layout import Layout
from envs.datasets.tables.rows import Block, Words, to_float32, truncated
from envs.errors import InputError

_NOT_THERE = -1.0
"""A word that the scenario does not know, and a feature that a record leaves out."""


class Cleaner:
    """Turns the blocks of one file into flows.

    Args:
        form: of the table.
        layout: of the file.
        reading: how it is read.
        where: the file, for messages.
        name: of the file, as the keys of flows tell it.
    """

    def __init__(
        self, form: TableFormat, layout: Layout, reading: Reading, where: str, name: str
    ) -> None:
        self._form, self._layout, self._reading = form, layout, reading
        self._where, self._name = where, name

    def clean(self, block: Block) -> FlowBatch:
        """The sound rows.

        Raises:
            InputError: the file ends in the middle of a row.
        """
        features, empty = self._features(block)
        actual, spelled = self._actual(block)
        if block.cut_off and block.size:
            self._check_last(int(actual[-1]), bool(empty[-1]), block)
        tally = Tally(block.size + block.blank)
        nothing = empty & (actual == NO_LABEL)
        keep, dropped = ~nothing, Counter({EMPTY: int(nothing.sum()) + block.blank})
        if self._reading.labelling is not None:
            for code, reason in ((NO_LABEL, UNLABELLED), (LEFT_OUT_LABEL, LEFT_OUT)):
                here = keep & (actual == code)
                dropped[reason] = int(here.sum())
                keep &= ~here
            self._count_unknown(tally, keep & (actual == UNKNOWN), spelled)
            keep &= actual != UNKNOWN
        finite = np.asarray(np.isfinite(features).all(axis=1))
        dropped[NON_FINITE] = int((keep & ~finite).sum())
        keep &= finite
        tally.dropped = dropped
        tally.labels = _counted(spelled, keep)
        whole = bool(keep.all())
        return FlowBatch(
            features if whole else features[keep],
            np.minimum(actual if whole else actual[keep], 127).astype(np.int8),
            tally,
            block.consumed,
            self._keys(block, keep) if self._reading.keys else None,
        )

    @cached_property
    def _words(self) -> dict[str, Sequence[int]]:
        """Places among a block's words: of categories, labels and keys."""
        layout = self._layout
        categories = sum(1 for f in layout.features if f.codes is not None and f.position >= 0)
        labels = sum(1 for position in layout.labels if position >= 0)
        return {
            "categories": range(categories),
            "labels": range(categories, categories + labels),
            "keys": range(categories + labels, categories + labels + len(layout.keys)),
        }

    def _features(self, block: Block) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Features float32 [n, features], and which rows hold nothing."""
        layout = self._layout
        features = np.empty((block.size, len(layout.features)), np.float32)
        empty = np.ones(block.size, bool)
        numbers = iter(block.numbers)
        words = iter(self._words["categories"])
        for place, feature in enumerate(layout.features):
            if feature.position < 0:
                features[:, place] = _NOT_THERE if feature.missing is None else feature.missing
            elif feature.codes is not None:
                column = block.texts[next(words)]
                features[:, place] = _coded(column, feature.codes)
                empty &= np.array([not word.strip() for word in column.words])[column.codes]
            else:
                number = next(numbers)
                gone = np.isnan(number)
                empty &= gone
                if feature.factor != 1.0:
                    number = number * feature.factor
                if feature.missing is not None:
                    number = np.where(gone, feature.missing, number)
                features[:, place] = to_float32(number)
        return features, empty

    def _actual(self, block: Block) -> tuple[NDArray[np.int16], Words]:
        """Class index or code of each row, int16 [n], and the labels as they are spelled."""
        labelling = self._reading.labelling
        if labelling is None:
            nothing = Words(np.zeros(block.size, np.int32), [""])
            return np.full(block.size, NO_LABEL, np.int16), nothing
        if self._reading.join is not None:
            texts = self._reading.join.labels(self._key_words(block), block.size)
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

    def _label_words(self, block: Block) -> Words:
        """The label of each row, made of all label columns."""
        positions = self._layout.labels
        columns = [block.texts[place] for place in self._words["labels"]]
        if len(positions) == 1:
            return columns[0]
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
                pa.array(words.codes[keep]), pa.array(words.words, pa.string())
            )
        return pa.table(columns)

    def _check_last(self, actual: int, empty: bool, block: Block) -> None:
        if self._reading.labelling is None or empty or actual not in (NO_LABEL, UNKNOWN):
            return
        if not self._layout.labels:
            return
        fault = InputError("its label is not whole", expected="a label that the catalogue knows")
        raise truncated(fault, f"{self._where}, row {block.rows()[block.size - 1]}")

    @staticmethod
    def _count_unknown(tally: Tally, unknown: NDArray[np.bool_], spelled: Words) -> None:
        if unknown.any():
            tally.unknown = _counted(spelled, unknown)


def _coded(words: Words, codes: dict[str, int]) -> NDArray[np.float32]:
    by_word = [codes.get(word.strip(), _NOT_THERE) for word in words.words]
    found: NDArray[np.float32] = np.array(by_word, np.float32)[words.codes]
    return found


def _counted(words: Words, rows: NDArray[np.bool_]) -> Counter[str]:
    found: Counter[str] = Counter()
    for word, count in zip(words.words, words.counts(rows), strict=True):
        if count:
            found[word] += count
    return found
