from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.catalogue import Catalogue, Ranks

PAPER = Catalogue.named("paper")
EXAMPLE = Path(__file__).parents[2] / "examples" / "mynet.yaml"
BEFORE_FILES = "b080ca4cc2d1db85fe1fab0592e96828828e6a1095b0e5e1f7dca1daebf221f9"
"""SHA-256 of the paper's catalogue as scenarios of that time hash it."""

CLASS = {"name": "c", "labels": [], "ranking": [0]}

# Table I: published labels, counted after dropping rows without finite features.
LABELS = {
    "BENIGN": 2271320,
    "DDoS": 128025,
    "DoS Hulk": 230124,
    "DoS GoldenEye": 10293,
    "DoS slowloris": 5796,
    "DoS Slowhttptest": 5499,
    "FTP-Patator": 7935,
    "Infiltration": 36,
    "Bot": 1956,
    "Heartbleed": 11,
    "PortScan": 158804,
    "SSH-Patator": 5897,
    "Web Attack - Brute Force": 1507,
    "Web Attack - XSS": 652,
    "Web Attack - Sql Injection": 21,
}
TABLE_1 = {
    "Benign": 2271320,
    "DDoS": 128025,
    "DoS": 251712,
    "FTP-Patator": 7935,
    "Infiltration": 2003,
    "PortScan": 158804,
    "SSH-Patator": 5897,
    "Web": 2180,
}

# Table II, and the names of its mitigations.
TABLE_2 = {
    "PortScan": ["M1037", "M1031", "M1030", "M1035", "M1042"],
    "DoS": ["M1037", "M1031", "M1030", "M1035", "M1047"],
    "Benign": [None],
    "DDoS": ["M1037", "M1031", "M1030", "M1035", "M1047"],
    "SSH-Patator": ["M1027", "M1032", "M1036", "M1037", "M1040"],
    "FTP-Patator": ["M1027", "M1032", "M1036", "M1037", "M1040"],
    "Web": ["M0818", "M1032", "M1038", "M1026", "M1040"],
    "Infiltration": ["M1037", "M1051", "M1032", "M1026", "M1027"],
}
NAMES = {
    "M1037": "Filter Network Traffic",
    "M1031": "Network Intrusion Prevention",
    "M1030": "Network Segmentation",
    "M1035": "Limit Access to Resource Over Network",
    "M1042": "Disable or Remove Feature or Program",
    "M1047": "Audit",
    "M1027": "Password Policies",
    "M1032": "Multi-factor Authentication",
    "M1036": "Account Use Policies",
    "M1040": "Behavior-based Traffic Analysis",
    "M0818": "Input Validation",
    "M1038": "Execution Prevention",
    "M1026": "Privileged Account Management",
    "M1051": "Update Software",
    None: "No Action",
}


def test_labels_merge_into_the_classes_of_table_1() -> None:
    merged = {c.name: sum(LABELS[label] for label in c.labels) for c in PAPER.classes}

    assert merged == TABLE_1
    assert sum(len(c.labels) for c in PAPER.classes) == len(LABELS)


def test_rankings_are_those_of_table_2() -> None:
    ranked = {c.name: [PAPER.actions[i].attack_id for i in c.ranking] for c in PAPER.classes}

    assert ranked == TABLE_2


def test_actions_are_fourteen_mitigations_and_no_action() -> None:
    assert {action.attack_id: action.name for action in PAPER.actions} == NAMES
    assert len(PAPER.actions) == 15
    assert PAPER.action_names[-1] == "No Action"


@pytest.mark.parametrize("actual", TABLE_2)
@pytest.mark.parametrize("chosen", NAMES)
def test_reward_is_equation_3(actual: str, chosen: str | None) -> None:
    ranked = TABLE_2[actual]
    if actual == "Benign":
        expected = 5 if chosen is None else -5
    elif chosen in ranked:
        k = 1 + ranked.index(chosen)
        expected = 6 - k
    else:
        expected = -5

    action = PAPER.action_names.index(NAMES[chosen])

    assert PAPER.rewards[PAPER.class_index(actual), action] == expected


def test_best_action_of_a_class_earns_5() -> None:
    best = {
        name: PAPER.action_names[action]
        for name, action in zip(PAPER.class_names, PAPER.best_actions, strict=True)
    }

    assert best == {name: NAMES[ranked[0]] for name, ranked in TABLE_2.items()}
    assert np.all(PAPER.rewards[np.arange(8), PAPER.best_actions] == 5)


def test_rewards_cannot_be_changed_by_mistake() -> None:
    with pytest.raises(ValueError, match="read-only"):
        PAPER.rewards[0, 0] = 1


def test_mitigation_links_to_its_attack_page() -> None:
    assert PAPER.actions[0].url == "https://attack.mitre.org/mitigations/M1037/"
    assert PAPER.actions[-1].url is None


def test_an_attack_id_means_the_first_action_that_has_it() -> None:
    assert PAPER.by_attack_id == {key: name for key, name in NAMES.items() if key is not None}

    two = Catalogue.named("cicddos2019")
    assert [action.attack_id for action in two.actions] == ["M1037", "M1037", None]
    assert two.by_attack_id == {"M1037": two.action_names[0]}


def test_unknown_class_is_a_key_error_that_names_it() -> None:
    with pytest.raises(KeyError, match="Worm"):
        PAPER.class_index("Worm")


def test_catalogue_survives_json() -> None:
    shipped = Catalogue.named("enterprise-network")
    for one in (PAPER, shipped, Catalogue.find(str(EXAMPLE)), replace(PAPER, ranks=Ranks(6, 0))):
        assert Catalogue.from_json(json.loads(json.dumps(one.to_json()))) == one


def test_what_decides_results_is_what_it_was_before_catalogues_were_files() -> None:
    text = json.dumps(PAPER.deciding(), sort_keys=True)

    assert hashlib.sha256(text.encode()).hexdigest() == BEFORE_FILES
    # Scenarios, graphs and snapshots of that time hold no more than this.
    old = Catalogue.from_json(json.loads(text))
    assert np.array_equal(old.rewards, PAPER.rewards)
    assert (old.benign, old.inaction) == (PAPER.benign, PAPER.inaction)


def test_how_a_mitigation_is_carried_out_decides_no_result() -> None:
    other = replace(
        PAPER,
        actions=tuple(replace(a, duration=1) for a in PAPER.actions),
        classes=tuple(
            replace(c, also=("x",), technique=("T1046",), about="It is.") for c in PAPER.classes
        ),
    )
    cheaper = replace(PAPER, ranks=Ranks(top=4))

    assert other.deciding() == PAPER.deciding() != cheaper.deciding()
    assert other.to_json() != PAPER.to_json()


def test_every_mitigation_says_how_it_is_carried_out() -> None:
    assert all((action.duration is not None) == action.undo for action in PAPER.actions)
    assert [action.name for action in PAPER.actions if action.scope == "none"] == ["No Action"]
    assert PAPER.actions[0].openc2 == "deny"


def test_without_a_benign_class_there_is_no_index_of_it() -> None:
    bare = Catalogue(PAPER.classes, PAPER.actions)

    with pytest.raises(KeyError, match="no benign class"):
        _ = bare.benign
    with pytest.raises(KeyError, match="no action that does nothing"):
        _ = bare.inaction


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ranks": {"top": 5, "miss": 4}}, "too long"),
        ({"ranks": {"top": 500, "miss": -5}}, "no sensible whole number"),
        ({"classes": []}, "no sensible number"),
        ({"actions": [{"name": "a", "attack_id": None}] * 2}, "two actions of one name"),
        ({"actions": [{"name": "a\n", "attack_id": None}]}, "cannot be printed"),
        ({"actions": [{"name": "a", "attack_id": None, "scope": "moon"}]}, "no known scope"),
        ({"actions": [{"name": "a", "attack_id": 7}]}, "no text"),
        ({"actions": [{"name": "a", "attack_id": None, "duration": -1}]}, "above 0"),
        ({"actions": [{"name": "a", "attack_id": None, "openc2": "boil"}]}, "OpenC2"),
        ({"classes": [{"name": "c", "labels": [], "ranking": [15]}]}, "names no action"),
        ({"classes": [{"name": "c", "labels": [], "rewards": [1]}]}, "every action one reward"),
        ({"classes": [{"name": "c", "labels": []}]}, "nothing of rewards"),
        ({"classes": [CLASS | {"also": [7]}]}, "label is no text"),
        ({"classes": [CLASS | {"technique": ["M1037"]}]}, "no id of ATT&CK"),
        ({"classes": [CLASS | {"about": 7}]}, "about is no text"),
        ({"benign_class": "Worm"}, "none of the classes"),
        ({"no_action": "Pray"}, "none of the actions"),
    ],
)
def test_json_that_is_no_catalogue_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Catalogue.from_json(PAPER.to_json() | change)
