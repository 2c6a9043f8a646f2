from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envs.catalogue import Catalogue, TrafficClass
from envs.datasets.cicflowmeter import SCHEMA
from envs.datasets.cicids2017 import FORM, PUBLISHED_COUNTS
from envs.datasets.label_files import check_labels
from envs.datasets.labels import Labelling
from envs.datasets.source import Reading, Tally
from envs.datasets.tables import text_files
from envs.datasets.tables.sample import sample
from envs.datasets.tables.source import TableSource, stretches
from envs.errors import InputError
from envs.flows import FeatureSchema, Flows, Progress
from tests.genuine import SAMPLE

PAPER = Catalogue.named("paper")
FEATURES = SCHEMA.names


# As published: some names have a stray space, and one name is there twice.
HEADER = [
    *(f" {name}" if i % 3 else name for i, name in enumerate(FEATURES)),
    " Label",
]
HEADER[FEATURES.index("Fwd Header Length.1")] = " Fwd Header Length"

Row = tuple[Sequence[object], str]


def read(
    paths: Sequence[Path],
    catalogue: Catalogue = PAPER,
    progress: Progress | None = None,
    schema: FeatureSchema | None = None,
) -> Flows:
    return TableSource(FORM, paths, Reading(Labelling(catalogue), schema)).read(progress)


def numbers(seed: int = 0) -> list[float]:
    """78 different numbers that float32 holds exactly."""
    return [seed + column / 4 for column in range(len(FEATURES))]


def changed(feature: str, cell: object, seed: int = 0) -> list[object]:
    """78 cells of which one says something else."""
    cells: list[object] = list(numbers(seed))
    cells[FEATURES.index(feature)] = cell
    return cells


def table(rows: Iterable[Row], header: Sequence[str] = HEADER, end: str = "\n") -> str:
    lines = [",".join(header), *(",".join([*map(str, cells), label]) for cells, label in rows)]
    return "".join(line + end for line in lines)


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = text.encode(encoding)
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def parquet(path: Path, columns: dict[str, object]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def as_columns(rows: Sequence[Row]) -> dict[str, object]:
    columns: dict[str, object] = {
        name: [cells[i] for cells, _ in rows] for i, name in enumerate(FEATURES)
    }
    return columns | {"Label": [label for _, label in rows]}


def names_of(flows: Flows) -> list[str]:
    return [PAPER.class_names[i] for i in flows.actual]


def refusal(*paths: Path, schema: FeatureSchema | None = None) -> InputError:
    with pytest.raises(InputError) as caught:
        read(paths, schema=schema)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 2_000
    return caught.value


# --- the forms in which people have the data ----------------------------------------------


def test_a_published_day_file_becomes_float32_features_and_class_indices(tmp_path: Path) -> None:
    day = write(
        tmp_path / "Friday.csv",
        table([(numbers(1), "BENIGN"), (numbers(2), "DDoS"), (numbers(3), "Bot")]),
    )

    flows = read([day])

    assert flows.features.dtype == np.float32
    assert flows.actual.dtype == np.int8
    np.testing.assert_array_equal(flows.features, [numbers(1), numbers(2), numbers(3)])
    assert names_of(flows) == ["Benign", "DDoS", "Infiltration"]
    assert flows.provenance.kind == "cicids2017"
    assert flows.provenance.origin == {"files": ["Friday.csv"]}
    assert flows.provenance.rows_read == 3
    assert flows.provenance.dropped == {"non-finite": 0, "empty": 0}
    assert flows.provenance.labels == {"BENIGN": 1, "DDoS": 1, "Bot": 1}


def test_generated_labelled_flows_in_cp1252_with_rows_of_nothing_but_commas(tmp_path: Path) -> None:
    more = ["Flow ID", " Source IP", " Source Port", " Destination IP", " Protocol", " Timestamp"]
    who = ["192.168.10.5-à", "192.168.10.5", "1", "8.8.8.8", "6", "7/7/2017 3:30"]
    header = [*more[:4], HEADER[0], *more[4:], *HEADER[1:]]
    assert len(header) == 85
    cells = numbers(7)
    row = [*who[:4], cells[0], *who[4:], *cells[1:]]
    text = table([(row, "Web Attack \x96 XSS")] * 2, header) + ("," * 84 + "\r\n") * 5
    day = write(tmp_path / "Thursday.csv", text, "latin-1")

    flows = read([day])

    np.testing.assert_array_equal(flows.features, [cells, cells])
    assert flows.provenance.labels == {"Web Attack - XSS": 2}
    assert flows.provenance.rows_read == 7
    assert flows.provenance.dropped == {"non-finite": 0, "empty": 5}


@pytest.mark.parametrize("commas", [1, 78, 90])
def test_rows_of_any_number_of_commas_are_empty(tmp_path: Path, commas: int) -> None:
    text = table([(numbers(), "BENIGN")]) + "," * commas + "\n" + "," * commas
    flows = read([write(tmp_path / "day.csv", text)])
    assert flows.provenance.rows_read == 3
    assert flows.provenance.dropped["empty"] == 2


def test_a_copy_saved_by_pandas_has_an_index_and_the_twin_renamed(tmp_path: Path) -> None:
    rows: list[Row] = [([0, *numbers(1)], "BENIGN"), ([1, *numbers(2)], "PortScan")]
    day = write(tmp_path / "day.csv", table(rows, ["", *FEATURES, "Label"]))
    flows = read([day])
    np.testing.assert_array_equal(flows.features, [numbers(1), numbers(2)])


def test_the_second_of_the_twins_is_the_second_feature_of_that_name(tmp_path: Path) -> None:
    cells = changed("Fwd Header Length", -1)
    cells[FEATURES.index("Fwd Header Length.1")] = -2
    flows = read([write(tmp_path / "day.csv", table([(cells, "BENIGN")]))])
    assert flows.features[0, FEATURES.index("Fwd Header Length")] == -1
    assert flows.features[0, FEATURES.index("Fwd Header Length.1")] == -2


@pytest.mark.parametrize(
    "variant",
    [
        pytest.param(lambda text: text.replace("\n", "\r\n"), id="CRLF"),
        pytest.param(lambda text: "\ufeff" + text, id="BOM"),
        pytest.param(lambda text: text.replace("\n", "\n\n"), id="blank lines between"),
        pytest.param(lambda text: text.rstrip("\n"), id="no line end at the end"),
        pytest.param(lambda text: text.upper(), id="upper case"),
        pytest.param(
            lambda text: "".join(
                ",".join(f'"{cell}"' for cell in line.split(",")) + "\n"
                for line in text.splitlines()
            ),
            id="all quoted",
        ),
    ],
)
def test_how_the_text_was_saved_does_not_matter(
    tmp_path: Path, variant: Callable[[str], str]
) -> None:
    text = table([(numbers(1), "BENIGN"), (numbers(2), " dos hulk ")])
    flows = read([write(tmp_path / "day.csv", variant(text))])
    np.testing.assert_array_equal(flows.features, [numbers(1), numbers(2)])
    assert flows.provenance.labels == {"BENIGN": 1, "DoS Hulk": 1}


def test_parquet_may_hold_any_numeric_type_and_categorical_labels(tmp_path: Path) -> None:
    rows: list[Row] = [(numbers(1), "BENIGN"), (numbers(2), "Web Attack \ufffd XSS")]
    whole = [[float(i // 2) for i in range(len(FEATURES))]] * 2
    columns = as_columns([(cells, label) for cells, (_, label) in zip(whole, rows, strict=True)])
    kinds = [pa.int64(), pa.int8(), pa.float32(), pa.uint16(), pa.decimal128(21, 2), pa.string()]
    for i, name in enumerate(FEATURES):
        kind = kinds[i % len(kinds)]
        cells = [cells[i] for cells in whole]
        columns[name] = pa.array(
            [str(x) for x in cells] if kind == pa.string() else [int(x) for x in cells]
        ).cast(kind)
    columns["Label"] = pa.array([label for _, label in rows]).dictionary_encode()
    columns["__index_level_0__"] = [0, 1]

    flows = read([parquet(tmp_path / "day.parquet", columns)])

    np.testing.assert_array_equal(flows.features, whole)
    assert names_of(flows) == ["Benign", "Web"]


def test_every_form_of_one_table_gives_the_same_flows(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    cells = (generator.standard_normal((50, len(FEATURES))) * 1e6).tolist()
    cells[0][0] = 1 + 2**-24  # its decimal text and its float64 round to different float32
    rows: list[Row] = [(row, "BENIGN" if i % 2 else "DDoS") for i, row in enumerate(cells)]
    plain = read([write(tmp_path / "a.csv", table(rows))])
    zipped = read([write(tmp_path / "b.csv.gz", table(rows))])
    arrow = read([parquet(tmp_path / "c.parquet", as_columns(rows))])
    np.testing.assert_array_equal(plain.features, np.array(cells, dtype=np.float32))
    for other in (zipped, arrow):
        np.testing.assert_array_equal(plain.features, other.features)
        np.testing.assert_array_equal(plain.actual, other.actual)
        assert plain.provenance.labels == other.provenance.labels


def test_folders_are_searched_in_depth_in_sorted_order_and_mixed_with_files(tmp_path: Path) -> None:
    days = tmp_path / "days"
    write(days / "b" / "1.CSV", table([(numbers(2), "BENIGN")]))
    write(days / "a.csv.gz", table([(numbers(1), "BENIGN")]))
    parquet(days / "c.parquet", as_columns([(numbers(3), "BENIGN")]))
    write(days / "README.txt", "not data")
    write(days / "__MACOSX" / "a.csv", "not data")
    write(days / "._a.csv", "not data")
    first = write(tmp_path / "z.csv", table([(numbers(0), "BENIGN")]))

    flows = read([first, days])

    assert flows.features[:, 0].tolist() == [0, 1, 2, 3]
    assert flows.provenance.origin == {"files": ["z.csv", "a.csv.gz", "1.CSV", "c.parquet"]}


def test_a_file_reached_twice_is_read_once(tmp_path: Path) -> None:
    day = write(tmp_path / "day.csv", table([(numbers(), "BENIGN")]))
    (tmp_path / "again.csv").symlink_to(day)
    assert len(read([day, tmp_path, day])) == 1


def test_both_publications_at_once_are_refused(tmp_path: Path) -> None:
    name = "Monday-WorkingHours.pcap_ISCX.csv"
    for folder in ("MachineLearningCVE", "TrafficLabelling"):
        write(tmp_path / folder / name, table([(numbers(), "BENIGN")]))
    error = refusal(tmp_path)
    assert name in error.what
    assert "TrafficLabelling" in str(error.where)


def test_progress_counts_the_bytes_on_disk_up_to_their_sum(tmp_path: Path) -> None:
    rows: list[Row] = [(numbers(i), "BENIGN") for i in range(30)]
    files = [
        write(tmp_path / "a.csv", table(rows)),
        write(tmp_path / "b.csv.gz", table(rows)),
        parquet(tmp_path / "c.parquet", as_columns(rows)),
    ]
    total = sum(file.stat().st_size for file in files)
    calls: list[tuple[int, int]] = []

    read(files, progress=lambda done, of: calls.append((done, of)))

    assert calls == sorted(calls)
    assert calls[-1] == (total, total)
    assert {of for _, of in calls} == {total}
    assert files[0].stat().st_size in [done for done, _ in calls]


# --- stretches of files -------------------------------------------------------------------


def together(paths: Sequence[Path], size: int) -> tuple[object, ...]:
    """What the parts of files hold, one after the other."""
    source = TableSource(FORM, paths, Reading.labelled(PAPER), part_bytes=size)
    parts = [batch for part in source.parts for batch in part.batches()]
    return (
        np.concatenate([part.features for part in parts]).tobytes(),
        np.concatenate([part.actual for part in parts]).tolist(),
        sum(part.tally.rows for part in parts),
        sum(part.tally.dropped["non-finite"] for part in parts),
        sum(part.tally.dropped["empty"] for part in parts),
    )


@pytest.mark.parametrize("size", [1, 300, 997, 2500, 10**9])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_stretches_of_a_file_hold_the_rows_of_the_whole(
    tmp_path: Path, size: int, end: str
) -> None:
    rows: list[Row] = [
        (changed("Idle Min", "inf" if i % 7 == 3 else i, i), "DDoS" if i % 3 else "BENIGN")
        for i in range(20)
    ]
    text = table(rows, end=end) + "," * 78 + end
    days = [write(tmp_path / "a.csv", text), write(tmp_path / "b.csv", text.removesuffix(end))]
    whole = read(days)

    held = together(days, size)

    assert len(stretches(sample(days[0]), 300)) > 5
    assert held[0] == whole.features.tobytes()
    assert held[2:] == (42, 6, 2)


@pytest.mark.parametrize("size", [1, 4000, 10**9])
def test_the_row_groups_of_a_parquet_file_hold_its_rows(tmp_path: Path, size: int) -> None:
    rows: list[Row] = [(numbers(i), "DDoS" if i % 3 else "BENIGN") for i in range(20)]
    path = tmp_path / "day.parquet"
    pq.write_table(pa.table(as_columns(rows)), path, row_group_size=3)

    assert len(stretches(sample(path), 1)) == 7
    assert together([path], size)[0] == read([path]).features.tobytes()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_fault_in_a_late_stretch_is_told_as_in_the_whole(tmp_path: Path, suffix: str) -> None:
    rows: list[Row] = [(numbers(i), "BENIGN") for i in range(20)]
    rows[17] = (changed("Idle Std", "many"), "BENIGN")
    path = tmp_path / f"day.{suffix}"
    if suffix == "csv":
        write(path, table(rows))
    else:
        columns = as_columns(rows)
        columns["Idle Std"] = [str(cells[FEATURES.index("Idle Std")]) for cells, _ in rows]
        pq.write_table(pa.table(columns), path, row_group_size=2)

    told = [f"{path}, row {19 if suffix == 'csv' else 18}, column 'Idle Std'"]
    for part in TableSource(FORM, [path], Reading.labelled(PAPER), part_bytes=600).parts:
        try:
            list(part.batches())
        except InputError as error:
            told.append(str(error.where))

    assert told == [str(refusal(path).where)] * 2


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("size", [600, 10**9])
def test_unknown_labels_of_all_stretches_are_told_at_once(
    tmp_path: Path, suffix: str, size: int
) -> None:
    rows: list[Row] = [(numbers(i), "BENIGN") for i in range(20)]
    for place, label in ((4, "Worm"), (11, "Virus"), (17, "worm"), (18, "Virus"), (19, "Worm")):
        rows[place] = (numbers(place), label)
    path = tmp_path / f"day.{suffix}"
    if suffix == "csv":
        write(path, table(rows))
    else:
        pq.write_table(pa.table(as_columns(rows)), path, row_group_size=2)

    with pytest.raises(InputError) as caught:
        TableSource(FORM, [path], Reading.labelled(PAPER), part_bytes=size).read()

    header = 1 if suffix == "csv" else 0
    assert caught.value.what.endswith("paper: 'Worm' (3 flows), 'Virus' (2 flows)")
    assert caught.value.where == f"{path}, row {5 + header}, column 'Label'"
    assert f'Virus: "?"  # 2 flows; first in {path}, row {12 + header}' in str(caught.value.below)


def test_gzipped_files_are_read_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "day.csv.gz", table([(numbers(i), "BENIGN") for i in range(9)]))
    assert [(one.start, one.stop) for one in stretches(sample(path), 10)] == [(0, None)]


# --- labels -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b"Web Attack \x96 XSS",
        "Web Attack – XSS".encode(),
        "Web Attack \ufffd XSS".encode(),
        b"Web Attack - XSS",
        "Web Attack â€“ XSS".encode(),
        "Web Attack â€\u2013 XSS".encode(),
        "Web Attack \x96 XSS".encode(),
        "Web Attack ï¿½ XSS".encode(),
        "Web Attack Â\u2013 XSS".encode(),
        b"Web Attack ? XSS",
        b"Web Attack  XSS",
        b"  web attack - xss\t",
    ],
)
def test_every_known_damage_to_the_dash_is_understood(tmp_path: Path, raw: bytes) -> None:
    day = tmp_path / "day.csv"
    day.write_bytes(table([(numbers(), "@")]).encode().replace(b"@", raw))
    assert read([day]).provenance.labels == {"Web Attack - XSS": 1}


def test_the_published_label_counts_merge_into_table_1() -> None:
    index = Labelling(PAPER)
    counts = dict.fromkeys(PAPER.class_names, 0)
    for label, count in PUBLISHED_COUNTS.items():
        number, spelled = index.resolve(label)
        assert spelled == label
        counts[PAPER.class_names[number]] += count
    assert counts == {
        "PortScan": 158804,
        "DoS": 251712,
        "Benign": 2271320,
        "DDoS": 128025,
        "SSH-Patator": 5897,
        "FTP-Patator": 7935,
        "Web": 2180,
        "Infiltration": 2003,
    }
    assert sum(counts.values()) == 2827876


def test_an_unknown_label_is_told_with_the_class_that_its_spelling_suggests() -> None:
    tally = Tally()
    for label in ("DoS Slowhtptest", "Attack", "ddos2", "1"):
        tally.unknown[label], tally.first[label] = 3, ("day.csv", 7)
    with pytest.raises(InputError) as caught:
        check_labels(tally, Labelling(PAPER), "Label")
    below = str(caught.value.below)
    assert "'DoS Slowhtptest' (3 flows)" in caught.value.what
    assert "DoS Slowhtptest: DoS  # 3 flows, by its spelling; first in day.csv, row 7" in below
    # What changes the meaning is never guessed.
    for label in ("Attack", "ddos2", '"1"'):
        assert f'\n{label}: "?"  # 3 flows; first' in below


def test_another_catalogue_merges_its_own_labels(tmp_path: Path) -> None:
    two = Catalogue(
        actions=PAPER.actions,
        classes=(TrafficClass("good", ("ok",), (14,)), TrafficClass("bad", ("атака", "x"), (0,))),
    )
    day = write(tmp_path / "day.csv", table([(numbers(), "Атака"), (numbers(), "OK")]))
    flows = read([day], catalogue=two)
    assert flows.actual.tolist() == [1, 0]
    assert flows.provenance.labels == {"ok": 1, "атака": 1}


def test_a_catalogue_whose_labels_cannot_be_told_apart_is_refused() -> None:
    twice = Catalogue(
        actions=PAPER.actions,
        classes=(TrafficClass("a", ("x-y",), (0,)), TrafficClass("b", ("X – Y",), (1,))),
    )
    with pytest.raises(InputError, match="occurs twice"):
        Labelling(twice)


# --- rows that are left out ---------------------------------------------------------------


@pytest.mark.parametrize(
    "cell",
    ["Infinity", "-Infinity", "inf", "NaN", "nan", "", " ", "NULL", "1e39", "-1e400", '""'],
)
def test_rows_with_a_missing_or_infinite_feature_are_dropped_and_counted(
    tmp_path: Path, cell: str
) -> None:
    rows: list[Row] = [
        (changed("Flow Bytes/s", cell), "DDoS"),
        (numbers(5), "BENIGN"),
        (changed("Idle Min", cell), "BENIGN"),
    ]
    flows = read([write(tmp_path / "day.csv", table(rows))])
    np.testing.assert_array_equal(flows.features, [numbers(5)])
    assert flows.provenance.rows_read == 3
    assert flows.provenance.dropped == {"non-finite": 2, "empty": 0}
    assert flows.provenance.labels == {"BENIGN": 1}


def test_parquet_nulls_are_missing_too(tmp_path: Path) -> None:
    columns = as_columns([(numbers(i), "BENIGN") for i in range(4)])
    columns["Flow Bytes/s"] = [None, float("inf"), 1e300, 1.0]
    flows = read([parquet(tmp_path / "day.parquet", columns)])
    assert flows.features[:, 0].tolist() == [3]
    assert flows.provenance.dropped == {"non-finite": 3, "empty": 0}


def test_wholly_null_parquet_rows_are_empty(tmp_path: Path) -> None:
    columns = as_columns([(numbers(), "BENIGN"), ([None] * 78, None)])  # type: ignore[list-item]
    flows = read([parquet(tmp_path / "day.parquet", columns)])
    assert flows.provenance.dropped == {"non-finite": 0, "empty": 1}


def test_it_is_an_error_if_nothing_is_left(tmp_path: Path) -> None:
    day = write(tmp_path / "day.csv", table([(changed("Idle Min", "NaN"), "BENIGN")]))
    error = refusal(day)
    assert "no flow is left of 1 rows" in error.what
    assert "day.csv" in str(error.where)


# --- what must always hold ----------------------------------------------------------------

ANY_ROW = st.tuples(
    st.lists(
        st.floats(width=32) | st.integers(-(2**40), 2**40) | st.sampled_from(["", "Infinity"]),
        min_size=len(FEATURES),
        max_size=len(FEATURES),
    ),
    st.sampled_from(["BENIGN", "DDoS", "Bot", "Web Attack – XSS"]),
)
FEW = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def outcome(paths: Sequence[Path]) -> tuple[object, ...]:
    """What reading yields apart from the file names."""
    try:
        flows = read(paths)
    except InputError as error:
        return (error.what,)
    told = flows.provenance
    return (
        flows.features.tobytes(),
        flows.actual.tobytes(),
        told.rows_read,
        tuple(told.dropped.items()),
        tuple(told.labels.items()),
    )


@FEW
@given(rows=st.lists(ANY_ROW, min_size=2, max_size=6), data=st.data())
def test_order_of_columns_and_cuts_between_files_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("cuts")
    names = [*FEATURES, "Label"]
    order = data.draw(st.permutations(range(len(names))))
    cut = data.draw(st.integers(1, len(rows) - 1))
    straight = write(folder / "straight.csv", table(rows))
    cells = [[*map(str, cells), label] for cells, label in rows]
    mixed = [([row[i] for i in order[:-1]], row[order[-1]]) for row in cells]
    header = [names[i] for i in order]
    write(folder / "parts" / "1.csv", table(mixed[:cut], header))
    write(folder / "parts" / "2.csv.gz", table(mixed[cut:], header))

    assert outcome([straight]) == outcome([folder / "parts"])


@FEW
@given(rows=st.lists(ANY_ROW, min_size=1, max_size=8), size=st.integers(1, 4000))
def test_where_blocks_end_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], size: int
) -> None:
    day = write(tmp_path_factory.mktemp("blocks") / "day.csv", table(rows, end="\r\n"))
    whole = outcome([day])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_files, "BLOCK_BYTES", size)
        assert outcome([day]) == whole


@FEW
@given(junk=st.binary(max_size=300), place=st.integers(0, 5000))
def test_bytes_thrown_in_anywhere_give_flows_or_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, place: int
) -> None:
    raw = table([(numbers(i), "BENIGN") for i in range(6)]).encode()
    day = tmp_path_factory.mktemp("junk") / "day.csv"
    day.write_bytes(raw[:place] + junk + raw[place:])
    try:
        flows = read([day])
    except InputError:
        return
    told = flows.provenance
    assert np.isfinite(flows.features).all()
    assert told.rows_read == len(flows) + sum(told.dropped.values()) >= 6


# --- bad input ----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_an_empty_file(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"day{suffix}").write_bytes(b"")
    error = refusal(tmp_path)
    assert "empty" in error.what
    assert f"day{suffix}" in str(error.where)


@pytest.mark.parametrize("end", ["", "\n", "\r\n\r\n"])
def test_a_header_without_rows(tmp_path: Path, end: str) -> None:
    error = refusal(write(tmp_path / "day.csv", ",".join(HEADER) + end))
    assert "no row below" in error.what


def test_parquet_without_rows(tmp_path: Path) -> None:
    assert "no row" in refusal(parquet(tmp_path / "day.parquet", as_columns([]))).what


@pytest.mark.parametrize(
    "name", ["flow_duration", "FlowDuration", " FLOW DURATION ", '"flow.duration"']
)
def test_a_column_is_known_however_it_is_spelled(tmp_path: Path, name: str) -> None:
    header = [name if one.strip() == "Flow Duration" else one for one in HEADER]
    flows = read([write(tmp_path / "day.csv", table([(numbers(1), "BENIGN")], header))])
    np.testing.assert_array_equal(flows.features, [numbers(1)])
    assert flows.schema == SCHEMA


def test_a_column_with_a_slip_of_the_pen_is_suggested_once(tmp_path: Path) -> None:
    header = [one.replace("Flow Duration", "Flow Duraiton") for one in HEADER]
    day = write(tmp_path / "day.csv", table([(numbers(), "BENIGN")], header))
    error = refusal(day, schema=SCHEMA)
    assert error.what == "column 'Flow Duration' is missing"
    assert error.mend == "Is 'Flow Duraiton' 'Flow Duration'? Then rename it"


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("Flow Duration", "Flow Duration (s)"),
        ("Flow Duration", "flow_duration_ms"),
        ("Fwd IAT Max", "Bwd2 IAT Max"),
        ("Fwd IAT Max", "Fwd IAT Max2"),
        ("Flow Bytes/s", "SubflowFwdBytes2"),
        ("Total Fwd Packets", "TotLen Fwd Pkts2"),
        ("Idle Max", "Idle Mix"),
    ],
)
def test_a_column_of_another_unit_or_meaning_is_never_suggested(
    tmp_path: Path, column: str, name: str
) -> None:
    header = [name if one.strip() == column else one for one in HEADER]
    day = write(tmp_path / "day.csv", table([(numbers(), "BENIGN")], header))
    error = refusal(day, schema=SCHEMA)
    assert error.what == f"column '{column}' is missing"
    assert error.mend == "Add the columns, or prepare a scenario from flows without them"


def test_all_missing_columns_are_told_beside_what_was_found(tmp_path: Path) -> None:
    day = write(tmp_path / "day.csv", "Destination Port,Label\n80,BENIGN\n")
    error = refusal(day, schema=SCHEMA)
    assert error.what.startswith("columns 'Flow Duration', 'Total Fwd Packets', 'Total Backward")
    assert error.what.endswith("'Flow IAT Min', 'Fwd IAT Total' and 57 more are missing")
    missing, found = str(error.below).splitlines()
    assert missing == "Missing: " + ", ".join(FEATURES[1:])
    assert found == "The file has: 'Destination Port', 'Label'"


def test_without_a_scenario_flows_have_the_features_that_all_files_have(tmp_path: Path) -> None:
    few = FEATURES[1:5]
    write(tmp_path / "a.csv", table([(numbers(1)[1:5], "BENIGN")], [*few, "Label"]))
    write(tmp_path / "b.csv", table([(numbers(2), "DDoS")]))
    flows = read([tmp_path])
    assert flows.schema.names == few
    np.testing.assert_array_equal(flows.features, [numbers(1)[1:5], numbers(2)[1:5]])
    assert flows.provenance.origin["absent"] == [name for name in FEATURES if name not in few]


def test_a_table_without_labels(tmp_path: Path) -> None:
    rows = ",".join(map(str, numbers()))
    error = refusal(write(tmp_path / "day.csv", f"{','.join(HEADER[:-1])}\n{rows}\n{rows}\n"))
    assert error.what == "there is no label column"
    assert "kirl decide" in str(error.mend)


def test_cells_that_do_not_fit_the_header(tmp_path: Path) -> None:
    rows: list[Row] = [(["10.0.0.1", "10.0.0.2", *numbers(i)], "BENIGN") for i in range(3)]
    error = refusal(write(tmp_path / "day.csv", table(rows)))
    assert error.what == (
        "header and cells do not fit together: the header has 79 names, and every row has 81 cells"
    )
    assert "'10.0.0.1', '10.0.0.2'" in str(error.expected)


def test_a_column_that_is_there_twice(tmp_path: Path) -> None:
    header = [*HEADER[:-1], "Idle Min", "Label"]
    error = refusal(write(tmp_path / "day.csv", table([([*numbers(), 1], "BENIGN")], header)))
    assert error.what == "column 'Idle Min' occurs 2 times"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0", "PNG"),
        (b"PK\x03\x04\x14\0", "zip"),
        (b"\n<!DOCTYPE html>\n<p>Sign in", "HTML"),
        (b"<!DOCTYPE html>\n<p>Sign in", "HTML"),
        (b"\x7fELF\x02\0\0\0", "binary"),
        (gzip.compress(b"x", mtime=0), "none of its columns is there, but 'x'"),
        ("a,b\n".encode("utf-16"), "none of its columns is there, but 'a', 'b'"),
        (
            b"a;b;c;Label\n1;2;3;BENIGN\n",
            "none of its columns is there, but 'a', 'b', 'c', 'Label'",
        ),
        (b"\x28\xb5\x2f\xfd\0\0", "zstd"),
        (b"a,b\r1,2\r", "CR alone"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"once upon a time\n", "none of its columns"),
        (b"a" * (2 << 20), "longer than 1 MiB"),
        (b'"' + b"a" * 200_000 + b"\n", "no header"),
    ],
    ids=lambda value: value if isinstance(value, str) else "bytes",
)
def test_something_else_named_csv(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "day.csv").write_bytes(content)
    assert said in refusal(tmp_path / "day.csv").what


@pytest.mark.parametrize("before", [0, 1, 40])
def test_text_in_a_numeric_column_is_found(
    tmp_path: Path, before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_files, "BLOCK_BYTES", 3000)
    rows: list[Row] = [(numbers(i), "BENIGN") for i in range(before)]
    rows += [(changed("Idle Std", "many"), "BENIGN"), (numbers(), "BENIGN")]
    error = refusal(write(tmp_path / "day.csv", table(rows)))
    assert error.what == "'many' is not a number"
    assert str(error.where).endswith(f"day.csv, row {before + 2}, column 'Idle Std'")


def test_blank_lines_count_as_lines_when_a_row_is_named(tmp_path: Path) -> None:
    text = table([(numbers(), "BENIGN"), (numbers(), "Worm")]).replace("\n", "\n\n")
    error = refusal(write(tmp_path / "day.csv", text))
    assert "row 5" in str(error.where)


def test_a_hostile_cell_is_escaped_and_shortened(tmp_path: Path) -> None:
    cell = "\x1b[2J\u202e" + "x" * 100_000
    error = refusal(write(tmp_path / "day.csv", table([(changed("Idle Std", cell), "BENIGN")])))
    assert error.what.startswith(r"'\x1b[2J\u202exxx")
    assert len(error.what) < 100


def test_a_hostile_label_and_file_name_are_escaped(tmp_path: Path) -> None:
    text = table([(numbers(), "\x1b]0;" + "y" * 5000)])
    error = refusal(write(tmp_path / "\x1b[31m.csv", text))
    assert r"'\x1b]0;yyy" in error.what
    assert r"\x1b[31m.csv" in str(error.where)


def test_an_unknown_label_is_named_with_its_row(tmp_path: Path) -> None:
    error = refusal(
        write(tmp_path / "day.csv", table([(numbers(), "BENIGN"), (numbers(), "Worm")]))
    )
    assert error.what == "this label means no class of the catalogue paper: 'Worm' (1 flow)"
    assert str(error.where).endswith("day.csv, row 3, column 'Label'")
    assert error.expected == f"labels that mean one of {', '.join(PAPER.class_names)}"
    assert "--labels labels.yaml" in str(error.mend)


def test_a_column_of_identifiers_is_not_taken_for_labels(tmp_path: Path) -> None:
    rows: list[Row] = [(numbers(), f"flow {i}") for i in range(1100)]
    error = refusal(write(tmp_path / "day.csv", table(rows)))
    assert "more than 1,000 words that mean no class, such as 'flow 0', 'flow 1'" in error.what


@pytest.mark.parametrize("nothing", ["", " ", "nan", "NULL", "-"])
def test_rows_with_features_but_no_label_are_dropped_and_counted(
    tmp_path: Path, nothing: str
) -> None:
    rows: list[Row] = [(numbers(1), nothing), (numbers(2), "Bot"), (numbers(3), nothing)]
    flows = read([write(tmp_path / "day.csv", table(rows))])
    np.testing.assert_array_equal(flows.features, [numbers(2)])
    assert flows.provenance.rows_read == 3
    assert flows.provenance.dropped == {"non-finite": 0, "empty": 0, "unlabelled": 2}


def test_flows_none_of_which_has_a_label(tmp_path: Path) -> None:
    error = refusal(write(tmp_path / "day.csv", table([(numbers(), ""), (numbers(), "")])))
    assert error.what == "no flow is left of 2 rows: 2 have no label"
    assert "kirl decide" in str(error.mend)


@pytest.mark.parametrize(("extra", "cells"), [([], 78), ([1, 2], 81)])
def test_a_ragged_row(tmp_path: Path, extra: list[int], cells: int) -> None:
    ragged = [*numbers(), *extra] if extra else numbers()[:-1]
    rows: list[Row] = [(numbers(), "BENIGN"), (ragged, "Web Attack \x96 XSS"), (numbers(), "Bot")]
    error = refusal(write(tmp_path / "day.csv", table(rows), "latin-1"))
    assert error.what == f"the row has {cells} cells"
    assert str(error.where).endswith("row 3")
    assert error.expected == "79, as in the header"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "again", [HEADER, [name.strip().upper() for name in HEADER], [f'"{name}"' for name in HEADER]]
)
def test_header_lines_between_rows_are_dropped_and_counted(
    tmp_path: Path, end: str, again: list[str]
) -> None:
    text = table([(numbers(1), "BENIGN")], end=end) + table([(numbers(2), "DDoS")], again, end) * 2
    flows = read([write(tmp_path / "day.csv", text)])
    np.testing.assert_array_equal(flows.features, [numbers(1), numbers(2), numbers(2)])
    assert flows.provenance.rows_read == 5
    assert flows.provenance.dropped == {"non-finite": 0, "empty": 0, "header": 2}


def test_a_fault_behind_header_lines_is_told_by_its_line(tmp_path: Path) -> None:
    text = table([(numbers(1), "BENIGN")]) * 2 + table([(changed("Idle Std", "many"), "Bot")])
    error = refusal(write(tmp_path / "day.csv", text))
    assert str(error.where).endswith("day.csv, row 6, column 'Idle Std'")


def test_a_header_of_other_columns_among_the_rows(tmp_path: Path) -> None:
    other = table([(numbers(), "BENIGN")], [*HEADER[1:-1], HEADER[0], "Label"])
    error = refusal(write(tmp_path / "day.csv", table([(numbers(), "BENIGN")]) + other))
    assert error.what == "' Flow Duration' is not a number"
    assert "row 3" in str(error.where)


def test_a_quote_left_open_does_not_swallow_rows(tmp_path: Path) -> None:
    header = ["Flow ID", *HEADER]
    ids = ['"a', "b", 'c"', "d"]
    rows: list[Row] = [([name, *numbers()], "BENIGN") for name in ids]
    error = refusal(write(tmp_path / "day.csv", table(rows, header)))
    assert "row 2" in str(error.where)


def test_every_cut_through_the_last_row_is_noticed_or_harmless(tmp_path: Path) -> None:
    whole = table([(numbers(1), "BENIGN"), (numbers(2), "PortScan")])
    start = whole.rstrip("\n").rindex("\n") + 1
    for cut in range(start + 1, len(whole) - 1, 7):
        error = refusal(write(tmp_path / "day.csv", whole[:cut]))
        assert "truncated" in error.what
        assert "row 3" in str(error.where)
    assert "truncated" in refusal(write(tmp_path / "day.csv", whole[:-2])).what
    assert len(read([write(tmp_path / "day.csv", whole[:-1])])) == 2


def test_a_truncated_gz(tmp_path: Path) -> None:
    raw = gzip.compress(table([(numbers(i), "BENIGN") for i in range(50)]).encode())
    for cut in (5, len(raw) // 2, len(raw) - 3):
        (tmp_path / "day.csv.gz").write_bytes(raw[:cut])
        assert "truncated" in refusal(tmp_path / "day.csv.gz").what


def test_a_damaged_gz(tmp_path: Path) -> None:
    raw = bytearray(gzip.compress(table([(numbers(), "BENIGN")] * 9).encode()))
    raw[-5] ^= 0xFF
    (tmp_path / "a.csv.gz").write_bytes(raw)
    assert "not sound packed data" in refusal(tmp_path / "a.csv.gz").what
    assert "gzip -t" in str(refusal(tmp_path / "a.csv.gz").mend)


def pack(path: Path, raw: bytes) -> Path:
    """A file that is packed as its name says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(path.stem, raw)
    else:
        packing = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
        path.write_bytes(packing.get(path.suffix, bytes)(raw))
    return path


@pytest.mark.parametrize(
    "name", ["day.csv.gz", "day.csv.bz2", "day.csv.xz", "day.csv.zip", "day.csv"]
)
def test_a_damaged_file_of_any_packing_is_told(tmp_path: Path, name: str) -> None:
    raw = table([(numbers(i), "BENIGN") for i in range(50)]).encode()
    path = pack(tmp_path / name, raw)
    assert len(read([path])) == 50
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    error = refusal(path)
    assert "truncated" in error.what or "not sound packed data" in error.what
    assert name in str(error.where)


def test_a_truncated_or_foreign_parquet(tmp_path: Path) -> None:
    day = parquet(tmp_path / "day.parquet", as_columns([(numbers(), "BENIGN")]))
    raw = day.read_bytes()
    day.write_bytes(raw[:-20])
    assert "truncated" in refusal(day).what
    day.write_bytes(b"a,b\n1,2\n")
    assert "none of its columns is there, but 'a', 'b'" in refusal(day).what
    day.write_bytes(raw[:4] + bytes(len(raw) - 8) + raw[-4:])
    assert "not sound Parquet data" in refusal(day).what


def test_text_in_a_numeric_column_of_parquet(tmp_path: Path) -> None:
    columns = as_columns([(numbers(), "BENIGN"), (numbers(), "BENIGN")])
    columns["Idle Std"] = ["Infinity", "many"]
    error = refusal(parquet(tmp_path / "day.parquet", columns))
    assert error.what == "'many' is not a number"
    assert str(error.where).endswith("row 2, column 'Idle Std'")


@pytest.mark.parametrize("column", ["Idle Std", "Label"])
def test_nested_columns_of_parquet(tmp_path: Path, column: str) -> None:
    columns = as_columns([(numbers(), "BENIGN")]) | {column: [[1, 2]]}
    error = refusal(parquet(tmp_path / "day.parquet", columns))
    assert f"column '{column}'" in str(error.where)
    assert "list" in error.what


def test_an_unknown_label_in_parquet(tmp_path: Path) -> None:
    columns = as_columns([(numbers(), "BENIGN"), (numbers(), "Worm")])
    error = refusal(parquet(tmp_path / "day.parquet", columns))
    assert error.what == "this label means no class of the catalogue paper: 'Worm' (1 flow)"
    assert "row 2" in str(error.where)


def test_one_huge_line_is_not_taken_into_memory(tmp_path: Path) -> None:
    text = table([(numbers(), "BENIGN")]).encode()
    with gzip.open(tmp_path / "bomb.csv.gz", "wb", compresslevel=1) as bomb:
        bomb.write(text)
        for _ in range(40):
            bomb.write(b"1" * (1 << 20))
    error = refusal(tmp_path / "bomb.csv.gz")
    assert "longer than 1 MiB" in error.what
    assert "row 3" in str(error.where)


@pytest.mark.parametrize("name", ["day.zip", "day.xlsx", "day", "day.csv.bz2", "day.parquet"])
def test_files_are_told_by_what_is_in_them(tmp_path: Path, name: str) -> None:
    raw = table([(numbers(1), "BENIGN")]).encode()
    (tmp_path / name).write_bytes(raw)
    np.testing.assert_array_equal(read([tmp_path / name]).features, [numbers(1)])
    (tmp_path / name).write_bytes(b"x")
    assert refusal(tmp_path / name).what.endswith("none of its columns is there, but 'x'")


def test_an_excel_workbook_is_called_one(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "day.xlsx", "w") as workbook:
        workbook.writestr("[Content_Types].xml", "<Types/>")
    error = refusal(tmp_path / "day.xlsx")
    assert "Excel workbook" in error.what
    assert error.mend == "Save the table as CSV"


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.csv").what
    assert "no such file" in refusal(Path("a\0b.csv")).what
    assert refusal(Path("a" * 5000 + ".csv")).where
    assert "no file or folder was named" in refusal().what
    (tmp_path / "gone.csv").symlink_to(tmp_path / "none.csv")
    assert "cannot be read" in refusal(tmp_path).what


def test_a_folder_with_nothing_usable(tmp_path: Path) -> None:
    assert "nothing to read" in refusal(tmp_path).what
    write(tmp_path / "notes.txt", "x")
    with zipfile.ZipFile(tmp_path / "MachineLearningCSV.zip", "w") as archive:
        archive.writestr("Monday.csv", "x")
        archive.writestr("Tuesday.csv", "x")
    error = refusal(tmp_path)
    assert error.what == "there is no table of CICIDS2017 in the folder"
    told = str(error.below).splitlines()
    assert told[0].endswith("MachineLearningCSV.zip is not read: the archive holds 2 files")
    assert told[1].endswith("notes.txt is not read: it is no table of CICIDS2017")


def test_files_of_a_folder_that_are_not_used_are_named(tmp_path: Path) -> None:
    write(tmp_path / "day.csv", table([(numbers(), "BENIGN")]))
    write(tmp_path / "notes.txt", "once upon a time")
    rows = ",".join(map(str, numbers()))
    write(tmp_path / "unlabelled.csv", f"{','.join(FEATURES)}\n{rows}\n")
    source = TableSource(FORM, [tmp_path], Reading.labelled(PAPER))
    assert source.remarks == (
        f"{tmp_path}/notes.txt is not read: it is no table of CICIDS2017",
        f"{tmp_path}/unlabelled.csv is not read: it has no label column",
    )


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    assert "neither a file nor a folder" in refusal(tmp_path / "pipe.csv").what


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    day = write(tmp_path / "day.csv", table([(numbers(), "BENIGN")]))

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    # chmod would not stop the superuser, whom containers run tests as.
    monkeypatch.setattr(Path, "open", refuse)
    error = refusal(day)
    assert error.what == "cannot be read (Permission denied)"
    assert "day.csv" in str(error.where)


# --- the real thing -----------------------------------------------------------------------


@pytest.mark.skipif(not SAMPLE.exists(), reason="the sample of the real data is not here")
def test_the_sample_of_the_real_data() -> None:
    flows = read([SAMPLE])
    assert flows.provenance.rows_read == 83_439
    assert flows.provenance.dropped == {"non-finite": 46, "empty": 0}
    assert flows.features.shape == (83_393, 78)
    assert flows.provenance.labels == {
        "PortScan": 1976,
        "DoS Hulk": 941,
        "DoS GoldenEye": 686,
        "DoS slowloris": 61,
        "DoS Slowhttptest": 46,
        "BENIGN": 74479,
        "DDoS": 1660,
        "SSH-Patator": 331,
        "FTP-Patator": 548,
        "Web Attack - Brute Force": 1172,
        "Web Attack - XSS": 529,
        "Web Attack - Sql Injection": 20,
        "Infiltration": 3,
        "Bot": 941,
    }
    assert re.fullmatch(r"[\w.-]+", flows.provenance.origin["files"][0])
