"""Which MITRE ATT&CK techniques the traffic types stand for.

ATT&CK describes adversaries, not labels of data sets, so every assignment here is this
project's judgement; the paper gives ATT&CK ids for mitigations only (Table II). It is made
per label of CIC-IDS2017, by what the data set's authors say they ran (Sharafaldin et al.,
ICISSP 2018), so a catalogue that merges labels otherwise gets the techniques it merges. A
catalogue that gives its classes techniques of its own is taken at its word.

* PortScan: one host's ports are scanned in many ways, T1046.
* DoS (Hulk, GoldenEye, slowloris, Slowhttptest): one machine exhausts a web server while its
  network stays open, which is what sets T1499 apart from T1498.
* DDoS: three machines flood a host, T1498. (T1499 has room for distributed floods, too, where
  they exhaust the server rather than its line; which was meant, the label does not say.)
* SSH-Patator, FTP-Patator and Web Attack - Brute Force: passwords are tried against a login,
  T1110.001. The last is the largest part of 'Web', which is therefore not T1190 alone.
* Web Attack - XSS and - Sql Injection: flaws of a web application are exploited, T1190. The
  application itself was attacked, so T1189, which is about its visitors, is not named.
* Infiltration: a user opens a file from Dropbox or from a memory stick and gets exploited,
  T1204.002; the victim then scans its own network, T1046.
* Bot: machines take orders from the Ares botnet, which speaks HTTP, T1071.001.
* Heartbleed: a flaw of a reachable TLS server is exploited (CVE-2014-0160), T1190.
* BENIGN: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from envs.catalogue import TrafficClass

SOURCE_NAMES = ("mitre-attack", "mitre-mobile-attack", "mitre-ics-attack")
"""What ATT&CK's own STIX data calls its matrices in external references."""


@dataclass(frozen=True)
class Technique:
    """An ATT&CK technique or sub-technique of the enterprise matrix, named as ATT&CK does."""

    attack_id: str
    name: str

    @property
    def url(self) -> str:
        """The technique's page at attack.mitre.org."""
        return f"https://attack.mitre.org/techniques/{self.attack_id.replace('.', '/')}/"


NAMES: Mapping[str, str] = MappingProxyType(
    {
        "T1021": "Remote Services",
        "T1021.001": "Remote Desktop Protocol",
        "T1021.002": "SMB/Windows Admin Shares",
        "T1041": "Exfiltration Over C2 Channel",
        "T1046": "Network Service Discovery",
        "T1048": "Exfiltration Over Alternative Protocol",
        "T1071": "Application Layer Protocol",
        "T1071.001": "Web Protocols",
        "T1090": "Proxy",
        "T1095": "Non-Application Layer Protocol",
        "T1105": "Ingress Tool Transfer",
        "T1110": "Brute Force",
        "T1110.001": "Password Guessing",
        "T1110.004": "Credential Stuffing",
        "T1133": "External Remote Services",
        "T1189": "Drive-by Compromise",
        "T1190": "Exploit Public-Facing Application",
        "T1203": "Exploitation for Client Execution",
        "T1204.002": "Malicious File",
        "T1210": "Exploitation of Remote Services",
        "T1219": "Remote Access Tools",
        "T1486": "Data Encrypted for Impact",
        "T1498": "Network Denial of Service",
        "T1498.001": "Direct Network Flood",
        "T1498.002": "Reflection Amplification",
        "T1499": "Endpoint Denial of Service",
        "T1499.001": "OS Exhaustion Flood",
        "T1499.002": "Service Exhaustion Flood",
        "T1499.004": "Application or System Exploitation",
        "T1557": "Adversary-in-the-Middle",
        "T1567": "Exfiltration Over Web Service",
        "T1568": "Dynamic Resolution",
        "T1570": "Lateral Tool Transfer",
        "T1571": "Non-Standard Port",
        "T1572": "Protocol Tunneling",
        "T1573": "Encrypted Channel",
        "T1595": "Active Scanning",
        "T1595.002": "Vulnerability Scanning",
        "T1595.003": "Wordlist Scanning",
    }
)
"""Names of the techniques that the catalogues which ship with kirl stand for, in ATT&CK 18.1."""


def _named(attack_id: str) -> Technique:
    """A technique with its name, which is its id where no shipped catalogue has it."""
    return Technique(attack_id, NAMES.get(attack_id, attack_id))


_SCAN = _named("T1046")
_EXHAUST = _named("T1499")
_FLOOD = _named("T1498")
_GUESS = _named("T1110.001")
_EXPLOIT = _named("T1190")
_OPEN_FILE = _named("T1204.002")
_WEB_CONTROL = _named("T1071.001")

TECHNIQUES: Mapping[str, tuple[Technique, ...]] = MappingProxyType(
    {
        "PortScan": (_SCAN,),
        "DoS Hulk": (_EXHAUST,),
        "DoS GoldenEye": (_EXHAUST,),
        "DoS slowloris": (_EXHAUST,),
        "DoS Slowhttptest": (_EXHAUST,),
        "DDoS": (_FLOOD,),
        "SSH-Patator": (_GUESS,),
        "FTP-Patator": (_GUESS,),
        "Web Attack - Brute Force": (_GUESS,),
        "Web Attack - XSS": (_EXPLOIT,),
        "Web Attack - Sql Injection": (_EXPLOIT,),
        "Infiltration": (_OPEN_FILE, _SCAN),
        "Bot": (_WEB_CONTROL,),
        "Heartbleed": (_EXPLOIT,),
        "BENIGN": (),
    }
)
"""By label of the data set; the reasons stand in the module's docstring."""


def techniques_of(traffic: TrafficClass) -> tuple[Technique, ...]:
    """The techniques that a type stands for, each once.

    They are those that its catalogue gives it, or else those of its labels in the labels' order;
    none for benign traffic and for labels that this file does not know.
    """
    if traffic.technique:
        return tuple(_named(one) for one in dict.fromkeys(traffic.technique))
    found = (technique for label in traffic.labels for technique in TECHNIQUES.get(label, ()))
    return tuple(dict.fromkeys(found))


def parent_id(attack_id: str) -> str:
    """The technique that a sub-technique belongs to; a technique is its own parent."""
    return attack_id.partition(".")[0]


def source_name(attack_id: str) -> str:
    """What ATT&CK's STIX data calls the matrix of a technique or mitigation.

    Ids of the ICS matrix begin with a zero (M0818, T0800), all others here are enterprise's.
    """
    return "mitre-ics-attack" if attack_id[1:2] == "0" else "mitre-attack"
