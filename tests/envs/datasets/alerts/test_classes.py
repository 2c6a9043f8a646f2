"""Which class a rule predicts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import plain_yaml
from envs.catalogue import Catalogue
from envs.datasets.alerts.classes import SHIPPED, labelling_of, predicted_classes
from envs.datasets.alerts.reading import FiredRule
from envs.datasets.label_files import read_labels
from envs.detector import Rule
from envs.errors import InputError
from envs.spelling import label_key

NETWORK = Catalogue.named("enterprise-network")

CLASSTYPES = (
    *("not-suspicious", "unknown", "bad-unknown", "attempted-recon", "successful-recon-limited"),
    *("successful-recon-largescale", "attempted-dos", "successful-dos", "attempted-user"),
    *("unsuccessful-user", "successful-user", "attempted-admin", "successful-admin"),
    *("rpc-portmap-decode", "shellcode-detect", "string-detect", "suspicious-filename-detect"),
    *("suspicious-login", "system-call-detect", "tcp-connection", "trojan-activity"),
    *("unusual-client-port-connection", "network-scan", "denial-of-service"),
    *("non-standard-protocol", "protocol-command-decode", "web-application-activity"),
    *("web-application-attack", "misc-activity", "misc-attack", "icmp-event"),
    *("inappropriate-content", "policy-violation", "default-login-attempt", "targeted-activity"),
    *("exploit-kit", "external-ip-check", "domain-c2", "pup-activity", "credential-theft"),
    *("social-engineering", "coin-mining", "command-and-control"),
)
"""All of Suricata's classification.config."""


def fired(rule: str, category: str = "", message: str = "", seen: int = 1) -> FiredRule:
    return FiredRule(Rule(rule, message), category, seen)


def predicted(rules: list[FiredRule], said: dict[str, str] | None = None) -> list[str | None]:
    found = predicted_classes(rules, labelling_of(NETWORK, said))
    return [
        None if (index := found[one.rule.id]) is None else NETWORK.class_names[index]
        for one in rules
    ]


def test_every_class_that_ships_is_one_of_the_catalogue_and_no_name_means_two() -> None:
    shipped = plain_yaml.read(SHIPPED).value
    classes: dict[str, set[str]] = {}
    for traffic, listed in shipped.items():
        for name in listed:
            classes.setdefault(label_key(name), set()).add(traffic)

    assert set(shipped) <= set(NETWORK.class_names)
    assert all(len(found) == 1 for found in classes.values())


@pytest.mark.parametrize("name", CLASSTYPES)
def test_every_classtype_of_suricata_is_mapped(name: str) -> None:
    assert predicted([fired("1:1", name)])


@pytest.mark.parametrize(
    ("category", "expected"),
    [
        ("Detection of a Network Scan", "Scan"),
        ("network-scan", "Scan"),
        ("A Network Trojan was detected", "C2 Beacon"),
        ("Possible Social Engineering Attempted", "Policy Violation"),
        ("Generic Protocol Command Decode", "Benign"),
        ("port scan", "Scan"),
        ("Web Attack – XSS", "Web Injection"),
    ],
)
def test_categories_mean_classes_by_any_spelling(category: str, expected: str) -> None:
    assert predicted([fired("1:1", category)]) == [expected]


def test_what_the_user_says_counts_first_and_of_it_the_rules_id() -> None:
    rules = [
        fired("1:23", "Misc Attack"),
        fired("1:24", "Misc Attack", "ET TOR exit"),
        fired("1:25", "Misc Attack"),
        fired("1:26", "Misc activity"),
        fired("3:23", "Misc activity"),
    ]
    said = {
        "23": "DoS",
        "ET TOR exit": "Policy Violation",
        "misc-attack": "Exploit",
        "1:26": "drop",
    }

    assert predicted(rules, said) == ["DoS", "Policy Violation", "Exploit", None, "Benign"]


def test_a_label_of_digits_is_no_other_rules_id() -> None:
    rules = [fired("1:23", "Misc Attack"), fired("1:123", "Misc Attack")]

    assert predicted(rules, {"123": "DoS"}) == ["Scan", "DoS"]


def test_what_is_not_mapped_is_listed_once_with_counts_and_a_file_to_fill_in(
    tmp_path: Path,
) -> None:
    rules = [
        fired("1:1", "House Rules", seen=3),
        fired("1:2", "House Rules", seen=4),
        fired("1:3", "", "Nmap: SYN # scan", seen=50),
        fired("1:4", "Misc Attack"),
    ]

    with pytest.raises(InputError) as caught:
        predicted(rules)

    assert "'1:3' (50), 'House Rules' (7)" in str(caught.value)
    assert len(re.findall("House Rules", caught.value.below)) == 1
    path = tmp_path / "labels.yaml"
    path.write_text(caught.value.below.replace('"?"', "Scan"))
    assert predicted(rules, read_labels([path], NETWORK)) == ["Scan"] * 4


@given(st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=5, unique=True))
def test_the_file_to_fill_in_is_always_readable(
    tmp_path_factory: pytest.TempPathFactory, categories: list[str]
) -> None:
    rules = [fired(f"1:{n}", " ".join(text.split())) for n, text in enumerate(categories)]
    path = tmp_path_factory.getbasetemp() / "filled.yaml"
    try:
        predicted(rules)
    except InputError as error:
        path.write_text(error.below.replace(': "?"', ": DoS"), encoding="utf-8")
        assert len(predicted(rules, read_labels([path], NETWORK))) == len(rules)
