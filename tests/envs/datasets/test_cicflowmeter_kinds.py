"""The kinds that CICFlowMeter measured: editions and ports, told apart and read alike."""

from __future__ import annotations

import csv
import gzip
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from envs.catalogue import Catalogue
from envs.datasets import cicflowmeter, cicflowmeter_python, registry
from envs.datasets.labels import Labelling
from envs.datasets.source import Reading
from envs.datasets.tables.form import Field, column_key
from envs.errors import InputError
from envs.flows import Flows

SHARED = cicflowmeter.single()

WRITTEN = {column_key(name): name for name in cicflowmeter.WRITTEN}
ABBREVIATED = {column_key(name): name for name in cicflowmeter.ABBREVIATED}
CLEANED = {column_key(name): name for name in cicflowmeter.CLEANED}


def named(field: Field, style: Mapping[str, str]) -> str:
    """What a field is called in an edition: the name that tells it, or else its first alias."""
    for key in field.keys:
        if key in style:
            return style[key]
    return field.aliases[0] if field.aliases else field.name


PUBLISHED = [f.name for f in cicflowmeter.FIELDS]
JAVA = ["Protocol", *(named(f, WRITTEN) for f in SHARED)]
CORRECTED = [*JAVA, "Fwd RST Flags", "Bwd RST Flags", "ICMP Code", "ICMP Type"]
CORRECTED += ["Total TCP Flow Time"]
CSE = ["Protocol", *(named(f, ABBREVIATED) for f in SHARED)]
PARQUET = ["Protocol", *(named(f, CLEANED) for f in SHARED if f.name != "Destination Port")]
DDOS = [*PUBLISHED, "Protocol", "Inbound", "SimillarHTTP"]
PYTHON = [name for name in cicflowmeter_python.HEADLESS if "mac" not in name]

EDITIONS: dict[str, tuple[list[str], list[str]]] = {
    "cicids2017": (PUBLISHED, ["BENIGN", "DDoS", "DoS Hulk"]),
    "cicids2017-corrected": (CORRECTED, ["BENIGN", "Portscan", "Botnet"]),
    "cse-cic-ids2018": (CSE, ["Benign", "SSH-Bruteforce", "Infilteration"]),
    "cicddos2019": (DDOS, ["BENIGN", "DrDoS_DNS", "Syn"]),
    "cicflowmeter": (JAVA, ["Benign", "DoS", "Scan"]),
    "cicflowmeter-python": (PYTHON, ["Benign", "DoS", "Scan"]),
}


def cells_of(names: Sequence[str], rows: int = 6, unit: float = 1e6) -> dict[str, list[object]]:
    """A table whose numbers are all different, and fit together where units are told."""
    table: dict[str, list[object]] = {}
    for place, name in enumerate(names):
        table[name] = [1000.0 * (place + 1) + row for row in range(rows)]
    for name in ("src_ip", "dst_ip", "timestamp", "SimillarHTTP"):
        if name in table:
            table[name] = ["10.0.0.1"] * rows
    if "flow_pkts_s" in table:
        table["flow_duration"] = [2.0 * unit] * rows
        table["tot_fwd_pkts"], table["tot_bwd_pkts"] = [3.0] * rows, [1.0] * rows
        table["flow_pkts_s"] = [2.0] * rows
        for column in ("flow_iat", "fwd_iat", "bwd_iat", "active", "idle"):
            for part in ("max", "min", "mean", "std", "tot"):
                if f"{column}_{part}" in table:
                    table[f"{column}_{part}"] = [0.5 * unit] * rows
    return table


def as_csv(table: Mapping[str, Sequence[object]], separator: str = ",") -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return text.getvalue()


def edition(name: str, rows: int = 6, **changes: list[object]) -> dict[str, list[object]]:
    columns, labels = EDITIONS[name]
    labelled: list[object] = [labels[row % len(labels)] for row in range(rows)]
    return cells_of(columns, rows) | {"Label": labelled} | changes


def write(path: Path, table: Mapping[str, Sequence[object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(as_csv(table))
    return path


def read(*paths: Path, kind: str | None = None, **said: object) -> Flows:
    found = registry.recognised(paths) if kind is None else registry.named(kind)
    labelling = Labelling(Catalogue.named(found.catalogue), **said)  # type: ignore[arg-type]
    return registry.opened(paths, Reading(labelling), found.name).read()


def column(flows: Flows, name: str) -> NDArray[np.float32]:
    return flows.features[:, flows.schema.names.index(name)]


@pytest.mark.parametrize("kind", EDITIONS)
def test_every_edition_is_recognised_and_read_whole(tmp_path: Path, kind: str) -> None:
    table = edition(kind)
    flows = read(write(tmp_path / "flows.csv", table))

    assert flows.provenance.kind == kind
    assert flows.provenance.labels == Counter(map(str, table["Label"]))
    wanted = registry.named(kind).schema
    absent = flows.provenance.origin.get("absent", [])
    assert absent == ([] if kind != "cicflowmeter-python" else ["CWR Flag Count"])
    assert len(flows.schema) == len(wanted) - len(absent)
    for field in SHARED:
        there = next((name for name in table if column_key(name) in field.keys), None)
        if there is not None and field.name in flows.schema.names:
            np.testing.assert_array_equal(column(flows, field.name), table[there])


@pytest.mark.parametrize("kind", EDITIONS)
def test_no_two_features_share_a_name(kind: str) -> None:
    keys = Counter(
        key
        for f in registry.named(kind).schema.columns
        for field in (*cicflowmeter.FIELDS,)
        if field.name == f.name
        for key in field.keys
    )
    assert max(keys.values()) == 1


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (["Benign", "SSH-Bruteforce"], "cse-cic-ids2018"),
        (["Benign", "SSH-Patator"], "cicids2017"),
        (["Benign", "DrDoS_LDAP"], "cicddos2019"),
    ],
)
def test_labels_tell_the_cleaned_parquet_copies_apart(
    tmp_path: Path, labels: list[str], kind: str
) -> None:
    table = cells_of(PARQUET) | {"Label": [labels[row % 2] for row in range(6)]}
    pq.write_table(pa.table(table), tmp_path / "flows.parquet")
    assert read(tmp_path / "flows.parquet").provenance.kind == kind
    assert read(tmp_path / "flows.parquet", kind=kind).schema.names[-1] in ("Protocol", "Idle Min")


def test_a_copy_that_may_be_of_two_kinds_needs_a_name_or_a_file_that_tells(tmp_path: Path) -> None:
    benign = cells_of(PARQUET) | {"Label": ["Benign"] * 6}
    attacks = cells_of(PARQUET) | {"Label": ["SSH-Bruteforce"] * 6}
    pq.write_table(pa.table(benign), tmp_path / "1.parquet")
    with pytest.raises(InputError, match="can be read as cicids2017 or cse-cic-ids2018"):
        read(tmp_path / "1.parquet")
    assert len(read(tmp_path / "1.parquet", kind="cicids2017")) == 6

    pq.write_table(pa.table(attacks), tmp_path / "2.parquet")
    assert read(tmp_path).provenance.kind == "cse-cic-ids2018"


def test_mixed_editions_are_refused_by_name(tmp_path: Path) -> None:
    one = write(tmp_path / "days" / "1.csv", edition("cicids2017"))
    two = write(tmp_path / "days" / "2.csv", edition("cicids2017-corrected"))
    with pytest.raises(InputError) as caught:
        read(tmp_path / "days")
    assert caught.value.what == (
        f"the files are of several kinds: {one} is cicids2017, {two} is cicids2017-corrected"
    )
    with pytest.raises(InputError, match="is of the kind cicids2017-corrected, not cicids2017"):
        read(one, two, kind="cicids2017")
    source = registry.opened([tmp_path / "days"], Reading(None), "cicids2017")
    assert [str(remark) for remark in source.remarks] == [
        f"{two} is not read: it is no table of CICIDS2017"
    ]


def test_a_table_of_few_columns_is_told_which_kind_is_near(tmp_path: Path) -> None:
    few = {name: cells for name, cells in edition("cse-cic-ids2018").items() if "Fwd" in name}
    path = write(tmp_path / "few.csv", few | {"Label": ["Benign"] * 6})
    with pytest.raises(InputError) as caught:
        read(path)
    assert "23 features of cicids2017, " in str(caught.value.expected)
    assert "--dataset NAME" in str(caught.value.mend)
    assert "cse-cic-ids2018: 23 of 78 features are there; not: Destination Port, Flow Dur" in str(
        caught.value.below
    )
    assert len(read(path, kind="cse-cic-ids2018").schema) == 23


def test_attempted_attacks_count_as_was_said(tmp_path: Path) -> None:
    labels: list[object] = ["BENIGN", "DoS Hulk", "DoS Hulk - Attempted", "Botnet – Attempted"] * 2
    path = write(tmp_path / "flows.csv", edition("cicids2017-corrected", 8, Label=labels))
    names = Catalogue.named("cicids2017-corrected").class_names

    def classes(flows: Flows) -> Counter[str]:
        return Counter(names[number] for number in flows.actual)

    assert classes(read(path)) == {"Benign": 6, "DoS": 2}
    assert classes(read(path, attempted="attack")) == {"Benign": 2, "DoS": 4, "Botnet": 2}
    dropped = read(path, attempted="drop", insists=True)
    assert classes(dropped) == {"Benign": 2, "DoS": 2}
    assert dropped.provenance.dropped["left out"] == 4
    assert dropped.provenance.reading == {"attempted": "drop"}
    own = read(path, attempted="drop", classes={"Botnet - attempted": "Botnet"})
    assert classes(own) == {"Benign": 2, "DoS": 2, "Botnet": 2}


def test_what_nobody_has_labelled_is_dropped(tmp_path: Path) -> None:
    labels: list[object] = ["NeedManualLabel", "No Label", "DoS", "Benign"]
    flows = read(write(tmp_path / "flows.csv", edition("cicflowmeter", 4, Label=labels)))
    assert flows.provenance.labels == {"Benign": 1, "DoS": 1}
    assert flows.provenance.dropped["unlabelled"] == 2


# --- units ----------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [1.0, 1e6])
def test_seconds_and_microseconds_give_the_same_flows(tmp_path: Path, unit: float) -> None:
    table = cells_of(PYTHON, unit=unit) | {"Label": ["Benign"] * 6}
    flows = read(write(tmp_path / "flows.csv", table))
    assert set(column(flows, "Flow Duration")) == {2e6}
    for name in ("Flow IAT Max", "Fwd IAT Total", "Bwd IAT Min", "Active Mean", "Idle Std"):
        assert set(column(flows, name)) == {0.5e6}
    np.testing.assert_array_equal(column(flows, "Flow Packets/s"), 2.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"flow_iat_max": [500.0] * 6}, "flow_iat_max is 250 times flow_duration"),
        ({"idle_max": [0.5e-6] * 6}, "idle_max is 2.5e-07 times flow_duration"),
        ({"flow_duration": [2.0, 2e6] * 3}, "50% of the first durations are in seconds"),
        ({"flow_duration": [2e-4] * 6}, "0.0001 times the number of packets"),
        ({"flow_duration": [0] * 6}, "none of the first 6 flows has a duration and a rate"),
        ({"flow_pkts_s": None}, "there are no columns flow_duration, flow_pkts_s"),
    ],
)
def test_units_that_cannot_be_told_are_refused(
    tmp_path: Path, change: dict[str, list[object] | None], said: str
) -> None:
    table = cells_of(PYTHON, unit=1.0) | {"Label": ["Benign"] * 6} | change
    table = {name: cells for name, cells in table.items() if cells is not None}
    with pytest.raises(InputError) as caught:
        read(write(tmp_path / "flows.csv", table))
    assert said in caught.value.what
    assert caught.value.what.startswith("the unit of its times cannot be told")


def test_rows_without_header_are_named_only_if_they_are_a_ports(tmp_path: Path) -> None:
    names = cicflowmeter_python.HEADLESS
    table = cells_of(names)
    table["src_mac"] = table["dst_mac"] = ["08:00:27:64:ea:34"] * 6
    path = tmp_path / "flows.csv"
    path.write_text(as_csv(table).partition("\n")[2])
    source = registry.opened([path], Reading(None), registry.recognised([path]).name)
    batches = [batch for part in source.parts for batch in part.batches()]
    duration = source.schema.names.index("Flow Duration")
    assert batches[0].features[:, duration].tolist() == [2e6] * 6

    path.write_text(as_csv(table | {"dst_mac": [17] * 6}).partition("\n")[2])
    with pytest.raises(InputError, match="no known kind of data set: no header"):
        registry.recognised([path])
    with pytest.raises(InputError, match="none of its columns is there, but no header"):
        registry.opened([path], Reading(None), "cicflowmeter-python")


def test_the_ports_wrong_flag_is_no_feature(tmp_path: Path) -> None:
    flows = read(write(tmp_path / "flows.csv", edition("cicflowmeter-python")))
    assert "cwe_flag_count" in PYTHON
    assert not any("CW" in name for name in flows.schema.names)


# --- what must always hold --------------------------------------------------------------------

QUICK = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "cp1252")


def respelled(name: str, style: int) -> str:
    styles = (str, str.upper, str.lower, lambda n: f" {n} ", lambda n: n.replace(" ", ""))
    return str(styles[style](name))


@QUICK
@given(data=st.data(), kind=st.sampled_from([k for k in EDITIONS if k != "cicflowmeter-python"]))
def test_one_table_is_one_scenario_however_it_is_written(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    kind: str,
) -> None:
    folder = tmp_path_factory.mktemp("ways")
    table = edition(kind)
    straight = read(write(folder / "straight.csv", table))
    order = data.draw(st.permutations(list(table)))
    style = data.draw(st.integers(0, 4))
    dash = data.draw(st.sampled_from(["-", "–", "_", " "]))
    cut = data.draw(st.integers(0, 5))
    separator = data.draw(st.sampled_from(",;\t|"))
    spelled = {respelled(name, style): table[name] for name in order}
    label = respelled("Label", style)
    spelled[label] = [str(cell).replace("-", dash) for cell in spelled[label]]
    for number, rows in enumerate((slice(cut), slice(cut, None))):
        part = {name: cells[rows] for name, cells in spelled.items()}
        if part[label]:
            raw = as_csv(part, separator).encode(data.draw(st.sampled_from(ENCODINGS)))
            packed = data.draw(st.booleans())
            name = f"{number}.csv" + (".gz" if packed else "")
            (folder / "parts").mkdir(exist_ok=True)
            (folder / "parts" / name).write_bytes(gzip.compress(raw) if packed else raw)

    parts = read(folder / "parts")

    assert parts.schema == straight.schema
    np.testing.assert_array_equal(parts.features, straight.features)
    np.testing.assert_array_equal(parts.actual, straight.actual)
    assert parts.provenance.labels == straight.provenance.labels


def mutated(table: dict[str, list[object]], data: st.DataObject) -> list[tuple[str, list[object]]]:
    """A table whose header somebody has damaged."""
    columns = list(table.items())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(columns) - 1))
        name, cells = columns[place]
        how = data.draw(st.sampled_from(("gone", "twice", "swapped", "letter", "named", "moved")))
        other = data.draw(st.integers(0, len(columns) - 1))
        if how == "gone" and len(columns) > 2:
            del columns[place]
        elif how == "twice":
            columns.insert(other, (name, cells))
        elif how == "swapped":
            columns[place], columns[other] = columns[other], columns[place]
        elif how == "letter":
            at = data.draw(st.integers(0, max(0, len(name) - 1)))
            columns[place] = (name[:at] + data.draw(st.sampled_from("xyz1 _")) + name[at:], cells)
        elif how == "named":
            columns[place] = (data.draw(st.text(max_size=20)), cells)
        else:
            columns.insert(0, columns.pop(place))
    return columns


def check_mutated(folder: Path, data: st.DataObject, kind: str) -> None:
    table = edition(kind)
    names = registry.named(kind).schema.names
    text = io.StringIO()
    columns = mutated(table, data)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(name for name, _ in columns)
    writer.writerows(zip(*(cells for _, cells in columns), strict=True))
    path = folder / "flows.csv"
    path.write_text(text.getvalue(), encoding="utf-8", errors="replace", newline="")
    refused: list[str] = []
    try:
        flows = read(path)
    except InputError as error:
        refused.append(str(error))
    if refused:
        assert refused[0].isprintable()
        assert len(refused[0]) < 2_000
        return
    whole = {column_key(name): cells for name, cells in table.items()}
    fields = {f.name: f for f in cicflowmeter.FIELDS}
    for name in set(flows.schema.names) & set(names):
        keys = fields[name].keys if name in fields else (column_key(name),)
        cells = next((whole[key] for key in keys if key in whole), None)
        if cells is not None and name != "Fwd Header Length.1":
            np.testing.assert_array_equal(column(flows, name), np.float32(cells))


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data(), kind=st.sampled_from(sorted(EDITIONS)))
def test_damaged_headers_give_the_right_columns_or_one_message(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, kind: str
) -> None:
    check_mutated(tmp_path_factory.mktemp("mutated"), data, kind)


@pytest.mark.slow
@settings(max_examples=2_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), kind=st.sampled_from(sorted(EDITIONS)))
def test_two_thousand_damaged_headers(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, kind: str
) -> None:
    check_mutated(tmp_path_factory.mktemp("mutated"), data, kind)
