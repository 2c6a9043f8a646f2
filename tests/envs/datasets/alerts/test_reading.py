"""Alerts from logs and tables, told by content."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.datasets.alerts.alert import moment
from envs.datasets.alerts.columns import read_columns
from envs.datasets.alerts.reading import SURICATA, TABLE, ZEEK, read_alerts
from envs.errors import InputError
from tests.envs.datasets.alerts.made import LOGS, NOTICES, eve, write_lines

FLOW = {"event_type": "flow", "flow_id": 1, "flow": {"pkts_toserver": 1}}


def test_suricatas_alerts_are_read_and_what_else_is_there_is_counted(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "eve.json", [eve(7, 1, second=3), FLOW, eve(2000, 2), eve(7, 3)])

    read = read_alerts([path])

    first = read.alerts[0]
    assert (read.kind, len(read), read.others) == (SURICATA, 3, 1)
    assert (first.rule, first.category, first.id) == ("1:7", "Misc Attack", "1")
    assert (first.source, first.destination) == ("10.0.0.1:5000", "[fe80::1]:80")
    assert [(one.rule.text, one.seen) for one in read.rules] == [
        ("1:7 ET rule 7", 2),
        ("1:2000 ET rule 2000", 1),
    ]


def test_zeeks_notices_are_read_by_the_names_of_their_fields(tmp_path: Path) -> None:
    path = tmp_path / "notice.log"
    path.write_text(NOTICES)

    read = read_alerts([path])

    cert, scan = read.alerts
    assert read.kind == ZEEK
    assert (cert.rule, cert.id, cert.destination) == (
        "SSL::Invalid_Server_Cert",
        "Cab",
        "10.0.0.2:443",
    )
    assert scan.id.startswith("alert-")
    assert (scan.source, scan.message) == ("10.0.0.9", "10.0.0.9 scanned ports")
    assert [one.rule.text for one in read.rules] == ["SSL::Invalid_Server_Cert", "Scan::Port_Scan"]


def test_form_and_packing_make_no_difference(tmp_path: Path) -> None:
    records = [eve(7, 1), eve(8, 2, message='ключ, "quoted"')]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    forms = {
        "a": lines.encode(),
        "b": json.dumps(records).encode(),
        "c": json.dumps(records, indent=2, ensure_ascii=False).encode(),
        "d": b"\xef\xbb\xbf" + lines.replace("\n", "\r\n").encode(),
        "e": "\n".join(json.dumps(record, indent=1) for record in records).encode(),
        "f": gzip.compress(lines.encode()),
        "g": b"\n\n" + lines.encode(),
    }
    read = []
    for name, content in forms.items():
        (tmp_path / name).write_bytes(content)
        read.append(read_alerts([tmp_path / name]).alerts)

    assert all(alerts == read[0] for alerts in read)


def test_a_line_that_is_cut_off_is_left_out_and_counted(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "eve.json", [eve(7, 1), eve(8, 2)])
    path.write_text(path.read_text() + json.dumps(eve(9, 3))[:60])

    read = read_alerts([path])

    assert (len(read), read.damaged) == (2, 1)


def test_notices_whose_tabs_became_spaces_are_read_up_to_their_name(tmp_path: Path) -> None:
    path = tmp_path / "notice.log"
    path.write_text(NOTICES + "102.5 - - - - - SSH::Password_Guessing 10.0.0.7 guesses\t10.0.0.7\n")

    read = read_alerts([path])

    assert [alert.rule for alert in read.alerts][2:] == ["SSH::Password_Guessing"]
    assert (read.alerts[2].time, read.alerts[2].message) == ("102.5", "")


def test_a_folder_names_what_it_does_not_use_and_reads_a_copy_once(tmp_path: Path) -> None:
    one = write_lines(tmp_path / "eve.json", [eve(7, 1)])
    (tmp_path / "eve-copy.json.gz").write_bytes(gzip.compress(one.read_bytes()))
    write_lines(tmp_path / "flows.json", [FLOW])
    (tmp_path / "fast.log").write_text("01/01/2026 [**] text [**]\n")

    read = read_alerts([tmp_path])

    assert len(read) == 1
    assert sorted(Path(name).name for name in read.unused) == ["fast.log", "flows.json"]
    assert len(read.twice) == 1


def test_a_table_is_read_by_the_columns_that_a_schema_names(tmp_path: Path) -> None:
    schema = tmp_path / "schema.yaml"
    schema.write_text("signature: rule.id\nclass: rule.groups\nid: id\ntime: timestamp\n")
    table = tmp_path / "alerts.json"
    rule = {"id": 5710, "groups": ["syslog", "sshd"]}
    write_lines(table, [{"id": "17.5", "timestamp": "2026", "rule": rule}, {"id": "9", "rule": {}}])
    csv = tmp_path / "alerts.csv"
    csv.write_text("rule.id;rule.groups;id;timestamp\n5710;syslog, sshd;17.5;2026\n1;2\n")

    found = [read_alerts([path], read_columns(schema)) for path in (table, csv)]

    for read in found:
        (alert,) = read.alerts
        assert (read.kind, read.damaged) == (TABLE, 1)
        assert (alert.rule, alert.category, alert.id) == ("5710", "syslog, sshd", "17.5")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("signature: a\n", "class missing"),
        ("- a\n", "is no mapping"),
        ("signature: a\nclass: b\nlabel: c\n", "line 3, label: unknown key 'label'"),
        ("signature: a\nclass: 7\n", "line 2, class: class names no column"),
    ],
)
def test_a_schema_that_is_none_is_refused_by_its_line(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "schema.yaml").write_text(text)

    with pytest.raises(InputError, match=message):
        read_columns(tmp_path / "schema.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<html>", "HTML"),
        (b"PK\x03\x04", "no text"),
        (b"\x1f\x8b\x08\x00abc", "gzip file is damaged"),
        (b'[{"event_type": "alert"', "line 1: is not JSON from here on"),
        (b"[" * 100_000, "is not JSON from here on"),
        (b'{"a":' * 100_000, "is not JSON from here on"),
        (json.dumps(FLOW).encode() + b"\n", r"holds no alert \(1 flow\)"),
        (b"#separator \\x09\n#fields\tts\tuid\tconn_state\n1\tC\tSF\n", "holds no alert"),
        (b"a,b\n1,2\n", "holds no alert"),
        (b"a,a\n1,2\n", "column 'a' is there twice"),
    ],
)
def test_what_holds_no_alerts_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "file").write_bytes(content)

    with pytest.raises(InputError, match=message):
        read_alerts([tmp_path / "file"])


def test_alerts_of_two_kinds_are_refused(tmp_path: Path) -> None:
    one = write_lines(tmp_path / "eve.json", [eve(7, 1)])
    (tmp_path / "notice.log").write_text(NOTICES)

    with pytest.raises(InputError, match=r"zeek-notices.*alerts of one IDS"):
        read_alerts([one, tmp_path / "notice.log"])


def test_times_are_compared_whatever_their_form() -> None:
    forms = ("2026-01-01T01:00:00.000001+0100", "2026-01-01 00:00:00.000001", "1767225600.000001")

    assert {moment(form) for form in forms} == {"1767225600000001"}
    assert moment("yesterday") == "yesterday"


COUNTS = {
    "suricata-eve-ctu-malicious.json.gz": (745, 122),
    "suricata-eve-nmap-lab.json.gz": (59, 5),
    "suricata-eve-small.json": (3, 1),
    "suricata-eve-zeus.json.gz": (656, 4),
    "zeek-notice-json-maccdc.log": (22, 4),
    "zeek-notice-json-scan.log": (18, 3),
    "zeek-notice-tsv-2017.log.gz": (1586, 1),
    "zeek-notice-tsv-scan.log": (13, 2),
    "zeek-notice-tsv-wrccdc.log.gz": (207, 1),
}


@pytest.mark.skipif(not LOGS.is_dir(), reason="the genuine logs are not here")
@pytest.mark.parametrize("name", COUNTS)
def test_genuine_logs_are_read_whole(name: str) -> None:
    read = read_alerts([LOGS / name])

    assert (len(read), len(read.rules), read.damaged) == (*COUNTS[name], 0)


HOSTILE = (
    b"\x00",
    b"\xff\xfe",
    b'"',
    b"{",
    b"[",
    b"\t",
    b"\n",
    b"\r",
    b"#fields\t",
    b"#separator \\x00\n",
    b'{"event_type":"alert","alert":[]}\n',
    b'{"event_type":"alert","alert":{"signature_id":true}}\n',
    b'{"event_type":"alert","alert":{"signature_id":1e999,"gid":-1}}\n',
    b'{"event_type":"alert","alert":{"signature_id":' + b"9" * 5000 + b"}}\n",
    b'{"note":{"a":1},"ts":NaN}\n',
    b'{"note":[["A::b"]],"ts":[]}\n',
    b'"' + b"x" * 200_000,
)


@given(st.integers(0, 2**32))
@settings(max_examples=150)
def test_damaged_and_hostile_logs_give_alerts_or_one_message(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 (an example)
    bases = (
        "".join(json.dumps(eve(rng.randrange(9), n)) + "\n" for n in range(6)).encode(),
        json.dumps([eve(rng.randrange(9), n) for n in range(4)]).encode(),
        NOTICES.encode(),
        b"sid,kind,id\n1,scan,a\n2,dos,b\n",
    )
    content = rng.choice(bases)
    for _ in range(rng.randrange(1, 5)):
        at, upto = sorted(rng.randrange(len(content) + 1) for _ in range(2))
        content = rng.choice(
            (
                content[:at] + content[upto:],
                content[:at],
                content[:at] + rng.choice(HOSTILE) + content[at:],
                content[:at] + rng.randbytes(4) + content[at + 4 :],
            )
        )
    if rng.random() < 0.2:
        content = gzip.compress(content)[: rng.randrange(20, 400)]
    path = tmp_path_factory.getbasetemp() / "hostile"
    path.write_bytes(content)
    columns = {"signature": "sid", "class": "kind"} if rng.random() < 0.3 else None

    try:
        alerts = read_alerts([path], columns).alerts
    except InputError as error:
        told = [str(error)]
    else:
        told = [part for alert in alerts for part in (alert.rule, alert.message, alert.id)]
        assert all(alert.rule for alert in alerts)

    assert all(part.isprintable() for part in told)
