"""The columns of a table of alerts, named in a small YAML file.

For the alerts of an IDS that is neither Suricata nor Zeek::

    signature: rule.id             # what fired; 'a.b' is b within a, in JSON
    class: rule.group              # category of the rule, mapped to a class by --labels
    id: id                         # of the alert; optional
    time: timestamp                # optional
    message: rule.description      # what the rule says; optional
"""

from __future__ import annotations

from pathlib import Path

from envs import plain_yaml
from envs.errors import InputError, quoted

NEEDED = ("signature", "class")
KEYS = (*NEEDED, "id", "time", "message")

Columns = dict[str, str]


def read_columns(path: Path) -> Columns:
    """Reads a schema of alerts.

    Returns:
        The name of the column by key: ``signature``, ``class``, and any of ``id``, ``time``,
        ``message``.

    Raises:
        InputError: it is no such file; the message names the line.
    """
    document = plain_yaml.read(path)
    given = document.value
    expected = f"the keys {' and '.join(NEEDED)}, and optionally id, time and message"
    if not isinstance(given, dict):
        raise InputError("is no mapping", where=document.where(()), expected=expected)
    for key in given:
        if key not in KEYS:
            raise InputError(
                f"unknown key {quoted(key)}",
                where=document.where((key,)),
                expected=expected,
                mend="Remove it",
            )
        if not isinstance(given[key], str) or not given[key]:
            raise InputError(
                f"{key} names no column",
                where=document.where((key,)),
                expected="the name of a column, in quotes if it is a number",
                mend="Correct it",
            )
    missing = [key for key in NEEDED if key not in given]
    if missing:
        raise InputError(
            f"{' and '.join(missing)} missing",
            where=document.where(()),
            expected=expected,
            mend="Add a line such as 'signature: rule_id'",
        )
    return dict(given)
