"""Files that nobody should have given: pipes, devices, names and headers that mislead."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from envs import InputError
from envs.datasets.tables.sample import ROWS, sample
from rayapp import settings_input
from tests.envs.datasets.alerts.made import eve, write_lines
from tests.kirl import kirl

TABLE = "secs,up,verdict\n" + "1,2,fine\n2,90,bad\n" * 40
SCHEMA = "name: office\nlabel: verdict\nlabels: {fine: Benign, bad: Scan}\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a table, its schema, a pipe that nobody writes to, and an endless device."""
    (tmp_path / "office.csv").write_text(TABLE)
    (tmp_path / "office.yaml").write_text(SCHEMA)
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "endless.yaml").symlink_to("/dev/zero")
    monkeypatch.chdir(tmp_path)
    return tmp_path


PREPARE = "prepare --out scenario --data office.csv "


@pytest.mark.parametrize("file", ["pipe.yaml", "endless.yaml"])
@pytest.mark.parametrize(
    "command",
    [
        "schema {}",
        PREPARE + "--schema {}",
        PREPARE + "--schema office.yaml --labels {}",
        PREPARE + "--schema office.yaml --catalogue {}",
        "prepare --out scenario --data {}",
        "prepare --out scenario --alerts {} --verdicts office.csv",
        "prepare --out scenario --pcap {} --labels office.csv",
        "verdicts draft --out verdicts.csv --alerts {}",
        "catalogue check {}",
        "catalogue new --out new.yaml --from {}",
    ],
)
def test_pipes_and_devices_are_refused_unread(here: Path, command: str, file: str) -> None:
    done = kirl(*command.format(file).split())
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"kirl: {file}: ")
    assert not {"scenario", "verdicts.csv", "new.yaml"} & {one.name for one in here.iterdir()}


def test_a_pipe_of_settings_is_refused_unread(here: Path) -> None:
    with pytest.raises(InputError, match="pipe or a device"):
        settings_input.merged(here / "pipe.yaml", (), {})


def test_names_of_files_cannot_steer_the_terminal(here: Path) -> None:
    file = here / "of\x1b[31mfice.csv"
    file.write_text(TABLE)
    done = kirl("schema", file, "--out", here / "dra\x1b[2Jft.yaml")
    assert done.returncode == 0
    assert "of\\x1b[31mfice.csv" in done.stderr
    assert "\x1b" not in done.stderr


def test_files_that_spell_their_columns_differently_are_one_table(here: Path) -> None:
    (here / "tables").mkdir()
    (here / "tables" / "1.csv").write_text(TABLE)
    (here / "tables" / "2.csv").write_text(TABLE.replace("secs,up", "Secs,U_p"))
    done = kirl(
        "prepare", "--data", "tables", "--schema", "office.yaml", "--out", "scenario", "--json"
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["source"]["rows_read"] == 160


def test_columns_that_differ_by_signs_alone_are_named_both(here: Path) -> None:
    (here / "office.csv").write_text(TABLE.replace("secs,up", "k1_1,k11"))
    done = kirl(*PREPARE.split(), "--schema", "office.yaml")
    assert done.returncode == 2
    assert "occurs 2 times, as 'k1_1' and as 'k11'" in done.stderr


@pytest.mark.parametrize(
    ("line", "place", "other"),
    [
        ("features: [secs, VERDICT]", "line 4, features[1]", "label"),
        ("categories: [verdict]", "line 4, categories[0]", "label"),
        ("features: [secs, up]\nignore: [up]", "line 4, features[1]", "ignore"),
        ("categories: [up]\nignore: [up]", "line 4, categories[0]", "ignore"),
    ],
)
def test_the_label_and_what_is_ignored_are_no_features(
    here: Path, line: str, place: str, other: str
) -> None:
    (here / "office.yaml").write_text(SCHEMA + line + "\n")
    done = kirl(*PREPARE.split(), "--schema", "office.yaml")
    assert done.returncode == 2
    assert f"office.yaml, {place}: " in done.stderr
    assert f"is named under {other}, too" in done.stderr


def test_records_that_share_no_column_end_the_sample(tmp_path: Path) -> None:
    file = tmp_path / "records.json"
    records = [{f"k{row}.{number}": 1 for number in range(1000)} for row in range(20)]
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    one = sample(file)
    assert len(one.rows) == 3 < min(len(records), ROWS)
    assert len(one.names) == 3000


@pytest.mark.parametrize(
    ("command", "file"),
    [
        ("schema {} --out {} --overwrite", "office.csv"),
        ("verdicts draft --alerts {} --out {} --overwrite", "eve.json"),
        ("flows {} --out {} --overwrite", "flows.parquet"),
    ],
)
def test_no_command_writes_over_what_it_reads(here: Path, command: str, file: str) -> None:
    write_lines(here / "eve.json", [eve(7, 1)])
    (here / "flows.parquet").write_bytes(b"a capture by another name")
    before = (here / file).read_bytes()
    for out in (file, f"./{file}"):
        done = kirl(*command.format(file, out).split())
        assert done.returncode == 2
        assert "is one of the files to read" in done.stderr
        assert (here / file).read_bytes() == before


@pytest.mark.parametrize(
    "command",
    [
        "schema office.csv --out {} --overwrite",
        "verdicts draft --alerts eve.json --out {} --overwrite",
        "flows office.csv --out {} --overwrite",
    ],
)
def test_folders_and_pipes_are_not_replaced_by_a_file(here: Path, command: str) -> None:
    write_lines(here / "eve.json", [eve(7, 1)])
    (here / "folder.parquet").mkdir()
    (here / "folder.parquet" / "precious").write_text("kept")
    os.mkfifo(here / "pipe.parquet")
    for out in ("folder.parquet", "pipe.parquet"):
        done = kirl(*command.format(out).split())
        assert done.returncode == 2
        assert done.stderr.startswith(f"kirl: {out}: ")
    assert (here / "folder.parquet" / "precious").read_text() == "kept"
    assert (here / "pipe.parquet").is_fifo()


def test_a_name_that_is_not_utf_8_is_refused_before_the_work(here: Path) -> None:
    out = os.fsdecode(b"scenario\xff")
    done = kirl("prepare", "--data", "office.csv", "--schema", "office.yaml", "--out", out)
    assert done.returncode == 2
    assert done.stderr.startswith("kirl: scenario\\udcff: the name is not UTF-8. ")
