"""``kirl flows``, and captures given to ``kirl prepare``."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from envs import InputError
from rayapp.__main__ import app
from rayapp.commands.flows import measured

DATAGRAM = b"\x45\0\0\x1c\0\0\0\0\x40\x11\0\0" + bytes((10, 0, 0, 1, 10, 0, 0, 2))
FRAME = b"\2" * 12 + b"\x08\0" + DATAGRAM + struct.pack(">HHHH", 5000, 53, 8, 0)


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """One packet of UDP."""
    path = tmp_path / "one.pcap"
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    path.write_bytes(head + struct.pack("<IIII", 1000, 0, len(FRAME), len(FRAME)) + FRAME)
    return path


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def message(*words: object) -> str:
    """What a command says of bad input."""
    error = run(*words).exception
    assert isinstance(error, InputError)
    return str(error)


def test_flows_are_written_and_told(capture: Path, tmp_path: Path) -> None:
    out = tmp_path / "flows.parquet"
    out.write_text("an older file")

    told = run("flows", capture, "--out", out, "--overwrite", "--json")

    assert told.exit_code == 0
    said = json.loads(told.stdout)
    assert (said["flows"], said["packets"], said["packets_in_flows"]) == (1, 1, 1)
    assert said["captures"] == ["one.pcap"]
    (row,) = pq.read_table(out).to_pylist()
    assert (row["src_ip"], row["dst_port"], row["bidirectional_packets"]) == ("10.0.0.1", 53, 1)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("flows.csv", "a name that ends in .parquet"),
        ("there.parquet", "--overwrite"),
        ("folder.parquet", "is a folder"),
    ],
)
def test_a_place_that_does_not_do_is_refused(
    capture: Path, tmp_path: Path, name: str, what: str
) -> None:
    (tmp_path / "there.parquet").write_text("kept")
    (tmp_path / "folder.parquet").mkdir()

    assert what in message("flows", capture, "--out", tmp_path / name)
    assert (tmp_path / "there.parquet").read_text() == "kept"


def test_measured_flows_are_there_for_the_length_of_a_block(capture: Path) -> None:
    with measured([capture]) as path:
        assert path.name == "one.pcap.parquet"
        assert len(pq.read_table(path)) == 1

    assert not path.parent.exists()


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ((), "nothing to prepare"),
        (("--synthetic", 9), "--pcap and --synthetic are given"),
        (("--data", "here"), "--data and --pcap are given"),
        (("--engine", "ray"), "kirl flows CAPTURE --out flows.parquet"),
    ],
)
def test_prepare_takes_captures_instead_of_tables(
    capture: Path, tmp_path: Path, given: tuple[object, ...], what: str
) -> None:
    captures = ("--pcap", capture) if given else ()

    assert what in message("prepare", *captures, *given, "--out", tmp_path / "scenario")
