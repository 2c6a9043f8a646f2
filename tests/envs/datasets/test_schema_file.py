"""Tables of somebody's own: drafting a schema file, and reading tables by it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml

from envs import Catalogue, InputError, Scenario
from envs.datasets import schema_draft, schema_file
from envs.datasets.labels import Labelling
from envs.datasets.schema_file import SchemaSource
from envs.datasets.source import Reading
from envs.datasets.tables.sample import sample
from envs.reading import further_flows
from tests.genuine import TRAFFIC

PAPER = Catalogue.named("paper")


def table(path: Path, rows: int = 90, *, label: str = "Outcome") -> Path:
    """Flows of three kinds: numbers, words, identifiers, and a column that tells the label."""
    rng = np.random.default_rng(0)
    lines = [f"row,ts,src_ip,server,proto,bytes,rate,note,{label},label_code"]
    for number in range(rows):
        kind = number % 3
        words = ("fine", "BENIGN", "0") if kind == 0 else ("bad", "PortScan", "1")
        text = "mystery" if kind == 2 else words[1]
        lines.append(
            f"{number},{1e9 + number:.1f},10.0.0.{number % 9},fe80::{number % 4},"
            f"{('tcp', 'udp')[kind == 1]},{100 * kind + rng.integers(40)},{rng.normal():.3f},"
            f"n{number},{text},{kind}"
        )
    path.write_text("\n".join(lines) + "\n")
    return path


def drafted(path: Path) -> str:
    found = schema_draft.draft(sample(path), PAPER, "paper")
    return schema_draft.written(found, PAPER.class_names)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def source(schema: Path, paths: Sequence[Path]) -> SchemaSource:
    found = schema_file.read(schema)
    return SchemaSource(found, paths, Reading(Labelling(PAPER, found.labels)))


def test_a_draft_tells_features_words_keys_and_labels_apart(tmp_path: Path) -> None:
    draft = yaml.safe_load(drafted(table(tmp_path / "My Flows.csv", label="Label")))

    assert draft["name"] == "my-flows"
    assert draft["label"] == "Label"
    assert draft["ignore"] == ["row", "server", "label_code", "note"]
    assert draft["categories"] == ["proto"]
    assert draft["keys"]["time"] == "ts"
    assert draft["keys"]["src_ip"] == "src_ip"
    assert draft["labels"] == {"BENIGN": "Benign", "PortScan": "PortScan", "mystery": "?"}


def test_a_draft_marks_all_that_it_guessed(tmp_path: Path) -> None:
    text = drafted(table(tmp_path / "flows.csv", label="Label"))

    for line in text.splitlines():
        if line.startswith(("label:", "  - ", "  time:", "  src_ip:", "  BENIGN:")):
            assert "GUESS" in line
    assert "mystery: '?'  # 30 flows" in text


def test_a_label_without_a_class_is_asked_for_by_its_line(tmp_path: Path) -> None:
    path = table(tmp_path / "flows.csv", label="Label")
    schema = written(tmp_path / "flows.yaml", drafted(path))

    with pytest.raises(InputError, match=r"flows\.yaml, line \d+.*'mystery' has no class yet"):
        schema_file.read(schema)


def test_editing_the_label_lines_is_enough(tmp_path: Path) -> None:
    path = table(tmp_path / "flows.csv", label="Label")
    schema = written(tmp_path / "flows.yaml", drafted(path).replace("mystery: '?'", "mystery: DoS"))

    flows = source(schema, [path]).read()
    scenario = Scenario.prepare(flows, tmp_path / "scenario")

    assert flows.provenance.kind == "flows"
    assert flows.provenance.labels == {"BENIGN": 30, "PortScan": 30, "mystery": 30}
    assert set(flows.schema.names) >= {"bytes", "rate"}
    assert "row" not in flows.schema.names
    described = schema_file.described(Scenario.load(scenario.path).manifest["source"]["reading"])
    assert described == schema_file.read(schema)


def test_words_become_numbers_that_the_schema_keeps(tmp_path: Path) -> None:
    path = table(tmp_path / "flows.csv")
    text = (
        "name: mynet\nlabel: Outcome\nfeatures: [bytes, proto]\ncategories: [proto]\n"
        "labels: {mystery: drop}\n"
    )
    flows = source(written(tmp_path / "s.yaml", text), [path]).read()

    assert flows.schema.columns[0].categories == ("tcp", "udp")
    assert flows.provenance.dropped["left out"] == 30
    assert set(flows.features[:, 0].tolist()) == {0.0, 1.0}


def test_an_empty_cell_stands_for_what_the_schema_says(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "a,b,Label\n1,,BENIGN\n2,3,PortScan\n,4,BENIGN\n")
    text = "name: mynet\nlabel: Label\nmissing: {b: -1}\n"

    flows = source(written(tmp_path / "s.yaml", text), [path]).read()

    assert flows.features.tolist() == [[1, -1], [2, 3]]
    assert flows.provenance.dropped["non-finite"] == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: My Net\n", r"line 1, name: 'My Net' does not fit here.*lower-case"),
        ("label: x\n", r"'name' is missing"),
        ("name: n\nlabels: [a]\n", r"line 2, labels: \['a'\] does not fit here"),
        ("name: n\nfeatures: most\n", r"line 2, features.*'all numeric', or a list"),
        ("name: n\nkeys: {colour: a}\n", r"line 2, keys.*src_ip"),
        ("name: n\nfoo: 1\n", r"line 2, foo: unknown key 'foo'"),
        ("- a\n", r"the keys name, made_by"),
    ],
)
def test_a_fault_in_a_schema_file_is_told_by_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        schema_file.read(written(tmp_path / "s.yaml", text))


def test_a_column_that_no_file_has_is_named(tmp_path: Path) -> None:
    path = table(tmp_path / "flows.csv")
    schema = written(tmp_path / "s.yaml", "name: n\nlabel: Outcom\nunits: {speed: m}\n")

    with pytest.raises(InputError, match=r"columns 'Outcom' \(label\), 'speed' \(units\)"):
        source(schema, [path])


def test_a_table_without_header_is_told_how_to_get_one(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "1,2,3\n4,5,6\n")

    with pytest.raises(InputError, match=r"no header.*c1,c2,c3"):
        drafted(path)


@pytest.mark.skipif(not TRAFFIC.is_dir(), reason="the genuine files are not here")
def test_genuine_tables_with_columns_of_their_own() -> None:
    kaggle = TRAFFIC / "9-cicids2017" / "nospace-header-attack-normal.csv.gz"
    found = schema_draft.draft(sample(kaggle), PAPER, "paper")
    assert len(found.numeric) == 77
    assert found.labels == {"Attack": (2684, "?"), "Normal": (1835, "Benign")}

    numbered = TRAFFIC / "9-cicids2017" / "heartbleed-x-columns.csv.gz"
    found = schema_draft.draft(sample(numbered), PAPER, "paper")
    assert (found.label, len(found.numeric)) == ("YY", 76)


def test_flows_without_labels_are_read_for_the_scenario_of_a_schema(tmp_path: Path) -> None:
    path = table(tmp_path / "flows.csv")
    text = (
        "name: mynet\nlabel: Outcome\nignore: [row, label_code]\ncategories: [proto]\n"
        "keys: {time: ts}\nlabels: {mystery: DoS}\n"
    )
    labelled = source(written(tmp_path / "s.yaml", text), [path])
    scenario = Scenario.prepare(labelled.read(), tmp_path / "scenario")
    lines = [line.rpartition(",")[0].rpartition(",")[0] for line in path.read_text().splitlines()]
    alone = written(tmp_path / "today.csv", "\n".join(lines) + "\n")

    read = further_flows(scenario, [alone], labelled=False, keys=True)

    assert read.schema == scenario.schema
    (batch,) = read.batches()
    assert len(batch) == 90
    assert batch.keys is not None
    assert batch.keys.column("time").to_pylist()[:2] == ["1000000000.0", "1000000001.0"]
    with pytest.raises(InputError, match=r"no label column.*kirl decide"):
        further_flows(scenario, [alone])
