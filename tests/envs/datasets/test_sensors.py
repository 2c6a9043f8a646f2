"""What sensors and flow tools write is read by name; cells that say nothing mean something."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from envs.datasets import registry
from envs.datasets.argus import label_of
from envs.datasets.netflow import FORM as NETFLOW
from envs.datasets.source import Reading
from envs.datasets.unsw import RAW_COLUMNS
from envs.errors import InputError
from tests.envs.datasets.logs import (
    CONN,
    CONNECTIONS,
    column,
    eve,
    features,
    labelled,
    opened,
    tallied,
    words,
    zeek,
)


def write(folder: Path, text: str, name: str = "log") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def eve_log(folder: Path, *records: dict[str, object]) -> Path:
    return write(folder, "".join(json.dumps(record) + "\n" for record in records), "eve.json")


def test_zeek_cells_that_say_nothing_stand_for_what_is_written_down(tmp_path: Path) -> None:
    source = opened(write(tmp_path, zeek()))

    assert source.parts[0].size > 0
    assert column(source, "id.resp_p") == [80, 5353, 0, 23]
    assert column(source, "duration") == pytest.approx([3.139211, 0, 0, 0.5])
    assert column(source, "orig_bytes") == [12, 0, 0, 0]
    assert column(source, "local_orig") == [-1, 1, 1, 0]
    assert words(source, "service") == ["http", "dns", "", ""]
    assert words(source, "conn_state") == ["SF", "S0", "OTH", "REJ"]


def test_the_history_of_a_connection_is_counted_by_event_and_side(tmp_path: Path) -> None:
    source = opened(write(tmp_path, zeek()))

    assert column(source, "orig SYN") == [1, 0, 0, 1]
    assert column(source, "resp SYN-ACK") == [1, 0, 0, 0]
    assert column(source, "orig data") == [1, 1, 0, 0]
    assert column(source, "resp RST") == [0, 0, 0, 1]
    assert column(source, "orig RST") == [0, 0, 0, 1]
    assert column(source, "direction flipped") == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("names", "cells", "label"),
    [
        ((*CONN, "label", "detailedlabel"), "Benign From_benign-To_benign-DHCP", "Benign"),
        ((*CONN, "label", "detailed-label"), "Malicious C&C", "Malicious C&C"),
        ((*CONN, "label"), "Benign", "Benign"),
        ((*CONN, "detailed-label"), "PartOfAHorizontalPortScan", "PartOfAHorizontalPortScan"),
    ],
)
def test_zeek_labels_are_made_of_both_columns(
    tmp_path: Path, names: tuple[str, ...], cells: str, label: str
) -> None:
    path = write(tmp_path, zeek([f"{CONNECTIONS[0]} {cells}"], names))

    assert tallied(opened(path, reading=labelled("iot-23"))).labels == {label: 1}


def test_iot_23_puts_its_labels_behind_the_last_column(tmp_path: Path) -> None:
    names = (*CONN, "tunnel_parents   label   detailed-label")
    log = zeek(CONNECTIONS[:2], names).replace("SF\t-", "SF\tT")
    rows = log.replace("\t5\t600\n", "\t5\t600\t-   Malicious   C&C\n")
    rows = rows.replace("\t76\t0\t0\n", "\t76\t0\t0\t(empty)   Benign   -\n")

    tally = tallied(opened(write(tmp_path, rows), reading=labelled("iot-23")))

    assert tally.labels == {"Malicious C&C": 1, "Benign": 1}


def test_what_a_labeller_did_not_know_is_unlabelled(tmp_path: Path) -> None:
    rows = [f"{CONNECTIONS[0]} Unknown (empty)", f"{CONNECTIONS[1]} Benign -"]
    path = write(tmp_path, zeek(rows, (*CONN, "label", "detailedlabel")))

    tally = tallied(opened(path, reading=labelled("iot-23")))

    assert (tally.labels, tally.dropped["unlabelled"]) == ({"Benign": 1}, 1)


def test_logs_that_were_joined_are_read_and_comments_between_rows_passed_over(
    tmp_path: Path,
) -> None:
    path = write(tmp_path, zeek(CONNECTIONS[:2]) + zeek(CONNECTIONS[2:]))

    assert column(opened(path), "id.resp_p") == [80, 5353, 0, 23]


def test_a_log_whose_columns_change_is_refused_at_that_row(tmp_path: Path) -> None:
    first = zeek(CONNECTIONS[:2])
    swapped = (CONN[1], CONN[0], *CONN[2:])
    path = write(tmp_path, first + zeek(CONNECTIONS[2:], swapped))

    with pytest.raises(InputError, match=f"row {first.count(chr(10)) + 7}: the columns change"):
        features(opened(path))


@pytest.mark.parametrize("cut", [1, 2, 9, 40])
def test_a_log_that_ends_in_the_middle_of_a_row_is_refused(tmp_path: Path, cut: int) -> None:
    whole = zeek(close="")

    with pytest.raises(InputError, match="truncated"):
        features(opened(write(tmp_path, whole[: -len("\t1\t40\n") - cut])))


def test_a_row_that_lost_a_cell_never_shifts_the_others(tmp_path: Path) -> None:
    path = write(tmp_path, zeek().replace("\ttcp\thttp\t", "\ttcp\t"))

    with pytest.raises(InputError, match=r"row 9: the row has 19 cells. Expected 20"):
        features(opened(path))


def test_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    turned = [" ".join(reversed(row.split(" "))) for row in CONNECTIONS]
    straight = opened(write(tmp_path, zeek(), "a"))
    reverse = opened(write(tmp_path, zeek(turned, tuple(reversed(CONN))), "b"))

    assert straight.schema == reverse.schema
    assert features(straight).tolist() == features(reverse).tolist()


def test_suricata_flows_are_read_among_other_records(tmp_path: Path) -> None:
    alert = eve(1, event_type="alert", alert={"signature_id": 7})
    ping = eve(2, proto="ICMP", icmp_type=8, icmp_code=0)
    for name in ("src_port", "dest_port", "app_proto", "tcp"):
        del ping[name]
    source = opened(eve_log(tmp_path, alert, eve(0), {"event_type": "stats"}, ping))

    assert column(source, "dest_port") == [22, -1]
    assert column(source, "icmp_type") == [-1, 8]
    assert column(source, "flow.age") == [3, 3]
    assert words(source, "app_proto") == ["ssh", ""]
    assert words(source, "tcp.state") == ["closed", ""]
    assert column(source, "SYN to server") == [1, 0]
    assert column(source, "FIN to server") == [0, 0]
    assert column(source, "FIN to client") == [1, 0]


def test_the_verdict_of_the_ids_is_no_feature(tmp_path: Path) -> None:
    names = opened(eve_log(tmp_path, eve(0))).schema.names

    assert not [name for name in names if "alert" in name or "reason" in name]


def test_what_only_late_records_have_is_read(tmp_path: Path) -> None:
    early = [eve(number) for number in range(600)]
    for record in early:
        del record["tcp"]

    source = opened(eve_log(tmp_path, *early, eve(601)))

    assert column(source, "SYN to server") == [0] * 600 + [1]
    assert words(source, "tcp.state") == [""] * 600 + ["closed"]


def test_an_eve_log_without_flows_says_how_to_have_them(tmp_path: Path) -> None:
    path = eve_log(tmp_path, eve(0, event_type="alert", label="x"))

    with pytest.raises(InputError, match=r"no record has the event_type 'flow'.*eve-log"):
        opened(path, reading=labelled("enterprise-network")).read()


def test_a_csv_copy_of_eve_gives_the_flows_alone(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "event_type,flow_id,src_ip,dest_ip,dest_port,proto,flow.age\n"
        "alert,1,a,b,x,TCP,\nflow,2,a,b,443,TCP,7\nflow,3,a,b,53,UDP,1\n".replace(",x,", ",1,"),
    )

    assert column(opened(path), "dest_port") == [443, 53]
    assert column(opened(path), "flow.age") == [7, 1]


def test_one_record_is_a_log(tmp_path: Path) -> None:
    files = {"files": [{"name": "a"}, {"name": "b"}]}

    assert column(opened(eve_log(tmp_path, eve(0, **files))), "dest_port") == [22]
    indented = write(tmp_path, json.dumps(eve(0), indent=2), "indented.json")
    assert column(opened(indented), "dest_port") == [22]


def test_arrays_that_were_joined_are_read(tmp_path: Path) -> None:
    array = json.dumps([eve(0), eve(1)])
    path = write(tmp_path, array + "\n" + array)

    assert column(opened(path), "dest_port") == [22] * 4


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[" * 200_000, "row 1.*(recursion|truncated)"),
        (json.dumps([eve(0)])[:-20], "truncated"),
        (json.dumps(eve(0)) + "\n" + json.dumps(eve(1))[:-20], "row 2.*truncated"),
        (json.dumps(eve(0)) + "\n[1, 2]\n", "row 2.*it is a list"),
        (json.dumps([eve(0), 7]), "record 2.*it is a int"),
        (json.dumps(eve(0)).replace("22", '"ssh"', 1), "record|is not a number"),
        (json.dumps(eve(0)).replace("2319", "1" * 5000), "row 1.*not a JSON record"),
        ("[]", "there is no record in it"),
    ],
)
def test_damaged_records_are_told_with_their_place(
    tmp_path: Path, text: str, complaint: str
) -> None:
    with pytest.raises(InputError, match=f"(?s){complaint}"):
        features(opened(write(tmp_path, text), "suricata-flow"))


def test_numbers_beyond_a_float_drop_the_row(tmp_path: Path) -> None:
    huge = json.dumps(eve(1)).replace('"age": 3', f'"age": {"9" * 400}')
    nan = json.dumps(eve(2)).replace('"age": 3', '"age": NaN')
    path = write(tmp_path, "\n".join([json.dumps(eve(0)), huge, nan, ""]))

    tally = tallied(opened(path))

    # What is not there stands for 0, as everywhere in this log.
    assert (tally.rows, tally.dropped["non-finite"]) == (3, 1)
    assert column(opened(path), "flow.age") == [3, 0]


def test_netflow_trains_on_the_columns_that_are_there(tmp_path: Path) -> None:
    head = "IPV4_SRC_ADDR,L4_SRC_PORT,IPV4_DST_ADDR,L4_DST_PORT,PROTOCOL,L7_PROTO,IN_BYTES,"
    head += "OUT_BYTES,IN_PKTS,OUT_PKTS,TCP_FLAGS,FLOW_DURATION_MILLISECONDS,Label,Attack,Dataset"
    rows = ["1.1.1.1,99,2.2.2.2,80,6,7.0,10,20,1,2,27,5,0,Benign,x"]
    rows += ["1.1.1.1,99,2.2.2.2,80,6,7.0,10,20,1,2,27,5,1,ddos,x"]
    path = write(tmp_path, "\n".join([head, *rows, ""]))

    source = opened(path, reading=labelled("netflow"))

    assert source.schema.names == NETFLOW.schema.names[:9]
    assert tallied(source).labels == {"Benign": 1, "DDoS": 1}
    assert source.remarks[0].startswith("39 of 48 features are not in the files: CLIENT_TCP_FLAGS")


def test_who_and_when_are_no_features_of_any_sensor() -> None:
    for name in ("FLOW_START_MILLISECONDS", "FLOW_END_MILLISECONDS", "L4_SRC_PORT"):
        assert name not in NETFLOW.schema.names


def raw(attack: str, label: str, port: str = "80") -> str:
    values = dict.fromkeys(RAW_COLUMNS, "1") | {"srcip": "1.1.1.1", "dstip": "2.2.2.2"}
    values |= {"proto": "tcp", "state": "FIN", "service": "-", "dsport": port}
    values |= {"ct_flw_http_mthd": "", "is_ftp_login": "", "ct_ftp_cmd": " "}
    return ",".join((values | {"attack_cat": attack, "Label": label}).values())


def test_raw_unsw_files_have_no_header_and_leave_normal_flows_unnamed(tmp_path: Path) -> None:
    rows = [raw("", "0"), raw(" Fuzzers ", "1", "0x0050"), raw("Backdoors", "1", "-")]
    source = opened(write(tmp_path, "\n".join([*rows, ""])), reading=labelled("unsw-nb15"))

    assert tallied(source).labels == {"Normal": 1, "Fuzzers": 1, "Backdoors": 1}
    assert column(source, "dsport") == [80, 80, -1]
    assert column(source, "ct_ftp_cmd") == [0, 0, 0]
    assert words(source, "service") == ["", "", ""]
    assert "rate" not in source.schema.names


@pytest.mark.parametrize("name", ["target", "label"])
def test_unsw_without_names_of_attacks_asks_what_1_means(tmp_path: Path, name: str) -> None:
    head = f"sttl,ct_state_ttl,ct_srv_dst,{name}"
    path = write(tmp_path, f"{head}\n1,2,3,0\n4,5,6,1\n")

    with pytest.raises(InputError, match=r"'1'.*--labels"):
        opened(path, reading=labelled("unsw-nb15")).read()
    mapped = labelled("unsw-nb15", **{"0": "Normal", "1": "Generic"})
    assert opened(path, reading=mapped).read().actual.tolist() == [0, 6]


def test_digits_that_a_spreadsheet_grouped_are_refused_with_the_reason(tmp_path: Path) -> None:
    text = raw("", "0").replace(",1,1,1,1,", ",1.307.668.672,1,1,1,", 1).replace(",", ";")

    with pytest.raises(InputError, match="a spreadsheet has put dots between its digits"):
        features(opened(write(tmp_path, text + "\n")))


BINETFLOW = "StartTime,Dur,Proto,SrcAddr,Sport,Dir,DstAddr,Dport,State,sTos,dTos,TotPkts,TotBytes"


@pytest.mark.parametrize("separator", [",", "\t"])
def test_argus_is_read_with_commas_and_tabs(tmp_path: Path, separator: str) -> None:
    head = f"{BINETFLOW},SrcBytes,SrcPkts,Label"
    rows = [
        "2019/04/04 16:23:00.325010,0.02,udp,10.8.0.69,48427,  <->,8.8.8.8,53,CON,0,0,2,142,63,1,"
        "flow=From-Botnet-V42-UDP-DNS",
        "2019/04/04 16:23:01.1,1.5,icmp,10.8.0.69,0x0008,   ->,8.8.8.8,0x0303,URP,0,,1,60,60,1,"
        "flow=From-Normal-V42-Jist",
        "2019/04/04 16:23:02.1,1.5,arp,10.8.0.69,,  who,10.8.0.1,,CON,,,2,84,42,1,",
    ]
    path = write(tmp_path, "\n".join([head, *rows, ""]).replace(",", separator))

    source = opened(path, reading=labelled("ctu-13"))

    assert tallied(source).labels == {"Botnet": 1, "Normal": 1}
    assert tallied(source).dropped["unlabelled"] == 1
    assert column(opened(path), "Dport") == [53, 0x303, -1]
    assert column(opened(path), "dTos") == [0, -1, -1]
    assert words(opened(path), "Dir") == ["<->", "->", "who"]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("flow=From-Botnet-V42-TCP-CC6-Plain-HTTP", "Botnet"),
        ("flow=To-Botnet-V46-UDP-Attempt", "To-Botnet"),
        ("flow=Normal-V42-HTTP-windowsupdate", "Normal"),
        ("flow=To-Normal-V42-UDP-NTP-server", "To-Normal"),
        ("flow=Background-UDP-Established", "Background"),
        ("flow=To-Background-UDP-CVUT-DNS-Server", "Background"),
        ("flow=Malware-UDP-DNS", "Malware"),
        ("flow=TCP-Established-To-Microsoft-7", "TCP-Established-To-Microsoft-7"),
        ("", ""),
    ],
)
def test_argus_labels_are_read_as_their_kind(text: str, label: str) -> None:
    assert label_of((text,)) == label


def test_words_of_an_existing_scenario_keep_their_numbers(tmp_path: Path) -> None:
    first = opened(write(tmp_path, zeek(), "first"))
    other = [CONNECTIONS[1], CONNECTIONS[0].replace(" http ", " quic ")]
    reading = Reading(None, first.schema)
    second = opened(write(tmp_path, zeek(other), "second"), reading=reading)

    assert second.schema == first.schema
    assert words(second, "service") == ["dns", None]
    assert words(second, "conn_state") == ["S0", "SF"]


def test_flows_to_be_decided_keep_what_tells_them_apart(tmp_path: Path) -> None:
    source = opened(write(tmp_path, zeek()), reading=Reading(None, keys=True))
    (batch,) = (batch for part in source.parts for batch in part.batches())

    assert batch.keys is not None
    keys = batch.keys.to_pydict()
    assert keys["id"] == ["C1", "C2", "C3", "C4"]
    assert keys["src_port"] == ["41040", "5353", "8", "50000"]
    assert keys["row"] == [9, 10, 11, 12]


def test_a_folder_of_zeek_gives_its_connections(tmp_path: Path) -> None:
    write(tmp_path, zeek(), "conn.09:00.log")
    write(tmp_path, zeek([]), "conn.10:00.log")
    write(tmp_path, zeek(["1 C1 a.org"], ("ts", "uid", "query")), "dns.log")
    write(tmp_path, "", "stderr.log")

    source = registry.opened([tmp_path], Reading(None))

    assert len(features(source)) == 4
    assert [remark.split(":")[-1] for remark in source.remarks] == [
        " it is no table of Zeek's conn.log",
        " the file is empty",
    ]


def test_a_log_of_a_quiet_hour_alone_is_told_to_be_one(tmp_path: Path) -> None:
    path = write(tmp_path, zeek([], (*CONN, "label")))

    with pytest.raises(InputError, match="there are no rows"):
        opened(path, reading=labelled("iot-23")).read()
