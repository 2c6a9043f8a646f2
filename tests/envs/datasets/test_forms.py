"""One table gives the same flows in every form, and damaged ones a message, never a traceback."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.datasets.label_join import FileLabels
from envs.datasets.source import Reading
from envs.datasets.tables.source import TableSource
from envs.datasets.zeek import FORM
from envs.errors import InputError
from tests.envs.datasets.logs import (
    CONN,
    CONNECTIONS,
    FORMS,
    PACKERS,
    batches,
    eve,
    features,
    labelled,
    opened,
    zeek,
)

COUNTS = st.one_of(st.none(), st.integers(0, 2**40))

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "ts": st.floats(0, 2e9).map(lambda time: round(time, 6)),
            "uid": st.text("ABCab012", min_size=1, max_size=6),
            "id.orig_h": st.just("10.0.0.1"),
            "id.orig_p": st.integers(0, 65535),
            "id.resp_h": st.just("10.0.0.2"),
            "id.resp_p": st.integers(0, 65535),
            "proto": st.sampled_from(["tcp", "udp", "icmp"]),
            "service": st.sampled_from([None, "http", "dns"]),
            "duration": st.one_of(st.none(), st.floats(0, 1e6).map(lambda d: round(d, 6))),
            "orig_bytes": COUNTS,
            "resp_bytes": COUNTS,
            "conn_state": st.sampled_from(["SF", "S0"]),
            "local_orig": st.sampled_from([None, True, False]),
            "local_resp": st.none(),
            "missed_bytes": st.integers(0, 9),
            "history": st.sampled_from([None, "ShADadFf", "D", "^dA"]),
            "orig_pkts": st.integers(0, 99),
            "orig_ip_bytes": st.integers(0, 99),
            "resp_pkts": st.integers(0, 99),
            "resp_ip_bytes": st.integers(0, 99),
            "label": st.sampled_from(["Benign", "Malicious", "-"]),
            "detailed-label": st.sampled_from(["C&C", "DDoS"]),
        }
    ).map(lambda row: {name: row[name] for name in (*CONN, "label", "detailed-label")}),
    min_size=1,
    max_size=5,
)


@given(rows=ROWS, packer=st.sampled_from(sorted(PACKERS)), newline=st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=12)
def test_the_form_of_a_table_changes_nothing(
    rows: list[Mapping[str, object]], packer: str, newline: str
) -> None:
    reading = labelled("iot-23")
    found = {}
    with TemporaryDirectory() as folder:
        for form, write in FORMS.items():
            data = write(rows)
            if form != "parquet":
                data = PACKERS[packer](data.replace(b"\n", newline.encode()))
            path = Path(folder, form)
            path.write_bytes(data)
            source = opened(path, reading=reading)
            read = batches(source)
            found[form] = (
                source.schema,
                [batch.features.tolist() for batch in read],
                [batch.actual.tolist() for batch in read],
                [batch.tally.labels for batch in read],
            )

    for form, flows in found.items():
        assert flows == found["csv"], (form, packer)


@pytest.mark.parametrize("part", [1, 100, 333, 10_000])
def test_parts_of_a_log_are_the_whole(tmp_path: Path, part: int) -> None:
    path = tmp_path / "conn.log"
    path.write_text(zeek(CONNECTIONS * 5) + zeek(CONNECTIONS))
    cut = TableSource(FORM, [path], Reading(None), part_bytes=part)

    assert len(cut.parts) == -(-path.stat().st_size // part) or len(cut.parts) == 1
    assert features(cut).tolist() == features(opened(path)).tolist()
    assert len(features(cut)) == 24


EVE = "".join(json.dumps(eve(number)) + "\n" for number in range(4))

LOGS = (
    ("zeek-conn", zeek()),
    ("zeek-conn", zeek([f"{row} Malicious C&C" for row in CONNECTIONS], (*CONN, "label", "d"))),
    ("suricata-flow", EVE),
    ("suricata-flow", f"[{','.join(EVE.splitlines())}]"),
    ("suricata-flow", json.dumps([eve(0), eve(1)], indent=1)),
    (
        "argus",
        "StartTime,Dur,Proto,SrcAddr,Sport,Dir,DstAddr,Dport,State,sTos,dTos,TotPkts,TotBytes,"
        "SrcBytes,Label\n2019/04/04 16:23:00.3,0.02,udp,10.8.0.69,0x12,  <->,8.8.8.8,53,CON,0,0,2,"
        "142,63,flow=From-Normal-V42\n",
    ),
    (
        "netflow",
        "L4_DST_PORT,PROTOCOL,L7_PROTO,IN_BYTES,OUT_BYTES,IN_PKTS,OUT_PKTS,TCP_FLAGS,Label,Attack\n"
        '80,6,7.0,10,20,1,2,27,0,Benign\n80,6,"7.0",10,20,1,2,27,1,DoS\n',
    ),
)

PIECES = (
    *(b"\0", b"\t", b"\n", b"\r", b'"', b",", b"{", b"}", b"[", b"]", b"-", b"#", b"#fields\tts\n"),
    *(b"\xff\xfe", b"\xef\xbb\xbf", b"1e999", b"0x", b"nan", b"9" * 400, b'{"a":', b"\\ud800"),
    *(b"\x1f\x8b", b"PK\x03\x04", b"PAR1", b"BZh", b"\xfd7zXZ\x00", b"#close\n", b";" * 50),
)


def mutated(data: bytes, dice: random.Random) -> bytes:
    for _ in range(dice.randint(1, 4)):
        at, to = dice.randrange(len(data) + 1), dice.randrange(len(data) + 1)
        match dice.randrange(6):
            case 0:
                data = data[:at] + dice.choice(PIECES) + data[at:]
            case 1:
                data = data[: min(at, to)] + data[max(at, to) :]
            case 2:
                data = data[:at]
            case 3:
                data = data[:at] + bytes([dice.randrange(256)]) + data[at + 1 :]
            case 4:
                data = data[:at] + data[min(at, to) : max(at, to)] + data[at:]
            case _:
                lines = data.splitlines(keepends=True)
                dice.shuffle(lines)
                data = b"".join(lines)
        data = data or b" "
    return data


def survives(folder: Path, number: int) -> None:
    dice = random.Random(number)  # noqa: S311 (a test)
    name, text = LOGS[number % len(LOGS)]
    packer = "plain" if number % 3 else dice.choice(sorted(PACKERS))
    data = mutated(PACKERS[packer](text.encode()), dice)
    if number % 5 == 0:
        data = PACKERS["gz"](data)
    path = folder / "log"
    path.write_bytes(data)
    with suppress(InputError):
        read = batches(opened(path, dice.choice([name, None])))
        assert all(np.isfinite(batch.features).all() for batch in read)
    with suppress(InputError):
        FileLabels.read(path)


def test_damaged_logs_are_read_or_refused(tmp_path: Path) -> None:
    for number in range(280):
        survives(tmp_path, number)


@pytest.mark.slow
def test_many_damaged_logs_are_read_or_refused(tmp_path: Path) -> None:
    for number in range(1_000, 3_000):
        survives(tmp_path, number)
