"""One alert of an IDS, made of a record of its log."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from envs.datasets.alerts.columns import Columns
from envs.datasets.alerts.records import Record
from envs.errors import printable

MOST_TEXT = 300
"""Characters of an id, a message or a category that are kept."""

_DIGITS = 20

_BITS = 128
"""Size of the largest whole number that is kept; larger ones take long to spell out."""


@dataclass(frozen=True, slots=True)
class Alert:
    """What is kept of an alert.

    Attributes:
        rule: id of the rule that fired.
        message: what the IDS says; empty if nothing beyond the id.
        category: what the IDS calls the rule's kind of attack; empty if nothing.
        id: the IDS's own (flow_id, uid), or else one made from the alert's content.
        time: as the log has it; empty if it does not say.
        source: address and port, for a person to look at.
        destination: the same.
    """

    rule: str
    message: str
    category: str
    id: str
    time: str
    source: str = ""
    destination: str = ""


def suricata_alert(record: Record) -> Alert:
    """The alert of a record of eve.json whose ``event_type`` is ``alert``.

    Raises:
        ValueError: the record holds none.
    """
    about = record["alert"] if isinstance(record.get("alert"), dict) else {}
    sid, gid = _number(about.get("signature_id")), _number(about.get("gid", 1))
    if not sid or not gid:
        raise ValueError("no signature_id")
    made = Alert(
        rule=f"{gid}:{sid}",
        message=_text(about.get("signature")),
        category=_text(about.get("category")),
        id=_number(record.get("flow_id")),
        time=_text(record.get("timestamp")),
        source=_end(record, "src_ip", "src_port"),
        destination=_end(record, "dest_ip", "dest_port"),
    )
    return _identified(made, record)


def zeek_alert(record: Record) -> Alert:
    """The notice of a record of notice.log.

    Raises:
        ValueError: the record holds none.
    """
    note = _text(record.get("note"))
    if not note:
        raise ValueError("no note")
    started = "id.orig_h" in record
    made = Alert(
        rule=note,
        message=_text(record.get("msg")),
        category=note,
        id=_text(record.get("uid")),
        time=_text(record.get("ts")),
        source=_end(record, "id.orig_h", "id.orig_p") if started else _end(record, "src", ""),
        destination=_end(record, "id.resp_h", "id.resp_p") if started else _end(record, "dst", "p"),
    )
    return _identified(made, record)


def table_alert(record: Record, columns: Columns) -> Alert:
    """The alert in a row of a table.

    Raises:
        ValueError: the row has no signature.
    """
    cells = {key: _text(_within(record, name)) for key, name in columns.items()}
    if not cells["signature"]:
        raise ValueError("no signature")
    made = Alert(
        rule=cells["signature"],
        message=cells.get("message", ""),
        category=cells["class"],
        id=cells.get("id", ""),
        time=cells.get("time", ""),
    )
    return _identified(made, record)


def has_column(record: Record, name: str) -> bool:
    """Whether a record has a column, or a path of keys ``a.b``."""
    return _within(record, name) is not None or name in record


def moment(time: str) -> str:
    """A time in one form, by which times are compared: microseconds since 1970 if it can be read.

    Times without a zone count as UTC.
    """
    text = time.strip()
    try:
        return str(round(float(text) * 1e6))
    except (ValueError, OverflowError):
        pass
    try:
        read = datetime.fromisoformat(text)
        zoned = read if read.tzinfo else read.replace(tzinfo=UTC)
        return str(round(zoned.timestamp() * 1e6))
    except (ValueError, OverflowError):
        return text


def _within(record: Record, name: str) -> Any:  # noqa: ANN401 (of a file)
    if name in record:
        return record[name]
    value: Any = record
    for step in name.split("."):
        if not isinstance(value, Mapping) or step not in value:
            return None
        value = value[step]
    return value


def _text(value: Any) -> str:  # noqa: ANN401 (of a file)
    """Text of a value: printable, on one line, not too long."""
    if isinstance(value, list):
        plain = (each for each in value[:8] if not isinstance(each, list))
        return ", ".join(filter(None, map(_text, plain)))
    if value is None or isinstance(value, dict | bool):
        return ""
    if isinstance(value, int) and value.bit_length() > _BITS:
        return ""
    return printable(" ".join(str(value)[:MOST_TEXT].split()))


def _number(value: Any) -> str:  # noqa: ANN401 (of a file)
    """A whole number without a sign, as text; empty for anything else."""
    if isinstance(value, bool):
        return ""
    text = _text(value) if isinstance(value, int | str) else ""
    return text if text.isascii() and text.isdigit() and len(text) <= _DIGITS else ""


def _end(record: Record, address: str, port: str) -> str:
    host, number = _text(record.get(address)), _text(record.get(port))
    if not number:
        return host
    return f"[{host}]:{number}" if ":" in host else f"{host}:{number}"


def _identified(alert: Alert, record: Record) -> Alert:
    """The alert with an id of its own, made from its content, where the log gives none."""
    if alert.id:
        return alert
    content = json.dumps(record, sort_keys=True, default=str).encode()
    own = f"alert-{hashlib.sha256(content).hexdigest()[:16]}"
    return Alert(
        alert.rule,
        alert.message,
        alert.category,
        own,
        alert.time,
        alert.source,
        alert.destination,
    )
