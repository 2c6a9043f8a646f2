"""Small hand-made logs of sensors, and ways to write and read them, for several test files."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from envs.catalogue import Catalogue
from envs.datasets import registry
from envs.datasets.labels import Labelling
from envs.datasets.source import FlowBatch, FlowSource, Reading, Tally

CONN = (
    *("ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "service"),
    *("duration", "orig_bytes", "resp_bytes", "conn_state", "local_orig", "local_resp"),
    *("missed_bytes", "history", "orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes"),
)

CONNECTIONS = (
    "1545403816.962094 C1 192.168.1.195 41040 185.244.25.235 80 tcp http 3.139211 12 340 SF - - 0 "
    "ShADadFf 6 300 5 600",
    "1545403817.1 C2 192.168.1.195 5353 224.0.0.251 5353 udp dns - - - S0 T F 0 D 1 76 0 0",
    "1545403818.2 C3 192.168.1.195 8 10.0.0.1 0 icmp - - - - OTH T T 0 - 1 84 0 0",
    "1545403819.3 C4 10.0.0.9 50000 192.168.1.195 23 tcp - 0.5 0 0 REJ F T 0 SrR^ 2 100 1 40",
)
"""Rows of a conn.log, cells parted by spaces."""


def zeek(
    rows: Sequence[str] = CONNECTIONS,
    names: Sequence[str] = CONN,
    close: str = "#close\t2019-03-15-14-50-50\n",
) -> str:
    """A log as Zeek writes it."""
    types = "\t".join("string" for _ in names)
    head = (
        "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n"
        "#open\t2019-03-15-14-50-49\n#fields\t" + "\t".join(names) + f"\n#types\t{types}\n"
    )
    return head + "".join("\t".join(row.split(" ")) + "\n" for row in rows) + close


def eve(number: int, **more: object) -> dict[str, object]:
    """A flow record of Suricata."""
    record: dict[str, object] = {
        "timestamp": f"2023-02-28T11:34:{number % 60:02}.133169+0000",
        "flow_id": 4625254721366 + number,
        "event_type": "flow",
        "src_ip": "43.153.194.204",
        "src_port": 54556 + number,
        "dest_ip": "193.200.130.243",
        "dest_port": 22,
        "proto": "TCP",
        "app_proto": "ssh",
        "flow": {
            "pkts_toserver": 11,
            "pkts_toclient": 7,
            "bytes_toserver": 1932,
            "bytes_toclient": 2319,
            "start": f"2023-02-28T11:34:{number % 60:02}.010070+0000",
            "end": f"2023-02-28T11:34:{number % 60:02}.304590+0000",
            "age": 3,
            "state": "closed",
            "reason": "shutdown",
            "alerted": True,
        },
        "tcp": {"tcp_flags_ts": "1a", "tcp_flags_tc": "13", "syn": True, "state": "closed"},
    }
    return record | more


def _zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.txt", data)
    return buffer.getvalue()


PACKERS: Mapping[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zip": _zipped,
    "utf-16": lambda data: data.decode().encode("utf-16"),
}


Row = Mapping[str, object]


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return {True: "T", False: "F"}[value] if isinstance(value, bool) else str(value)


def _separated(rows: Sequence[Row], separator: str) -> bytes:
    lines = [separator.join(rows[0])]
    lines += [separator.join("" if v is None else _cell(v) for v in row.values()) for row in rows]
    return "".join(f"{line}\n" for line in lines).encode()


def _lines(rows: Sequence[Row]) -> list[str]:
    return [json.dumps({k: v for k, v in row.items() if v is not None}) for row in rows]


def _parquet(rows: Sequence[Row]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), sink)
    return sink.getvalue()


FORMS: Mapping[str, Callable[[Sequence[Row]], bytes]] = {
    "csv": lambda rows: _separated(rows, ","),
    "tsv": lambda rows: _separated(rows, "\t"),
    "semicolons": lambda rows: _separated(rows, ";"),
    "zeek": lambda rows: zeek(
        [" ".join(map(_cell, row.values())) for row in rows], tuple(rows[0])
    ).encode(),
    "json lines": lambda rows: "".join(f"{line}\n" for line in _lines(rows)).encode(),
    "json array": lambda rows: f"[{','.join(_lines(rows))}]".encode(),
    "json indented": lambda rows: json.dumps([dict(row) for row in rows], indent=1).encode(),
    "parquet": _parquet,
}
"""The same table in several forms."""


def opened(path: Path, name: str | None = None, reading: Reading | None = None) -> FlowSource:
    """The source of a file's flows, by default without labels."""
    return registry.opened([path], reading or Reading(None), name)


def labelled(name: str, **more: str) -> Reading:
    """How to read flows with the labels of a shipped catalogue, and what others mean."""
    return Reading(Labelling(Catalogue.named(name), more))


def batches(source: FlowSource) -> list[FlowBatch]:
    """All flows of a source."""
    return [batch for part in source.parts for batch in part.batches()]


def features(source: FlowSource) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """The features of all flows, float32 [n, features]."""
    return np.concatenate([batch.features for batch in batches(source)])


def tallied(source: FlowSource) -> Tally:
    """What became of all rows."""
    tally = Tally()
    for batch in batches(source):
        tally.add(batch.tally)
    return tally


def column(source: FlowSource, name: str) -> list[float]:
    """One feature of all flows."""
    values: list[float] = features(source)[:, source.schema.names.index(name)].tolist()
    return values


def words(source: FlowSource, name: str) -> list[str | None]:
    """One feature of words of all flows, ``None`` for a word that is not known."""
    categories = source.schema.columns[source.schema.names.index(name)].categories or ()
    return [categories[int(code)] if code >= 0 else None for code in column(source, name)]
