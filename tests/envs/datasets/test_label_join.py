"""Labels of a file of their own find their flows, or it is said which did not."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from envs.catalogue import Catalogue
from envs.datasets import registry
from envs.datasets.label_join import FileLabels, join_of
from envs.datasets.labels import Labelling
from envs.datasets.source import FlowSource, Reading
from envs.errors import InputError
from tests.envs.datasets.logs import CONNECTIONS, eve, tallied, zeek

IOT = Labelling(Catalogue.named("iot-23"), {"scan": "Scan", "bot": "Botnet"})


def joined(folder: Path, labels: str, flows: str | None = None) -> FlowSource:
    (folder / "labels").write_text(labels)
    (folder / "flows").write_text(zeek() if flows is None else flows)
    join = join_of([folder / "labels"], [folder / "flows"])
    return registry.opened([folder / "flows"], Reading(IOT, join=join))


def test_labels_are_joined_by_id_and_what_has_none_is_counted(tmp_path: Path) -> None:
    source = joined(tmp_path, "uid,label\nC1,Benign\nC4,scan\nC9,scan\n")

    assert source.read().actual.tolist() == [0, 1]
    assert tallied(source).dropped["unlabelled"] == 2
    assert source.remarks[-1].endswith(
        "labels, joined by id: 2 of 4 flows have a label, 1 of 3 labels have no flow"
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"uid": "C1", "class": "scan"}\n{"uid": "C2", "class": "Benign"}\n',
        '[{"uid": "C1", "label": 1, "attack_type": "scan"},'
        ' {"uid": "C2", "label": 0, "attack_type": "Benign"}]',
        '{"ground_truth": [{"flow_id": "C1", "label_name": "scan"},'
        ' {"flow_id": "C2", "label_name": "Benign"}]}',
        "Flow ID\tAttack\nC1\tscan\nC2\tBenign\n",
        zeek(["1 C1 scan -", "2 C2 Benign -"], ("ts", "uid", "label", "detailed-label")),
    ],
)
def test_labels_stand_in_any_form(tmp_path: Path, text: str) -> None:
    assert tallied(joined(tmp_path, text)).labels == {"scan": 1, "Benign": 1}


def test_both_columns_of_zeek_make_the_label(tmp_path: Path) -> None:
    text = zeek(["1 C1 Malicious C&C"], ("ts", "uid", "label", "detailed-label"))

    assert tallied(joined(tmp_path, text)).labels == {"Malicious C&C": 1}


def test_ids_that_a_tool_wrote_as_decimals_are_the_same(tmp_path: Path) -> None:
    flows = "".join(json.dumps(eve(n, flow_id=n)) + "\n" for n in range(2))
    source = joined(tmp_path, "flow_id,label\n0.0,Benign\n1.0,scan\n", flows)

    assert tallied(source).labels == {"Benign": 1, "scan": 1}


HEAD = "ts,src_ip,src_port,dst_ip,dst_port,proto,label\n"


def test_labels_are_joined_by_both_ends_and_the_nearest_time_in_either_direction(
    tmp_path: Path,
) -> None:
    source = joined(
        tmp_path,
        HEAD
        + "1545403816.5,192.168.1.195,41040,185.244.25.235,80,6,Benign\n"
        + "1545403816.9,185.244.25.235,80,192.168.1.195,41040,TCP,scan\n"
        + "1545403999,10.0.0.9,50000,192.168.1.195,23,tcp,scan\n"
        + "1545403817.1,192.168.1.195,5353,224.0.0.251,5353,tcp,scan\n",
    )

    # The third is too late, the fourth of another protocol.
    assert tallied(source).labels == {"scan": 1}
    assert (
        "addresses, ports and time (1 s): 1 of 4 flows have a label, 3 of 4" in (source.remarks[-1])
    )


def test_a_label_with_an_end_covers_what_begins_before_it(tmp_path: Path) -> None:
    head = HEAD.replace("ts,", "start,end,")
    row = "2018-12-21T14:50:00Z,2018-12-21T14:51:00Z,192.168.1.195,41040,185.244.25.235,80,6,scan\n"

    assert tallied(joined(tmp_path, head + row)).labels == {"scan": 1}
    late = row.replace("14:5", "15:5")
    with pytest.raises(InputError, match="none of 4 flows has one of its 1 labels"):
        joined(tmp_path, head + late)


@pytest.mark.parametrize(
    "time", ["1545403816962", "1545403816962094", "2018/12/21 14:50:16.962094", "1545403816.9"]
)
def test_times_are_read_in_many_ways(tmp_path: Path, time: str) -> None:
    row = f"{time},192.168.1.195,41040,185.244.25.235,80,6,scan\n"

    assert tallied(joined(tmp_path, HEAD + row)).labels == {"scan": 1}


def test_addresses_are_compared_however_they_are_written(tmp_path: Path) -> None:
    cells = CONNECTIONS[0].replace("185.244.25.235", "fe80::1")
    row = "1545403816.9,192.168.1.195,41040,FE80:0:0:0:0:0:0:0001,80.0,6,scan\n"

    assert tallied(joined(tmp_path, HEAD + row, zeek([cells]))).labels == {"scan": 1}


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        ("uid,label\nC1,Benign\nC1,scan\n", r"\(C1\): 'Benign' in row 2 and 'scan' in row 3"),
        (
            HEAD
            + "1545403816.9,192.168.1.195,41040,185.244.25.235,80,6,bot\n" * 2
            + "1545403816.9,192.168.1.195,41040,185.244.25.235,80,6,scan\n",
            "'bot' in row 2 and 'scan' in row 4",
        ),
        ("uid,label\nX1,scan\n", "id 'C1'.*begins with id 'X1'"),
        ("uid,label\nC1,\n", "no row has a label.*'label'"),
        ("uid,verdict_text\nC1,x\n", "no label column, but 'uid', 'verdict_text'"),
        ("host,label\nC1,x\n", "nothing tells which flows"),
        ("flow,label\n", "no row below"),
        (
            HEAD + "05/07/2017 07:46:12 PM,192.168.1.195,41040,185.244.25.235,80,6,bot\n",
            "'05/07/2017 07:46:12 PM' is no time that can be read in one way alone",
        ),
    ],
)
def test_nothing_is_guessed(tmp_path: Path, labels: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        joined(tmp_path, labels)


def test_two_labels_of_one_id_are_told_apart_by_time(tmp_path: Path) -> None:
    labels = "uid,ts,label\nC1,1545403816.9,scan\nC1,1545403999,Benign\n"

    assert tallied(joined(tmp_path, labels)).labels == {"scan": 1}


def test_one_id_in_two_files_is_refused_and_labels_can_be_given_for_each(tmp_path: Path) -> None:
    for name, label in (("a", "scan"), ("b", "Benign")):
        (tmp_path / name).write_text(zeek(CONNECTIONS[:1]))
        (tmp_path / f"labels-{name}").write_text(f"uid,label\nC1,{label}\n")
    data = [tmp_path / "a", tmp_path / "b"]
    labels = [tmp_path / "labels-a", tmp_path / "labels-b"]

    with pytest.raises(InputError, match=r"two files have the id 'C1'.*--labels once for each"):
        registry.opened(data, Reading(IOT, join=join_of(labels[:1], data)))
    flows = registry.opened(data, Reading(IOT, join=join_of(labels, data))).read()
    assert flows.actual.tolist() == [1, 0]
    with pytest.raises(InputError, match="2 files of labels for 1 files or folders"):
        join_of(labels, data[:1])


def test_flows_without_what_labels_are_joined_by_are_refused(tmp_path: Path) -> None:
    flows = "id.resp_p,proto,conn_state\n80,tcp,SF\n"

    with pytest.raises(InputError, match="flows have dst_port, protocol, labels have id"):
        joined(tmp_path, "uid,label\nC1,scan\n", flows)


def test_joined_labels_travel(tmp_path: Path) -> None:
    source = joined(tmp_path, "uid,label\nC1,Benign\nC4,scan\n")

    (part,) = pickle.loads(pickle.dumps(list(source.parts)))  # noqa: S301 (made here)
    assert [batch.actual.tolist() for batch in part.batches()] == [[0, 1]]


def test_labels_of_parquet_are_read(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "labels.parquet"
    pq.write_table(pa.table({"uid": ["C1", "C2"], "label": ["scan", None]}), path)
    labels = FileLabels.read(path)

    assert labels.rows.tolist() == [1]
