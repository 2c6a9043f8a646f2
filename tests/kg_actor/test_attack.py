from __future__ import annotations

import re

import pytest

from envs import Catalogue
from envs.catalogue import TrafficClass, shipped
from kg_actor.attack import NAMES, TECHNIQUES, parent_id, source_name, techniques_of

PAPER = Catalogue.named("paper")


def test_techniques_of_the_papers_types() -> None:
    found = {c.name: [t.attack_id for t in techniques_of(c)] for c in PAPER.classes}

    assert found == {
        "PortScan": ["T1046"],
        "DoS": ["T1499"],
        "Benign": [],
        "DDoS": ["T1498"],
        "SSH-Patator": ["T1110.001"],
        "FTP-Patator": ["T1110.001"],
        "Web": ["T1110.001", "T1190"],
        "Infiltration": ["T1204.002", "T1046", "T1071.001", "T1190"],
    }


def test_every_label_of_the_paper_is_judged() -> None:
    assert {label for c in PAPER.classes for label in c.labels} == set(TECHNIQUES)


def test_a_catalogue_that_merges_labels_otherwise_gets_their_techniques() -> None:
    crafted = TrafficClass("Brute force", ("SSH-Patator", "Heartbleed", "unheard of"), (0,))

    assert [t.name for t in techniques_of(crafted)] == [
        "Password Guessing",
        "Exploit Public-Facing Application",
    ]


def test_a_catalogue_that_names_techniques_is_taken_at_its_word() -> None:
    crafted = TrafficClass("Scan", ("DDoS",), (0,), technique=("T1046", "T1046", "T9999"))

    assert [(t.attack_id, t.name) for t in techniques_of(crafted)] == [
        ("T1046", "Network Service Discovery"),
        ("T9999", "T9999"),
    ]


def test_techniques_of_all_shipped_catalogues_have_names() -> None:
    found = {
        technique
        for name in shipped()
        for traffic in Catalogue.named(name).classes
        for technique in techniques_of(traffic)
    }

    assert {technique.attack_id for technique in found} == {*NAMES}
    assert all(technique.name != technique.attack_id for technique in found)


def test_urls_are_those_of_attack_mitre_org() -> None:
    urls = {t.attack_id: t.url for some in TECHNIQUES.values() for t in some}

    assert urls["T1046"] == "https://attack.mitre.org/techniques/T1046/"
    assert urls["T1110.001"] == "https://attack.mitre.org/techniques/T1110/001/"


def test_one_id_has_one_name() -> None:
    named = {(t.attack_id, t.name) for some in TECHNIQUES.values() for t in some}

    assert len(named) == len({attack_id for attack_id, _ in named})
    assert all(re.fullmatch(r"T\d{4}(\.\d{3})?", attack_id) for attack_id, _ in named)


@pytest.mark.parametrize(("attack_id", "parent"), [("T1110.001", "T1110"), ("T1046", "T1046")])
def test_parent_of_a_technique(attack_id: str, parent: str) -> None:
    assert parent_id(attack_id) == parent


def test_input_validation_is_of_the_ics_matrix() -> None:
    sources = {a.name: source_name(a.attack_id) for a in PAPER.actions if a.attack_id}

    assert sources.pop("Input Validation") == "mitre-ics-attack"
    assert set(sources.values()) == {"mitre-attack"}
    assert source_name("T1046") == "mitre-attack"
