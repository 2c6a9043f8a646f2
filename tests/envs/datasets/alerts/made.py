"""Small alerts, made for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.genuine import TRAFFIC

LOGS = TRAFFIC / "7-sensor-logs"
"""Genuine logs, which may be absent."""

NOTICES = (
    "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tnotice\n"
    "#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tnote\tmsg\tsrc\n"
    "#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\taddr\n"
    "100.5\tCab\t10.0.0.1\t5000\t10.0.0.2\t443\tSSL::Invalid_Server_Cert\tself signed\t10.0.0.1\n"
    "101.5\t-\t-\t-\t-\t-\tScan::Port_Scan\t10.0.0.9 scanned\\x09ports\t10.0.0.9\n"
    "#close\t2018-05-21-21-05-56\n"
)


def eve(
    sid: int, flow: int, *, category: str = "Misc Attack", second: int = 0, message: str = ""
) -> dict[str, Any]:
    """A record of eve.json with an alert."""
    return {
        "timestamp": f"2026-01-01T00:{second // 60:02}:{second % 60:02}.000001+0000",
        "flow_id": flow,
        "event_type": "alert",
        "src_ip": "10.0.0.1",
        "src_port": 5000,
        "dest_ip": "fe80::1",
        "dest_port": 80,
        "alert": {
            "gid": 1,
            "signature_id": sid,
            "rev": 1,
            "signature": message or f"ET rule {sid}",
            "category": category,
            "severity": 2,
        },
    }


def write_lines(path: Path, records: list[dict[str, Any]]) -> Path:
    """Writes JSON lines."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path
