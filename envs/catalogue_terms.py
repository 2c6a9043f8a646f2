"""What the fields of a catalogue may hold."""

from __future__ import annotations

import re
from typing import Literal

Scope = Literal["ip", "range", "host", "account", "service", "none"]
"""What a mitigation is applied to: one address, a network, a machine, a user, a service."""

OPENC2_ACTIONS = (
    *("scan", "locate", "query", "deny", "contain", "allow", "start", "stop", "restart", "cancel"),
    *("set", "update", "redirect", "create", "delete", "detonate", "restore", "copy"),
    *("investigate", "remediate"),
)
"""The actions of the OpenC2 Language Specification, version 1.0, section 3.3.1.1."""

MOST_CLASSES, MOST_ACTIONS = 127, 10_000
"""Bounds of a catalogue. A class index is an int8, an action index an int16."""

MOST_REWARD = 100
"""The largest reward, and the largest loss. Rewards are int8."""

TECHNIQUE = re.compile(r"T[0-9]{4}(\.[0-9]{3})?")
"""The id of an ATT&CK technique or sub-technique."""
