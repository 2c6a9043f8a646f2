"""Made-up names of traffic types and mitigations, so that the model learns to read any name."""

from __future__ import annotations

import numpy as np

_WORDS = """
access account action active adaptive address admin agent alert allow analysis anomaly api
application archive attack audit authentication backup bandwidth baseline beacon behavior block
bot boundary bridge browser brute buffer cache capture certificate channel check cipher client
cloud cluster code command compromise config connection contain content control cookie copy
credential cross cut data database deauth deception decoy deep default defer delay deny deploy
detect device directory disable disconnect distributed dns domain drop dump edge email enable
encrypt endpoint enforce engine escalate event exfiltration exploit external fast fetch file
filter fingerprint firewall flood flow force forensics forward fragment gateway grant group guard
handshake harden hash header high hijack hold honeypot host http icmp identity idle image impact
implant inbound infiltration inject input inspect install integrity internal intrusion inventory
ip isolate issue kernel key kill lateral layer leak limit link list load local lock log login loop
low malware manage manual map mask mesh message mirror mobile model module monitor move multi name
network node notify null odd open operator orphan outbound overflow packet parse password patch
path payload peer permit phishing ping pivot plan policy pool port post prevent primary privilege
probe process profile program protect protocol proxy quarantine query queue quick ransomware rate
raw reboot record redirect reduce registry reject relay remote remove replay report reputation
request reset resource response restore restrict review revoke rogue root rotate route rule run
safe sandbox scan scatter schedule scope script secondary secret secure segment sensor server
service session shadow shell shield shut sign signature silent single sinkhole site slow smart
sniff snapshot socket software source spam split spoof spray sql ssh ssl stack stage standby
static stealth storage stream strict subnet suspend switch syn system tag tamper target tcp
telemetry terminal test threat throttle ticket time tls token topology trace track traffic train
transfer trap trojan trust tunnel udp update upload url usage user validate vault vendor verify
virtual virus vlan vpn wait watch web white wide wipe wireless worm zero zone and for of on or
over to with from
"""

_SYLLABLES = """
ba be bi bo da de di do fa fe ga gi go ka ke ki ko la le li lo lu ma me mi mo na ne ni no pa pe po
ra re ri ro sa se si so ta te ti to va ve vi xa xo za ze zu
"""

WORDS = tuple(_WORDS.split())


def made_up(count: int, seed: int) -> list[str]:
    """Different names, sorted; another seed gives (almost) others.

    Mostly one to four words, some of them in capitals, some invented, some with a number.
    """
    rng = np.random.default_rng(seed)
    names: set[str] = set()
    while len(names) < count:
        words = [_word(rng) for _ in range(rng.choice([1, 2, 3, 4], p=[0.2, 0.4, 0.3, 0.1]))]
        style = rng.random()
        if style < 0.6:
            words = [w[:1].upper() + w[1:] for w in words]
        elif style < 0.8:
            words[0] = words[0][:1].upper() + words[0][1:]
        names.add(("-" if rng.random() < 0.1 else " ").join(words))
    return sorted(names)


def _word(rng: np.random.Generator) -> str:
    draw = rng.random()
    if draw < 0.75:
        return WORDS[rng.integers(len(WORDS))]
    if draw < 0.9:
        return "".join(rng.choice(_SYLLABLES.split(), rng.integers(2, 4)))
    if draw < 0.95:
        return "".join(rng.choice(list("ABCDEFGHIKLMNOPQRSTUVWXYZ"), rng.integers(2, 5)))
    return f"{rng.choice(list('MTXC'))}{rng.integers(10, 9999)}"
