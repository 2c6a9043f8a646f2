"""The rules of an IDS as a detector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from envs.detector import UNKNOWN, Rule, RuleDetector
from envs.errors import InputError

RULES = (Rule("1:2010935", "ET SCAN inbound"), Rule("Scan::Port_Scan"))


def test_a_rule_is_one_signature_and_an_unknown_one_is_told_apart() -> None:
    matched = RuleDetector(RULES).match(["Scan::Port_Scan", "1:999", "1:2010935", "2010935"])

    assert matched.dtype == np.int32
    assert matched.tolist() == [1, UNKNOWN, 0, UNKNOWN]
    assert UNKNOWN == -1


def test_no_alerts_match_nothing() -> None:
    assert RuleDetector(RULES).match([]).shape == (0,)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    saved = RuleDetector(RULES, {"signature": "sid", "class": "kind"})
    saved.save(tmp_path / "rules.json")

    loaded = RuleDetector.load(tmp_path / "rules.json")

    assert (loaded.rules, loaded.columns) == (saved.rules, saved.columns)
    assert loaded.digest() == saved.digest()


def test_ids_in_their_order_decide_and_messages_do_not() -> None:
    revised = RuleDetector((Rule("1:2010935", "ET SCAN inbound v2"), RULES[1]))

    assert revised.digest() == RuleDetector(RULES).digest()
    assert RuleDetector(RULES[::-1]).digest() != RuleDetector(RULES).digest()


def test_a_rule_says_id_and_message() -> None:
    assert [rule.text for rule in RULES] == ["1:2010935 ET SCAN inbound", "Scan::Port_Scan"]


def test_features_of_flows_are_refused() -> None:
    with pytest.raises(InputError, match="made from alerts of an IDS"):
        RuleDetector(RULES).match(np.zeros((2, 78), np.float32))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "[" * 5000, '{"rules": [["a"]]}', '{"rules": [], "columns": []}'),
        '{"rules": [["a", 1]], "columns": {}}',
        '{"rules": [["a", ""], ["a", ""]], "columns": {}}',
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "rules.json").write_text(text)

    with pytest.raises(InputError, match="not a readable list of rules"):
        RuleDetector.load(tmp_path / "rules.json")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        RuleDetector.load(tmp_path / "rules.json")
