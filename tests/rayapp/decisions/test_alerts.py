"""Alerts of an IDS are decided by rule; what the run does not know is said."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from envs import Catalogue, InputError, Scenario
from envs.datasets.alerts.reading import read_alerts
from envs.datasets.alerts.scenario import scenario_of_alerts
from rayapp import Run
from rayapp.decisions.deciding import Job
from rayapp.runs.folder import RunFolder
from tests.envs.datasets.alerts.made import NOTICES, eve, write_lines
from tests.rayapp.decisions.conftest import finished

RECORDS = [eve(sid, 10 * sid + n, second=n) for sid in (7, 8) for n in range(10)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run on alerts of two rules, of which the second one is always wrong."""
    folder = tmp_path_factory.mktemp("alerts")
    labels = {"7": "Scan", "8": "Benign"}
    verdicts = [
        {"flow_id": one["flow_id"], "class": labels[str(one["alert"]["signature_id"])]}
        for one in RECORDS
    ]
    scenario, _ = scenario_of_alerts(
        read_alerts([write_lines(folder / "eve.json", RECORDS)]),
        folder / "scenario",
        catalogue=Catalogue.named("enterprise-network"),
        verdicts=write_lines(folder / "verdicts.json", verdicts),
    )
    return finished(folder / "run", scenario, "ppo-kg")


def test_alerts_are_decided_by_their_rules(run: RunFolder, tmp_path: Path) -> None:
    log = [eve(8, 1), {"event_type": "dns"}, eve(9, 2, message="new\x1b rule"), eve(7, 3)]
    data = write_lines(tmp_path / "eve.json", log)

    job = Job.of(run, [data], explain=True)
    done = job.write(tmp_path / "out.json", "json")

    records = [json.loads(line) for line in (tmp_path / "out.json").read_text().splitlines()]
    assert done.decided == 2
    assert job.remarks == ("1 records are no alerts, and are passed over.",)
    assert [one["id"] for one in records] == ["1", "2", "3"]
    assert [one["detection"] and one["detection"]["rule"] for one in records] == [
        "1:8 ET rule 8",
        None,
        "1:7 ET rule 7",
    ]
    assert records[1]["undecided"] == "the run does not know the rule '1:9'"
    assert records[0]["src_ip"] == "10.0.0.1"
    assert (records[0]["dst_ip"], records[0]["dst_port"]) == ("fe80::1", "80")
    # Ten verdicts on each rule, those of the test part too; the second rule was never right.
    wrong, right = records[0]["detection"], records[2]["detection"]
    assert (wrong["seen"], wrong["correct"], wrong["confidence"]) == (10, 0, 1 / 12)
    assert (right["seen"], right["correct"], right["confidence"]) == (10, 10, 11 / 12)
    assert records[0]["explanation"]["true_classes"][0]["class"] == "Benign"


def test_frames_of_alerts_are_decided_too(run: RunFolder, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "eve.json", [eve(8, 1), {"event_type": "dns"}, eve(9, 2)])

    found = Run(run.path).decide(pd.read_json(data, lines=True))

    assert found["rule"].tolist()[0] == "1:8 ET rule 8"
    assert found.mitigation.notna().tolist() == [True, False, False]
    assert found.undecided.tolist()[1:] == [
        "it is no alert",
        "the run does not know the rule '1:9'",
    ]


def test_alerts_of_another_ids_and_flows_are_refused(
    run: RunFolder, infused: RunFolder, prepared: Scenario, tmp_path: Path
) -> None:
    (tmp_path / "notice.log").write_text(NOTICES)

    with pytest.raises(InputError, match=r"these are zeek-notices, .* trained on suricata-alerts"):
        Job.of(run, [tmp_path / "notice.log"])
    (tmp_path / "flows.csv").write_text(f"{','.join(prepared.schema.names)}\n")
    with pytest.raises(InputError):
        Job.of(run, [tmp_path / "flows.csv"])
    with pytest.raises(InputError):
        Job.of(infused, [write_lines(tmp_path / "eve.json", RECORDS)])


def test_of_many_other_files_in_a_folder_a_few_are_named(run: RunFolder, tmp_path: Path) -> None:
    write_lines(tmp_path / "eve.json", [eve(7, 3)])
    for number in range(20):
        write_lines(tmp_path / f"dns{number:02}.json", [{"event_type": "dns", "flow_id": number}])
    remarks = Job.of(run, [tmp_path]).remarks
    assert len(remarks) == 4
    assert remarks[-1] == "17 more files are not read."
