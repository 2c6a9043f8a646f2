"""Flows of captures: NFStream counts what is there, however the capture was written."""

from __future__ import annotations

import csv
import gzip
import importlib.metadata
import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from envs.captures import MeterTally, flows_of, metering, write_flows
from envs.datasets import registry
from envs.datasets.nfstream import FORM
from envs.datasets.source import Reading
from envs.errors import InputError
from tests.genuine import TRAFFIC

sys.path.insert(0, str(Path(__file__).parent))
import wire
from wire import (
    ACK,
    FIN,
    PSH,
    SYN,
    Conversation,
    Sent,
    ethernet,
    icmp,
    ipv4,
    ipv6,
    pcap,
    pcapng,
    tcp,
    udp,
    vlan,
)

MS = 1000
BEGIN = 1_700_000_000_000_000
A, B = "10.0.0.1", "10.0.0.2"
A6, B6 = "fd00::1", "fd00::2"


def http() -> Iterator[Sent]:
    """A connection: 3 packets of the client's, 3 of the server's, 10 ms apart."""
    said = [
        (A, SYN, b""),
        (B, SYN | ACK, b""),
        (A, ACK | PSH, b"GET"),
        (B, ACK | PSH, b"x" * 400),
        (A, ACK | FIN, b""),
        (B, ACK, b""),
    ]
    for number, (source, flags, payload) in enumerate(said):
        ports = (40000, 80) if source == A else (80, 40000)
        packet = ipv4(source, B if source == A else A, wire.TCP, tcp(*ports, flags, payload))
        yield Sent(BEGIN + 10 * MS * number, ethernet(packet))


def others() -> Iterator[Sent]:
    """One or two packets of everything else that a meter meets."""
    frames = [
        ethernet(ipv6(A6, B6, wire.UDP, udp(5000, 53, b"question")), wire.IPV6),
        ethernet(ipv6(B6, A6, wire.UDP, udp(53, 5000, b"answer")), wire.IPV6),
        # A destination-options header of 8 bytes before TCP.
        ethernet(
            ipv6(A6, B6, 60, bytes([wire.TCP, 0, 1, 4, 0, 0, 0, 0]) + tcp(5001, 443, SYN)),
            wire.IPV6,
        ),
        ethernet(ipv4(A, B, wire.ICMP, icmp())),
        ethernet(ipv4(B, A, wire.ICMP, icmp(0))),
        ethernet(ipv6(A6, B6, wire.ICMP_6, icmp(128)), wire.IPV6),
        vlan(ipv4(A, B, wire.TCP, tcp(40001, 22, SYN)), 7),
        # The first fragment has the ports, the second one does not.
        ethernet(ipv4(A, B, wire.UDP, udp(6000, 514, b"z" * 40), fragment=0x2000)),
        ethernet(ipv4(A, B, wire.UDP, b"z" * 40, fragment=6)),
        ethernet(b"\0\1\x08\0\6\4\0\1" + b"\0" * 40, wire.ARP),
    ]
    for number, frame in enumerate(frames):
        yield Sent(BEGIN + 100 * MS + number * MS, frame)
    # Two minutes of silence end a flow; the same addresses begin another one.
    for minutes in (0, 3):
        time = BEGIN + 200 * MS + minutes * 60_000 * MS
        yield Sent(time, ethernet(ipv4(A, B, wire.UDP, udp(123, 123, b"time"))))


SENT = [*http(), *others()]

RAW = pcap(SENT)


def rows_of(path: Path, tally: MeterTally | None = None) -> list[dict[str, Any]]:
    return [row for batch in flows_of([path], tally) for row in batch.to_pylist()]


def by_conversation(rows: list[dict[str, Any]]) -> Counter[Conversation]:
    counts: Counter[Conversation] = Counter()
    for row in rows:
        ends = (row["src_ip"], row["src_port"]), (row["dst_ip"], row["dst_port"])
        counts[row["protocol"], frozenset(ends)] += row["bidirectional_packets"]
    return counts


@pytest.fixture(scope="module")
def tally() -> MeterTally:
    return MeterTally()


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory, tally: MeterTally) -> list[dict[str, Any]]:
    path = tmp_path_factory.mktemp("captures") / "plain.pcap"
    path.write_bytes(RAW)
    return rows_of(path, tally)


def test_every_packet_counts_in_its_conversation(
    rows: list[dict[str, Any]], tally: MeterTally
) -> None:
    assert by_conversation(rows) == wire.conversations(RAW)
    assert (tally.flows, tally.packets, tally.metered) == (9, 18, 16)
    assert tally.flows == len(rows)
    assert "2 of 18 packets belong to no flow" in " ".join(tally.notes())


def test_a_connection_has_the_numbers_that_it_had_on_the_wire(rows: list[dict[str, Any]]) -> None:
    (row,) = (one for one in rows if one["dst_port"] == 80)

    assert (row["src_ip"], row["src_port"], row["dst_ip"], row["protocol"]) == (A, 40000, B, 6)
    assert row["bidirectional_first_seen_ms"] == BEGIN // MS
    assert row["bidirectional_duration_ms"] == 50
    assert (row["src2dst_packets"], row["dst2src_packets"]) == (3, 3)
    # Ethernet, IP and TCP take 54 bytes; the client says 3 more, the server 400.
    assert (row["src2dst_bytes"], row["dst2src_bytes"]) == (3 * 54 + 3, 3 * 54 + 400)
    assert row["dst2src_max_ps"] == 454
    assert row["dst2src_mean_ps"] == pytest.approx((3 * 54 + 400) / 3)
    assert (row["bidirectional_mean_piat_ms"], row["src2dst_min_piat_ms"]) == (10, 20)
    assert (row["bidirectional_syn_packets"], row["src2dst_fin_packets"]) == (2, 1)


def test_silence_ends_a_flow_and_vlans_are_told_apart(rows: list[dict[str, Any]]) -> None:
    ntp = [row for row in rows if row["dst_port"] == 123]
    (ssh,) = (row for row in rows if row["dst_port"] == 22)

    assert [row["bidirectional_packets"] for row in ntp] == [1, 1]
    assert ssh["vlan_id"] == 7
    assert [row["id"] for row in rows] == list(range(len(rows)))


def rotated(folder: Path) -> Path:
    """Packed parts of one capture in two forms, whose names are in the wrong order."""
    folder.mkdir()
    (folder / "b").write_bytes(gzip.compress(pcap(SENT[:4], ">", nano=True)))
    (folder / "a").write_bytes(pcapng(SENT[4:], ">", nano=True))
    (folder / "README").write_text("captured on Monday")
    return folder


def shortened(path: Path) -> Path:
    """A capture that kept only the headers of every packet."""
    path.write_bytes(pcap([Sent(one.time, one.frame, kept=82) for one in SENT]))
    return path


@pytest.mark.parametrize("written", [rotated, shortened])
def test_the_same_packets_give_the_same_flows(
    tmp_path: Path, rows: list[dict[str, Any]], written: Callable[[Path], Path]
) -> None:
    assert rows_of(written(tmp_path / "it")) == rows


def test_the_file_holds_the_flows_and_is_read_as_data(
    tmp_path: Path, rows: list[dict[str, Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    capture, out = tmp_path / "it.pcapng", tmp_path / "flows.parquet"
    capture.write_bytes(pcapng(SENT))
    told: list[tuple[int, int]] = []

    write_flows([capture], out, lambda *progress: told.append(progress))

    size = capture.stat().st_size
    assert told[-1] == (size, size)
    assert pq.read_table(out).to_pylist() == rows
    assert b"NFStream 6.6" in pq.read_schema(out).metadata[b"meter"]
    assert capfd.readouterr() == ("", "")
    source = registry.opened([out], Reading(None, keys=True))
    (batch,) = (batch for part in source.parts for batch in part.batches())
    assert source.schema.names == FORM.schema.names
    assert batch.features[:, 0].tolist() == [row["dst_port"] for row in rows]
    assert batch.keys is not None
    assert batch.keys["src_ip"].to_pylist() == [row["src_ip"] for row in rows]
    times = [str(row["bidirectional_first_seen_ms"]) for row in rows]
    assert batch.keys["time"].to_pylist() == times


def test_random_packets_give_flows_and_never_a_crash(tmp_path: Path) -> None:
    source = random.Random(0)  # noqa: S311 (no secret)
    frames = [one.frame for one in SENT]
    sent = []
    for number in range(3000):
        frame = bytearray(source.choice(frames))
        for _ in range(source.randrange(6)):
            frame[source.randrange(12, len(frame))] = source.randrange(256)
        frame += source.randbytes(source.choice((0, 0, 9, 2000)))
        sent.append(Sent(BEGIN + number * MS, bytes(frame), kept=source.choice((None, 20, 60))))
    path = tmp_path / "random.pcap"
    path.write_bytes(pcap(sent))
    tally = MeterTally()

    rows = rows_of(path, tally)

    assert tally.packets == 3000
    assert sum(row["bidirectional_packets"] for row in rows) == tally.metered > 500


def test_nothing_is_left_of_a_capture_that_is_damaged(tmp_path: Path) -> None:
    capture, out = tmp_path / "it.pcap", tmp_path / "flows.parquet"
    capture.write_bytes(RAW + b"\xff" * 40)

    with pytest.raises(InputError, match="damaged after 18 packets"):
        write_flows([capture], out)

    assert list(tmp_path.iterdir()) == [capture]


def test_a_capture_without_ip_is_told(tmp_path: Path) -> None:
    path = tmp_path / "arp.pcap"
    path.write_bytes(pcap([Sent(BEGIN, ethernet(b"\0" * 46, wire.ARP))]))

    with pytest.raises(InputError, match="none of the 1 packets belongs to a flow"):
        rows_of(path)


def stand_in(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    """Has another script run instead of the meter."""
    script = folder / "stand_in.py"
    script.write_text(f"import os, signal, sys\n{text}\n")
    monkeypatch.setattr(metering, "__file__", str(script))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("sys.exit('no engine')", "NFStream failed within the first .* packets .'no engine'"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "was ended by SIGSEGV"),
        (f"os._exit({metering.OUT_OF_MEMORY})", "take 50% of this machine's memory"),
    ],
)
def test_a_meter_that_fails_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, what: str
) -> None:
    path = tmp_path / "it.pcap"
    path.write_bytes(pcap(SENT * 2000))
    stand_in(monkeypatch, tmp_path, text)

    with pytest.raises(InputError, match=what):
        rows_of(path)


def test_the_meter_ends_when_its_flows_are_no_longer_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "it.pcap"
    path.write_bytes(pcap(SENT * 2000))
    text = (
        "import pyarrow as pa\n"
        "batch = pa.record_batch({'bidirectional_packets': [os.getpid()]})\n"
        "with pa.ipc.new_stream(sys.stdout.buffer, batch.schema) as writer:\n"
        "    while True: writer.write_batch(batch)"
    )
    stand_in(monkeypatch, tmp_path, text)

    batches = flows_of([path])
    number = next(batches)["bidirectional_packets"][0].as_py()
    os.kill(number, 0)
    batches.close()  # type: ignore[attr-defined]

    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


def test_a_process_that_holds_too_much_ends_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    monkeypatch.setattr(metering, "MEMORY_SHARE", 1e-6)

    metering._watch_memory()

    assert codes == [metering.OUT_OF_MEMORY]


@pytest.mark.parametrize("version", [None, "6.5.3", "7.0.0"])
def test_without_nfstream_the_message_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None
) -> None:
    def installed(name: str) -> str:
        if version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(importlib.metadata, "version", installed)

    with pytest.raises(InputError, match=r"pip install -c constraints.txt -e '.\[capture\]'"):
        rows_of(tmp_path)


def test_features_are_columns_of_the_meter_and_keys_are_not_among_them() -> None:
    columns = set(metering.SCHEMA.names)

    assert len(FORM.fields) == 60
    assert {one.name for one in FORM.fields} <= columns
    left = columns - {one.name for one in FORM.fields}
    assert {"src_ip", "src_port", "dst_ip", "src_mac", "vlan_id", "id"} <= left
    assert all(name.endswith("_seen_ms") for name in left if "_ms" in name)


@pytest.mark.skipif(not TRAFFIC.is_dir(), reason="the genuine captures are not here")
def test_genuine_captures_have_the_packets_that_another_count_finds() -> None:
    expected: Counter[Conversation] = Counter()
    for path in (TRAFFIC / "8-pcaps").iterdir():
        raw = path.read_bytes()
        expected += wire.conversations(gzip.decompress(raw) if path.suffix == ".gz" else raw)

    assert by_conversation(rows_of(TRAFFIC / "8-pcaps")) == expected


@pytest.mark.skipif(not TRAFFIC.is_dir(), reason="the genuine captures are not here")
def test_a_genuine_capture_has_the_flows_that_nfstream_itself_wrote() -> None:
    with (TRAFFIC / "6-flow-tools" / "made-nfstream-http-espn.csv").open(newline="") as file:
        written = list(csv.DictReader(file))

    rows = rows_of(TRAFFIC / "8-pcaps" / "sanders-http-espn.pcapng.gz")

    told = [{name: str(value) for name, value in row.items()} for row in rows]
    assert told == [{name: one[name] for name in metering.SCHEMA.names} for one in written]
