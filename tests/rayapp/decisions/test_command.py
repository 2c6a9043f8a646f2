"""``kirl decide``: formats, files that are in the way, pipes, and data of another kind."""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from envs import Flows, InputError, Scenario
from envs.datasets import registry
from envs.datasets.tables.form import Field, TableFormat
from envs.datasets.tables.source import table_data_set
from rayapp.__main__ import app
from rayapp.commands import decide as command
from rayapp.runs.folder import RunFolder

if TYPE_CHECKING:
    from conftest import MakeTable


@pytest.fixture
def data(make_table: MakeTable, tmp_path: Path) -> Path:
    return make_table(8).csv(tmp_path / "flows.csv")


def invoke(run: RunFolder, *options: object) -> Any:  # noqa: ANN401 (click's result)
    return CliRunner().invoke(app, ["decide", "--run", str(run.path), *map(str, options)])


def test_lines_of_json_go_to_standard_output_alone(infused: RunFolder, data: Path) -> None:
    done = invoke(infused, "--data", data, "--top", 2)

    assert done.exit_code == 0
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["row"] for one in records] == list(range(2, 10))
    assert all(len(one["decision"]["ranked"]) == 2 for one in records)
    assert "Decided 8 of 8 rows" in done.stderr
    table = invoke(infused, "--data", data, "--format", "csv").stdout
    assert table.startswith("time,id,file,row,")
    assert len(table.splitlines()) == 9


def test_the_name_of_a_file_says_its_format(infused: RunFolder, data: Path, tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.csv", "a.parquet"):
        assert invoke(infused, "--data", data, "--out", tmp_path / name).exit_code == 0
    odd = invoke(infused, "--data", data, "--out", tmp_path / "b.out", "--format", "parquet")

    assert odd.exit_code == 0
    assert pq.read_table(tmp_path / "b.out").equals(pq.read_table(tmp_path / "a.parquet"))
    for options, message in (
        (("--out", tmp_path / "c.txt"), "does not say its format"),
        (("--format", "parquet"), "not written to standard output"),
    ):
        refused = invoke(infused, "--data", data, *options)
        assert isinstance(refused.exception, InputError)
        assert message in str(refused.exception)
        assert refused.stdout == ""


def test_nothing_is_replaced_unasked(infused: RunFolder, data: Path, tmp_path: Path) -> None:
    out, folder = tmp_path / "out.csv", tmp_path / "folder.csv"
    out.write_text("mine")
    folder.mkdir()
    (tmp_path / "link.csv").symlink_to(out)
    for place, options, message in (
        (out, (), "exists already"),
        (tmp_path / "link.csv", (), "exists already"),
        (folder, ("--overwrite",), "is a folder"),
        (data, ("--overwrite",), "is one of the files to read"),
        (Path("/dev/null"), ("--overwrite", "--format", "csv"), "is no usual file"),
    ):
        refused = invoke(infused, "--data", data, "--out", place, *options)
        assert isinstance(refused.exception, InputError)
        assert message in str(refused.exception)
    assert out.read_text() == "mine"

    done = invoke(infused, "--data", data, "--out", tmp_path / "link.csv", "--overwrite")

    assert done.exit_code == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert len(out.read_text().splitlines()) == 9


def test_a_reader_that_goes_is_no_error(
    infused: RunFolder, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gone(io.BytesIO):
        def write(self, line: object) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(command.sys, "stdout", io.TextIOWrapper(Gone()))  # type: ignore[attr-defined]
    with pytest.raises(SystemExit) as ended:
        command.decide(infused.path, [data], None, None, False, None, False)

    assert ended.value.code == 141


def test_rows_that_cannot_be_decided_are_named(
    infused: RunFolder, make_table: MakeTable, tmp_path: Path
) -> None:
    table = make_table(4)
    table.rows[1][14] = "inf"
    data = table.csv(tmp_path / "flows.csv")

    done = invoke(infused, "--data", data, "--out", tmp_path / "out.json")

    assert "Decided 3 of 4 rows" in done.stderr
    assert "1 rows have a missing or infinite feature" in done.stderr
    assert "'Flow Bytes/s' is missing or infinite 1" in done.stderr


def test_data_of_another_kind_is_refused_with_the_command_that_trains_on_it(
    infused: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = TableFormat("othernet", "another net", "its router", (Field("speed"), Field("load")))
    other = table_data_set(form, citation="", about="", labels=())
    kinds = registry.all_kinds() | {"othernet": other}
    monkeypatch.setattr(registry, "all_kinds", lambda: kinds)
    (tmp_path / "other.csv").write_text("load,speed\n1,2\n")

    refused = invoke(infused, "--data", tmp_path / "other.csv")

    assert isinstance(refused.exception, InputError)
    assert "the file is of the kind othernet, not cicids2017" in str(refused.exception)
    assert re.search("kirl prepare --data .* --dataset othernet", str(refused.exception))


def test_a_run_without_its_graph_says_so(plain: RunFolder, data: Path) -> None:
    done = invoke(plain, "--data", data, "--explain")

    assert "knowledge graph is not there" in done.stderr
    assert json.loads(done.stdout.splitlines()[0])["explanation"]["records"] is None


def test_a_run_of_synthetic_flows_decides_those_that_they_imitate(
    scenario: Scenario, flows: Flows, data: Path, infused: RunFolder, tmp_path: Path
) -> None:
    # The same flows make the same detector and signatures: only the kind differs.
    run = RunFolder(tmp_path / "run")
    shutil.copytree(infused.path, run.path)
    shutil.rmtree(run.scenario_folder)
    scenario.copy_to(run.scenario_folder)

    done = invoke(run, "--data", data)

    assert done.exit_code == 0
    assert "trained on synthetic flows" in done.stderr
    assert done.stdout == invoke(infused, "--data", data).stdout
