"""The rules of an IDS that runs already, as a detector: each rule is one signature.

Nothing is trained. What is known of a rule's trustworthiness comes from verdicts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from envs.detector.files import prepared
from envs.detector.interface import UNKNOWN
from envs.errors import InputError
from envs.files import write_json


@dataclass(frozen=True)
class Rule:
    """A rule of an IDS.

    Attributes:
        id: as alerts name it: ``1:2010935`` (gid and signature_id) of Suricata, the notice of Zeek,
            or what a table's column of signatures holds.
        message: what it says in words; empty if nothing beyond the id.
    """

    id: str
    message: str = ""

    @property
    def text(self) -> str:
        """Id and message, as signature tables tell it."""
        return f"{self.id} {self.message}".rstrip()


class RuleDetector:
    """Matches alerts to the rules that a scenario was made with.

    Args:
        rules: in the order of the signatures, with ids that differ.
        columns: of the table that the alerts were read from (``signature``, ``class``, ``id``,
            ``time``, ``message``); empty for logs of Suricata and Zeek, which are known.
    """

    kind: ClassVar[str] = "rules"
    file: ClassVar[str] = "rules.json"

    def __init__(self, rules: Iterable[Rule], columns: dict[str, str] | None = None) -> None:
        self.rules = tuple(rules)
        self.columns = columns or {}
        self._number = {rule.id: number for number, rule in enumerate(self.rules)}
        if len(self._number) < len(self.rules):
            raise ValueError("two rules of one id")

    def __len__(self) -> int:
        """Number of signatures."""
        return len(self.rules)

    def match(self, met: Sequence[str]) -> NDArray[np.int32]:
        """The signature of each alert, given the ids of the rules that fired.

        Args:
            met: [n], ids of rules.

        Returns:
            int32 [n]; -1 for a rule that the scenario was made without.

        Raises:
            InputError: features of flows are given in their place.
        """
        if isinstance(met, np.ndarray):
            raise InputError(
                "the scenario was made from alerts of an IDS, and no detector was trained on flows",
                expected="alerts, by the ids of their rules",
                mend="Use a scenario that was prepared from flows",
            )
        known = self._number
        return np.fromiter((known.get(rule, UNKNOWN) for rule in met), np.int32, len(met))

    def digest(self) -> str:
        """SHA-256 of the rules' ids in order; messages decide nothing."""
        ids = json.dumps([rule.id for rule in self.rules])
        return hashlib.sha256(f"{self.kind} {ids}".encode()).hexdigest()

    def save(self, path: Path) -> None:
        """Writes the rules as JSON."""
        rules = [[rule.id, rule.message] for rule in self.rules]
        write_json(path, {"rules": rules, "columns": self.columns})

    @classmethod
    def load(cls, path: Path) -> RuleDetector:
        """Reads what :meth:`save` wrote.

        Raises:
            InputError: the file is missing, or is no list of rules.
        """
        faults = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
        with prepared(path, "list of rules", faults, lambda error: type(error).__name__):
            data = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                (Rule(_text(number), _text(message)) for number, message in data["rules"]),
                {_text(key): _text(column) for key, column in data["columns"].items()},
            )


def _text(value: Any) -> str:  # noqa: ANN401 (of a file)
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value
