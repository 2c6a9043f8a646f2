"""The columns of a file of labels: the label, and what tells which flow it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.datasets.flow_keys import ENDS
from envs.datasets.labels import is_missing
from envs.datasets.tables.rows import Wanted, Words, is_number
from envs.datasets.tables.sample import Sample, sample
from envs.datasets.tables.source import Stretch, blocks
from envs.datasets.zeek import label_of
from envs.errors import InputError, quoted
from envs.files import shown_path

NAMES = {
    "id": ("uid", "flow_id", "Flow ID", "flowid", "flow"),
    "time": (
        *("ts", "time", "timestamp", "start", "start_time", "StartTime", "flow.start", "Stime"),
        *("FLOW_START_MILLISECONDS", "first_seen", "bidirectional_first_seen_ms"),
    ),
    "end": (
        *("end", "end_time", "EndTime", "stop", "LastTime", "Ltime", "flow.end"),
        *("FLOW_END_MILLISECONDS", "last_seen", "bidirectional_last_seen_ms"),
    ),
    "src_ip": (
        *("src_ip", "Src IP", "Source IP", "srcip", "src", "saddr", "SrcAddr", "id.orig_h"),
        *("IPV4_SRC_ADDR", "IPV6_SRC_ADDR", "source_ip"),
    ),
    "src_port": (
        *("src_port", "Src Port", "Source Port", "sport", "id.orig_p", "L4_SRC_PORT"),
        "source_port",
    ),
    "dst_ip": (
        *("dst_ip", "dest_ip", "Dst IP", "Destination IP", "dstip", "dst", "daddr", "DstAddr"),
        *("id.resp_h", "IPV4_DST_ADDR", "IPV6_DST_ADDR", "destination_ip"),
    ),
    "dst_port": (
        *("dst_port", "dest_port", "Dst Port", "Destination Port", "dport", "dsport"),
        *("id.resp_p", "L4_DST_PORT", "destination_port"),
    ),
    "protocol": ("proto", "protocol", "ip_proto"),
}
"""What the columns of a file of labels may be called."""

LABELS = (
    *("attack_type", "attack_cat", "attack", "class_name", "class", "category"),
    *("label_name", "label", "verdict", "traffic_type"),
)
"""What the column of the labels may be called; of several that hold words the first one counts,
and one that holds numbers alone only if there is no other."""

DETAILS = ("detailed-label", "detailedlabel")
"""What the column beside ``label`` is called in the labelled logs of Zeek."""


_NONE = np.empty(0, np.int32)


def read_columns(path: Path) -> tuple[Words, NDArray[np.int64], dict[str, Words]]:
    """Labels, row numbers and keys of the rows that have a label.

    Raises:
        InputError: the file cannot be read, has no label column, or nothing to find flows by.
    """
    one = sample(path)
    where = shown_path(path)
    found = _keys_of(one)
    if "id" not in found and not {*ENDS, "time"} <= set(found):
        raise _no_keys(one, where)
    positions = _label_positions(one, where)
    wanted = Wanted((), (*positions, *found.values()), ())
    held: list[list[Words]] = []
    rows: list[int] = []
    for block in blocks(Stretch(path), one.dialect, one.names, wanted):
        labels = _label_of(block.texts[: len(positions)])
        held.append([labels, *block.texts[len(positions) :]])
        rows += block.rows()
    labels, *others = [_merged(column) for column in zip(*held, strict=True)] or [
        Words(_NONE, [""])
    ]
    told = np.array([not is_missing(word) for word in labels.words], bool)[labels.codes]
    if not told.any():
        raise InputError(
            "no row has a label",
            where=where,
            expected="labels in the column " + quoted(one.names[positions[0]], 60),
            mend="Fill the column in",
        )
    keys = dict(zip(found, others, strict=True))
    return (
        Words(labels.codes[told], labels.words),
        np.array(rows, np.int64)[told],
        {key: Words(words.codes[told], words.words) for key, words in keys.items()},
    )


def _keys_of(one: Sample) -> dict[str, int]:
    """Position of each key that a file has."""
    found = {}
    for key, names in NAMES.items():
        places = [place for name in names for place in one.places(name)]
        if places:
            found[key] = places[0]
    return found


def _label_positions(one: Sample, where: str) -> tuple[int, ...]:
    details = [place for name in DETAILS for place in one.places(name)]
    if details and one.places("label"):
        return one.places("label")[0], details[0]
    places = [place for name in LABELS for place in one.places(name)]
    if not places:
        shown = ", ".join(quoted(name, 60) for name in one.names[:8]) or "no header"
        raise InputError(
            f"there is no label column, but {shown}",
            where=where,
            expected="a column " + " or ".join(f"'{name}'" for name in LABELS),
            mend="Rename the column that holds the labels to 'label'",
        )
    words = [p for p in places if any(not is_number(row[p]) for row in one.rows)]
    return ((words or places)[0],)


def _label_of(columns: Sequence[Words]) -> Words:
    """The label of each row, of Zeek's two columns or of one."""
    if len(columns) == 1:
        return columns[0]
    label, detail = columns
    pairs, codes = np.unique(
        label.codes.astype(np.int64) * len(detail.words) + detail.codes, return_inverse=True
    )
    parts = (divmod(pair, len(detail.words)) for pair in pairs.tolist())
    words = [label_of((label.words[one], detail.words[other])) for one, other in parts]
    return Words(codes.astype(np.int32), words or [""])


def _no_keys(one: Sample, where: str) -> InputError:
    shown = ", ".join(quoted(name, 60) for name in one.names[:8]) or "no header"
    return InputError(
        f"nothing tells which flows the labels belong to: the columns are {shown}",
        where=where,
        expected="an id of the flow (uid, flow_id), or addresses, ports and the time",
        mend="Add these columns. A file that says what labels mean has the columns label,class",
    )


def _merged(columns: Sequence[Words]) -> Words:
    """One column, put together from its parts in several blocks."""
    places: dict[str, int] = {}
    codes = []
    for column in columns:
        moved = [places.setdefault(word, len(places)) for word in column.words]
        codes.append(np.array(moved, np.int32)[column.codes])
    return Words(np.concatenate([_NONE, *codes]), list(places) or [""])
