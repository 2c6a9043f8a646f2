"""The catalogues that ship: ATT&CK's facts, the data sets' labels, and rankings that make sense."""

from __future__ import annotations

import pytest

from envs import catalogue_file
from envs.catalogue import FOLDER, Catalogue, shipped
from envs.datasets.labels import NO_LABEL, UNKNOWN, Labelling

OF_DATA_SETS = tuple(name for name in shipped() if name != "paper")
"""The catalogues that hold ATT&CK's relations; the paper's holds the paper's."""

# Of ATT&CK's enterprise matrix, version 18.1: 'mitigates' relationships from courses of action,
# none of them revoked or deprecated, to techniques.
MITIGATES = {
    "T1021": "M1018 M1027 M1032 M1035 M1042 M1047",
    "T1021.001": "M1018 M1026 M1028 M1030 M1032 M1035 M1042 M1047",
    "T1021.002": "M1026 M1027 M1035 M1037",
    "T1041": "M1031 M1057",
    "T1046": "M1030 M1031 M1042",
    "T1048": "M1018 M1022 M1030 M1031 M1037 M1057",
    "T1071": "M1031 M1037",
    "T1071.001": "M1031 M1037",
    "T1090": "M1020 M1031 M1037",
    "T1095": "M1030 M1031 M1037 M1047",
    "T1105": "M1031 M1037",
    "T1110": "M1018 M1027 M1032 M1036",
    "T1110.001": "M1027 M1032 M1036 M1051",
    "T1110.004": "M1018 M1027 M1032 M1036",
    "T1133": "M1021 M1030 M1032 M1035 M1042",
    "T1189": "M1017 M1021 M1048 M1050 M1051",
    "T1190": "M1016 M1026 M1030 M1035 M1037 M1048 M1050 M1051",
    "T1203": "M1048 M1050 M1051",
    "T1204": "M1017 M1021 M1031 M1033 M1038 M1040",
    "T1204.002": "M1017 M1038 M1040",
    "T1210": "M1016 M1019 M1026 M1030 M1042 M1048 M1050 M1051",
    "T1219": "M1031 M1034 M1037 M1038 M1042",
    "T1486": "M1040 M1053",
    "T1498": "M1037",
    "T1498.001": "M1037",
    "T1498.002": "M1037",
    "T1499": "M1037",
    "T1499.001": "M1037",
    "T1499.002": "M1037",
    "T1499.004": "M1037",
    "T1557": "M1017 M1030 M1031 M1035 M1037 M1041 M1042",
    "T1567": "M1021 M1057",
    "T1568": "M1021 M1031",
    "T1570": "M1031 M1037",
    "T1571": "M1030 M1031",
    "T1572": "M1031 M1037",
    "T1573": "M1020 M1031",
    "T1595": "M1056",
    "T1595.002": "M1056",
    "T1595.003": "M1042 M1056",
}
MITIGATIONS = {
    "M1016": "Vulnerability Scanning",
    "M1018": "User Account Management",
    "M1020": "SSL/TLS Inspection",
    "M1021": "Restrict Web-Based Content",
    "M1027": "Password Policies",
    "M1030": "Network Segmentation",
    "M1031": "Network Intrusion Prevention",
    "M1032": "Multi-factor Authentication",
    "M1035": "Limit Access to Resource Over Network",
    "M1036": "Account Use Policies",
    "M1037": "Filter Network Traffic",
    "M1038": "Execution Prevention",
    "M1040": "Behavior Prevention on Endpoint",
    "M1042": "Disable or Remove Feature or Program",
    "M1048": "Application Isolation and Sandboxing",
    "M1050": "Exploit Protection",
    "M1051": "Update Software",
    "M1057": "Data Loss Prevention",
}

# Labels as the data sets are published, by class. Spaces around labels, case, dashes, underscores
# are as in the files.
LABELS = {
    "cicids2017-corrected": {
        "Benign": "BENIGN",
        "Portscan": "Portscan|Infiltration - Portscan",
        "DoS": "DoS Hulk|DoS Slowloris|DoS GoldenEye|DoS Slowhttptest",
        "DDoS": "DDoS",
        "SSH-Patator": "SSH-Patator",
        "FTP-Patator": "FTP-Patator",
        "Web Attack": "Web Attack - SQL Injection|Web Attack - XSS|Web Attack - Brute Force",
        "Botnet": "Botnet",
        "Infiltration": "Infiltration|Heartbleed",
    },
    "cse-cic-ids2018": {
        "Benign": "Benign",
        "SSH Brute Force": "SSH-Bruteforce",
        "FTP Brute Force": "FTP-BruteForce",
        "DoS": "DoS attacks-GoldenEye|DoS attacks-Hulk|DoS attacks-SlowHTTPTest"
        "|DoS attacks-Slowloris|DoS_attacks-Hulk|DoS",
        "DDoS": "DDOS attack-HOIC|DDOS attack-LOIC-UDP|DDoS attacks-LOIC-HTTP|DDOS_attack-HOIC",
        "Web Attack": "Brute Force -Web|Brute Force -XSS|SQL Injection|Brute_Force_-Web",
        "Botnet": "Bot|Botnet",
        "Infiltration": "Infilteration|Infiltration",
    },
    "cicddos2019": {
        "Benign": "BENIGN",
        "DDoS Reflection": "DrDoS_DNS|DrDoS_LDAP|LDAP|DrDoS_MSSQL|MSSQL|DrDoS_NetBIOS|NetBIOS"
        "|DrDoS_NTP|DrDoS_SNMP|DrDoS_SSDP|TFTP|Portmap",
        "UDP Flood": "DrDoS_UDP|UDP|UDP-lag|UDPLag",
        "SYN Flood": "Syn",
        "HTTP Flood": "WebDDoS",
    },
    "unsw-nb15": {
        "Normal": "Normal|Benign",
        "Reconnaissance": "Reconnaissance| Reconnaissance ",
        "Analysis": "Analysis",
        "Fuzzers": "Fuzzers| Fuzzers| Fuzzers ",
        "Exploits": "Exploits",
        "Shellcode": "Shellcode| Shellcode ",
        "Generic": "Generic",
        "DoS": "DoS",
        "Backdoor": "Backdoor|Backdoors",
        "Worms": "Worms",
    },
    "netflow": {
        "Benign": "Benign",
        "Scan": "Reconnaissance|Scanning|scanning",
        "DoS": "DoS|dos|DoS attacks-Slowloris|DoS_attacks-GoldenEye|DoS attacks-Hulk"
        "|DoS_attacks-SlowHTTPTest",
        "DDoS": "DDoS|ddos|DDOS_attack-HOIC|DDOS_attack-LOIC-UDP|DDoS_attacks-LOIC-HTTP",
        "Brute Force": "Brute Force|Password|SSH-Bruteforce|FTP-BruteForce|Brute_Force_-Web",
        "Web Injection": "Injection|injection|XSS|xss|SQL_Injection|Brute_Force_-XSS",
        "MITM": "MITM|mitm",
        "Infiltration": "Infilteration",
        "Botnet": "Bot",
        "Backdoor": "Backdoor|backdoor",
        "Theft": "Theft",
        "Ransomware": "Ransomware|ransomware",
        "Exploits": "Exploits",
        "Shellcode": "Shellcode",
        "Fuzzers": "Fuzzers",
        "Analysis": "Analysis",
        "Generic": "Generic",
        "Worms": "Worms",
    },
    "iot-23": {
        "Benign": "Benign|benign|Benign -",
        "Scan": "PartOfAHorizontalPortScan|Malicious PartOfAHorizontalPortScan"
        "|Malicious   PartOfAHorizontalPortScan-Attack",
        "Attack": "Attack|Malicious Attack",
        "C2": "C&C|Malicious C&C|C&C-HeartBeat|C&C-FileDownload|C&C-Torii|C&C-Mirai"
        "|Malicious C&C-HeartBeat-FileDownload|C&C-HeartBeat-Attack|HeartBeat"
        "|C&C-PartOfAHorizontalPortScan",
        "Botnet": "Okiru|Malicious Okiru-Attack",
        "Malware Download": "FileDownload|Malicious FileDownload",
        "DDoS": "DDoS|Malicious DDoS",
    },
    "ctu-13": {"Benign": "Normal|From-Normal", "Botnet": "Botnet|Malware|From-Botnet"},
    "paper": {
        "Web": "WebAttack|Web Attack|Web Attack \x96 XSS|Web Attack \u2013 Sql Injection|XSS",
        "Infiltration": "Bot|Botnet",
        "DoS": "dos|DoS  Hulk",
        "Benign": "Normal|BENIGN",
        "SSH-Patator": "SSH-Bruteforce",
        "PortScan": "Port Scan|portscan",
    },
    "enterprise-network": {
        "SSH Brute Force": "SSH-Bruteforce|ssh brute force",
        "C2 Beacon": "C&C",
        "Web Injection": "XSS",
        "DDoS Reflection": "DrDoS_DNS",
    },
}


@pytest.fixture(params=OF_DATA_SETS)
def catalogue(request: pytest.FixtureRequest) -> Catalogue:
    return Catalogue.named(request.param)


@pytest.mark.parametrize("name", shipped())
def test_a_catalogue_is_without_fault_and_called_as_its_file(name: str) -> None:
    assert catalogue_file.faults(FOLDER / f"{name}.yaml") == []
    assert Catalogue.named(name).name == name


@pytest.mark.parametrize("name", shipped())
def test_nothing_is_done_about_benign_traffic_and_something_about_all_else(name: str) -> None:
    catalogue = Catalogue.named(name)
    best = catalogue.best_actions.tolist()

    assert [number for number, action in enumerate(best) if action == catalogue.inaction] == [
        catalogue.benign
    ]


def test_all_that_the_issue_names_are_there() -> None:
    assert {*LABELS} == {*shipped()}
    assert len(Catalogue.named("enterprise-network").classes) == 19


def test_mitigations_are_attacks_own(catalogue: Catalogue) -> None:
    for action in catalogue.actions:
        if action.attack_id is None:
            assert action.name == catalogue.no_action
            continue
        name, by, _ = action.name.partition(" by ")
        assert name == MITIGATIONS[action.attack_id]
        # A way to carry out a mitigation stands beside the mitigation.
        assert not by or name in catalogue.action_names


def test_every_mitigation_of_a_class_is_one_that_attack_relates_to_it(catalogue: Catalogue) -> None:
    for traffic in catalogue.classes:
        related = {
            mitigation
            for technique in traffic.technique
            for one in (technique, technique.partition(".")[0])
            for mitigation in MITIGATES[one].split()
        }
        ranked = {catalogue.actions[action].attack_id for action in traffic.ranking}
        assert ranked - {None} <= related, traffic.name


def test_every_attack_says_what_it_is(catalogue: Catalogue) -> None:
    for number, traffic in enumerate(catalogue.classes):
        assert traffic.about is not None
        assert traffic.about.endswith(".")
        assert bool(traffic.technique) is (number != catalogue.benign)


def test_what_is_done_first_touches_no_account_and_can_be_undone(catalogue: Catalogue) -> None:
    for traffic in catalogue.classes:
        ranked = [catalogue.actions[action] for action in traffic.ranking]
        if ranked[0].name == catalogue.no_action:
            continue
        assert ranked[0].scope in {"ip", "host", "service"}
        assert ranked[0].undo
        # An address is filtered before an account is suspended, and an update comes last of all
        # that is done to a machine.
        scopes = [action.scope for action in ranked]
        if "account" in scopes and "ip" in scopes:
            assert scopes.index("ip") < scopes.index("account")


def test_mitigations_say_how_they_are_carried_out(catalogue: Catalogue) -> None:
    used = {action for traffic in catalogue.classes for action in traffic.ranking}

    assert used == {*range(len(catalogue.actions))}
    for action in catalogue.actions:
        done = action.name != catalogue.no_action
        assert (action.openc2 is not None) is (action.scope != "none") is done


@pytest.mark.parametrize("name", LABELS)
def test_labels_as_published_mean_their_class(name: str) -> None:
    catalogue = Catalogue.named(name)
    labelling = Labelling(catalogue)
    found = {
        (label, catalogue.class_names[labelling.resolve(label)[0]])
        for labels in LABELS[name].values()
        for label in labels.split("|")
    }

    assert found == {
        (label, traffic) for traffic, labels in LABELS[name].items() for label in labels.split("|")
    }


@pytest.mark.parametrize("name", OF_DATA_SETS)
def test_labels_further_labels_and_names_lead_to_one_class(name: str) -> None:
    catalogue = Catalogue.named(name)
    labelling = Labelling(catalogue)
    for number, traffic in enumerate(catalogue.classes):
        for label in (*traffic.labels, *traffic.also, traffic.name):
            assert labelling.resolve(label)[0] == number, label


@pytest.mark.parametrize("name", shipped())
def test_what_changes_the_meaning_is_not_guessed(name: str) -> None:
    labelling = Labelling(Catalogue.named(name))
    vague = ["0", "1", "Malicious", "Anomaly", "BruteForce", "Background", "To-Botnet"]
    # IoT-23 calls one kind of attack so, and NF-UQ-NIDS what it merges.
    vague += [] if name == "iot-23" else ["Attack"]
    if name == "netflow":
        vague.remove("BruteForce")

    assert {labelling.resolve(label)[0] for label in vague} == {UNKNOWN}
    assert labelling.resolve("-")[0] == NO_LABEL
