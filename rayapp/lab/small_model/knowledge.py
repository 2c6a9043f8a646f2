"""What MITRE ATT&CK says about which mitigation addresses which technique.

``attack.json`` holds the relation as ATT&CK publishes it. Detectors name traffic otherwise than
ATT&CK does, so everyday names stand for techniques here. Nothing is taken from the paper's
ranking of mitigations.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

EVERYDAY_TYPES = {
    "PortScan": ("T1046",),
    "Port Scan": ("T1046",),
    "Scanning": ("T1046",),
    "Reconnaissance": ("T1046", "T1595"),
    "DoS": ("T1498", "T1499"),
    "DDoS": ("T1498", "T1499"),
    "Denial of Service": ("T1498", "T1499"),
    "SYN Flood": ("T1498", "T1499"),
    "HTTP Flood": ("T1498", "T1499"),
    "SSH-Patator": ("T1110",),
    "FTP-Patator": ("T1110",),
    "SSH Brute Force": ("T1110",),
    "FTP Brute Force": ("T1110",),
    "Web": ("T1190",),
    "Web Attack": ("T1190",),
    "SQL Injection": ("T1190",),
    "XSS": ("T1189",),
    "Heartbleed": ("T1190",),
    "Infiltration": ("T1204", "T1203"),
    "Bot": ("T1071",),
    "Botnet": ("T1071",),
    "Command and Control": ("T1071",),
    "Backdoor": ("T1071", "T1505"),
    "Exfiltration": ("T1041", "T1048"),
    "Ransomware": ("T1486",),
    "Phishing": ("T1566",),
    "Cryptomining": ("T1496",),
}
"""Techniques behind the names that detectors and data sets use."""

HARMLESS = ("Benign", "BENIGN", "Normal", "Normal Traffic", "Legitimate", "Background")
"""Names of traffic that is no attack."""

INACTION = ("No Action", "Do Nothing", "Allow", "Do Not Mitigate")
"""Names of the answer to it."""

OTHER_ACTIONS = {"Behavior-based Traffic Analysis": "M1040", "Input Validation": None}
"""The paper's names of two mitigations; the second is of ATT&CK's ICS matrix, not this one."""


@dataclass(frozen=True)
class Knowledge:
    """The relation between names.

    Attributes:
        types: names of techniques and of traffic.
        actions: names of mitigations.
        addresses: bool [types, actions].
    """

    types: tuple[str, ...]
    actions: tuple[str, ...]
    addresses: NDArray[np.bool_]


@lru_cache(maxsize=1)
def attack() -> Knowledge:
    """ATT&CK's relation, everyday names included."""
    path = Path(__file__).with_name("attack.json")
    data = json.loads(path.read_text(encoding="utf-8"))
    by_id = {key: frozenset(entry["mitigations"]) for key, entry in data["techniques"].items()}
    types: dict[str, frozenset[str]] = {}
    for key, entry in data["techniques"].items():
        # A few sub-techniques of different techniques have the same name.
        types[entry["name"]] = types.get(entry["name"], frozenset()) | by_id[key]
    for name, keys in EVERYDAY_TYPES.items():
        types[name] = frozenset().union(*(by_id[key] for key in keys))
    # M1055 is 'Do Not Mitigate': no answer to an attack, the right one to harmless traffic.
    actions = {name: key for key, name in data["mitigations"].items() if key != "M1055"}
    actions |= {name: key or "" for name, key in OTHER_ACTIONS.items()}
    types |= dict.fromkeys(HARMLESS, frozenset({"inaction"}))
    actions |= dict.fromkeys(INACTION, "inaction")
    table = [[key in found for key in actions.values()] for found in types.values()]
    return Knowledge(tuple(types), tuple(actions), np.array(table))
