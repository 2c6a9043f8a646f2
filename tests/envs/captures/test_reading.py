"""Captures of every form give their packets; what is broken or hostile gives one message."""

from __future__ import annotations

import gzip
import io
import struct
import sys
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.captures.content import Content, CutOffError, opened
from envs.captures.feeding import Feeding, record
from envs.captures.files import find_captures
from envs.captures.packets import Packet
from envs.captures.reading import packets_of
from envs.captures.tally import MeterTally
from envs.errors import InputError

sys.path.insert(0, str(Path(__file__).parent))
import wire
from wire import Sent, ethernet, interface, ipv4, pcap, pcapng, section, udp

SECOND = 1_000_000

FRAME = ethernet(ipv4("10.0.0.1", "10.0.0.2", wire.UDP, udp(4000, 53, b"question")))

SENT = [
    Sent(1_700_000_000 * SECOND + 123_456, FRAME),
    Sent(1_700_000_001 * SECOND, FRAME * 20, kept=96),
    Sent(1_700_000_002 * SECOND, FRAME),
]

EXPECTED = [Packet(1, one.time, len(one.frame), one.captured) for one in SENT]


class Kept(io.BytesIO):
    """Takes what goes to a meter, and keeps it when it is closed."""

    written = b""

    def close(self) -> None:
        self.written = self.written or self.getvalue()
        super().close()


def read(raw: bytes) -> list[Packet]:
    return list(packets_of(Content(io.BytesIO(raw), "it.pcap")))


def said(raw: bytes) -> str:
    with pytest.raises(InputError) as told:
        read(raw)
    return str(told.value)


def fed(feeding: Feeding) -> list[Packet]:
    meter = Kept()
    feeding.feed(meter, threading.Event())
    return read(meter.written)


def numbered(value: object) -> str | None:
    """Names a parameter of bytes by its length; pytest names the others."""
    return f"{len(value)} bytes" if isinstance(value, bytes) else None


@pytest.mark.parametrize("make", [pcap, pcapng])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("nano", [False, True])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_every_form_gives_the_same_packets(
    make: Callable[..., bytes], order: str, nano: bool, pack: Callable[[bytes], bytes]
) -> None:
    assert read(pack(make(SENT, order, nano=nano))) == EXPECTED


def test_sections_of_different_byte_order_and_older_blocks_are_read() -> None:
    old = struct.pack(">HHIIII", 0, 0, 0, 5 * SECOND, 4, 4) + b"old!"
    simple = struct.pack(">I", 9) + b"simple..."
    raw = (
        pcapng(SENT[:1])
        + section(">")
        + interface(">", kept=6)
        + wire.block(">", 2, old)
        + wire.block(">", 3, simple)
    )

    assert read(raw) == [
        EXPECTED[0],
        Packet(1, 5 * SECOND, 4, b"old!"),
        Packet(1, 5 * SECOND, 9, b"simple"),
    ]


def test_times_of_binary_resolution_and_with_an_offset() -> None:
    options = struct.pack("<HHBxxx", 9, 1, 0x80 | 10) + struct.pack("<HHq", 14, 8, 1000)
    described = wire.block("<", 1, struct.pack("<HHI", 1, 0, 0) + options)
    packet = wire.block("<", 6, struct.pack("<IIIII", 0, 0, 1536, 1, 1) + b"x")

    assert read(section("<") + described + packet)[0].time == 1001 * SECOND + SECOND // 2


@pytest.mark.parametrize("make", [pcap, pcapng])
def test_a_capture_that_ends_amid_a_packet_gives_those_before(
    make: Callable[..., bytes],
) -> None:
    whole = make(SENT)
    for raw in (whole[:-30], gzip.compress(whole + bytes(range(256)) * 400)[:-300]):
        packets = packets_of(Content(io.BytesIO(raw), "it.pcap"))
        assert [next(packets), next(packets)] == EXPECTED[:2]
        with pytest.raises((CutOffError, InputError)):
            list(packets)


@pytest.mark.parametrize(
    ("raw", "what"),
    ids=numbered,
    argvalues=[
        (b"", "this file is empty"),
        (b"\xd4\xc3", "not a packet capture"),
        (b"time,label\n1,2\n", "not a packet capture"),
        (pcap([])[:20], "ends within its header"),
        (pcapng([])[:16], "ends within its header"),
        (pcap([], link=147), "packets of link type 147"),
        (pcapng(SENT, link=147), "packets of link type 147"),
        (b"\x28\xb5\x2f\xfd" + b"\0" * 40, "zstd file"),
        (b"snoop\0\0\0", "editcap -F pcapng"),
        (b"\xd4\xc3\xb2\xa1\x09\0" + b"\0" * 18, "version 9, not 2"),
        (
            pcap(SENT) + struct.pack("<IIII", 0, 0, 2**32 - 1, 60),
            "after 3 packets: the next one claims 4,294,967,295 bytes",
        ),
        (pcapng(SENT) + struct.pack("<II", 6, 2**32 - 4), "next block claims 4,294,967,292 bytes"),
        (pcapng(SENT) + struct.pack("<II", 6, 8), "the next block claims 8 bytes"),
        (section("<") + wire.block("<", 6, b"\0" * 20), "of interface 0, which is not described"),
        (pcapng([])[:-4] + b"abcd", "two lengths differ"),
        (section("<") + wire.block("<", 1, b"")[:12], "too short"),
        (section("<")[:8] + b"\0" * 40, "byte order of a section"),
        (gzip.compress(pcap(SENT))[:-8] + b"\0" * 8, "compressed data are damaged"),
    ],
)
def test_what_is_no_sound_capture_is_told(raw: bytes, what: str) -> None:
    assert what in said(raw)


@given(
    st.sampled_from([pcap(SENT), pcapng(SENT), pcapng(SENT, ">", nano=True)]),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=8),
    st.integers(0, 600),
)
def test_mutated_captures_give_packets_or_one_message(
    raw: bytes, changes: list[tuple[int, int]], left_out: int
) -> None:
    mutated = bytearray(raw)
    for place, value in changes:
        mutated[place % len(mutated)] = value
    try:
        for packet in read(bytes(mutated[: len(mutated) - left_out])):
            assert len(packet.content) <= min(packet.length, 262_144)
            if 0 <= packet.time < 2**32 * SECOND:
                assert len(record(packet)) <= 16 + 65_535
    except (InputError, CutOffError):
        return


def test_linux_cooked_v2_becomes_what_nfstream_reads() -> None:
    datagram = FRAME[14:]
    cooked = struct.pack(">HHIHBB8s", wire.IPV4, 0, 3, 1, 4, 6, b"\2\0\0\0\0\1\0\0") + datagram
    first = struct.pack(">HHH8sH", 4, 1, 6, b"\2\0\0\0\0\1\0\0", wire.IPV4) + datagram

    assert record(Packet(276, SECOND, len(cooked), cooked))[16:] == first


def test_what_was_not_captured_is_filled_up_to_the_size_on_the_wire() -> None:
    written = record(Packet(1, SECOND, 1000, b"abc"))

    assert struct.unpack("<IIII", written[:16]) == (1, 0, 1000, 1000)
    assert written[16:] == b"abc" + b"\0" * 997
    assert len(record(Packet(1, 0, 2**32 - 1, b"abc"))) == 16 + 65_535


def test_captures_that_follow_each_other_go_to_one_meter(tmp_path: Path) -> None:
    (tmp_path / "b.pcap").write_bytes(pcap(SENT[:1]))
    (tmp_path / "a.pcap0").write_bytes(pcapng(SENT[1:]))
    overlapping = Sent(SENT[1].time + 1, FRAME)
    (tmp_path / "again.pcap").write_bytes(pcap([overlapping]))
    (tmp_path / "cooked.pcap").write_bytes(pcap([Sent(2 * 10**15, FRAME)], link=113))
    tally, told = MeterTally(), list[tuple[int, int]]()
    captures = find_captures([tmp_path], tally)
    feeding = Feeding(captures, tally, lambda *progress: told.append(progress))

    sessions = []
    while feeding.waiting:
        sessions.append([packet.time for packet in fed(feeding)])

    assert sessions == [[one.time for one in SENT], [overlapping.time], [2 * 10**15]]
    assert tally.files == ["b.pcap", "a.pcap0", "again.pcap", "cooked.pcap"]
    size = sum(one.size for one in captures)
    assert told[-1] == (size, size)


def test_files_are_told_by_content_and_read_once(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "capture.txt").write_bytes(gzip.compress(pcap(SENT)))
    (inner / "notes.pcap").write_text("no capture")
    (inner / ".hidden.pcap").write_bytes(pcap(SENT))
    (inner / "nothing.pcap").write_bytes(pcap([]))
    (inner / "cut.pcap").write_bytes(pcap(SENT)[:30])
    (tmp_path / "link.pcap").symlink_to(inner / "capture.txt")
    tally = MeterTally()

    found = find_captures([inner, inner / "capture.txt", tmp_path / "link.pcap"], tally)

    assert [one.path.name for one in found] == ["capture.txt"]
    assert (tally.unused, tally.empty, tally.cut_off) == (
        ["notes.pcap"],
        ["nothing.pcap"],
        ["cut.pcap"],
    )
    notes = " ".join(tally.notes())
    for name in ("notes.pcap", "nothing.pcap", "cut.pcap"):
        assert name in notes


@pytest.mark.parametrize(
    ("name", "raw", "what"),
    ids=numbered,
    argvalues=[
        ("absent", None, "there is no such file or folder"),
        ("empty.pcap", pcap([]), "there is no packet in this capture"),
        ("table.csv", b"a,b\n", "not a packet capture"),
    ],
)
def test_what_holds_no_packet_is_refused(
    tmp_path: Path, name: str, raw: bytes | None, what: str
) -> None:
    path = tmp_path / name
    if raw is not None:
        path.write_bytes(raw)

    with pytest.raises(InputError, match=what):
        find_captures([path], MeterTally())


def test_a_folder_without_a_capture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no capture in this folder"):
        find_captures([tmp_path], MeterTally())


def test_late_and_cut_packets_are_counted_and_told(tmp_path: Path) -> None:
    path = tmp_path / "it.pcap"
    late = [Sent(9 * SECOND, FRAME), Sent(SECOND, FRAME, kept=40), Sent(9 * SECOND - 10, FRAME)]
    path.write_bytes(pcap(late))
    tally = MeterTally()

    fed(Feeding(find_captures([path], tally), tally, None))

    assert (tally.packets, tally.late, tally.cut, tally.shortest) == (3, 1, 1, 40)
    notes = " ".join(tally.notes())
    assert "reordercap" in notes
    assert "40 bytes can be too few" in notes


@pytest.mark.parametrize(
    ("raw", "what"),
    ids=numbered,
    argvalues=[
        (
            section("<")
            + interface("<")
            + interface("<", 101)
            + b"".join(
                wire.block("<", 6, struct.pack("<IIIII", number, 0, 9, 4, 4) + b"abcd")
                for number in (0, 1)
            ),
            "several link types",
        ),
        (pcapng([SENT[0], Sent(2**60, FRAME)]), "not between 1970 and 2106"),
    ],
)
def test_what_no_meter_can_take_is_told(tmp_path: Path, raw: bytes, what: str) -> None:
    path = tmp_path / "it.pcapng"
    path.write_bytes(raw)
    tally = MeterTally()

    with pytest.raises(InputError, match=what):
        fed(Feeding(find_captures([path], tally), tally, None))


def test_a_small_file_that_unpacks_to_a_huge_one_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pcap.gz"
    with gzip.open(path, "wb", 1) as file:
        file.write(pcap([]) + struct.pack("<IIII", 1, 0, 250_000, 250_000))
        for _ in range(64):
            file.write(b"\0" * 2**20)

    tracemalloc.start()
    with opened(path) as content:
        packets = packets_of(content)
        for _ in range(1000):
            next(packets)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most < 4 * 2**20
