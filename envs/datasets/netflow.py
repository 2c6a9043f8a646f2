"""NetFlow records as the NF-* data sets publish them: versions 1 (8 features), 2 and 3.

Tables are CSV files with a header or JSON arrays. Some copies hold a few of the columns; a
scenario trains on those that are there.

Addresses and the client's port tell who it was, and FLOW_START_MILLISECONDS and
FLOW_END_MILLISECONDS when it was: they are keys. As features they would let a detector remember
the attackers' machines and hours instead of the attacks. No cell of these files is empty; a row
with an empty or infinite one is dropped.
"""

from __future__ import annotations

from envs.datasets.tables.form import Field, TableFormat
from envs.datasets.tables.source import table_data_set

FIELDS = (
    Field("L4_DST_PORT", "port"),
    Field("PROTOCOL", "number"),
    Field("L7_PROTO", "number"),
    Field("IN_BYTES", "bytes"),
    Field("OUT_BYTES", "bytes"),
    Field("IN_PKTS", "packets"),
    Field("OUT_PKTS", "packets"),
    Field("TCP_FLAGS", "flags"),
    Field("FLOW_DURATION_MILLISECONDS", "ms"),
    # From here on version 2.
    Field("CLIENT_TCP_FLAGS", "flags"),
    Field("SERVER_TCP_FLAGS", "flags"),
    Field("DURATION_IN", "ms"),
    Field("DURATION_OUT", "ms"),
    Field("MIN_TTL", "hops"),
    Field("MAX_TTL", "hops"),
    Field("LONGEST_FLOW_PKT", "bytes"),
    Field("SHORTEST_FLOW_PKT", "bytes"),
    Field("MIN_IP_PKT_LEN", "bytes"),
    Field("MAX_IP_PKT_LEN", "bytes"),
    Field("SRC_TO_DST_SECOND_BYTES", "bytes/s"),
    Field("DST_TO_SRC_SECOND_BYTES", "bytes/s"),
    Field("RETRANSMITTED_IN_BYTES", "bytes"),
    Field("RETRANSMITTED_IN_PKTS", "packets"),
    Field("RETRANSMITTED_OUT_BYTES", "bytes"),
    Field("RETRANSMITTED_OUT_PKTS", "packets"),
    Field("SRC_TO_DST_AVG_THROUGHPUT", "bit/s"),
    Field("DST_TO_SRC_AVG_THROUGHPUT", "bit/s"),
    Field("NUM_PKTS_UP_TO_128_BYTES", "packets"),
    Field("NUM_PKTS_128_TO_256_BYTES", "packets"),
    Field("NUM_PKTS_256_TO_512_BYTES", "packets"),
    Field("NUM_PKTS_512_TO_1024_BYTES", "packets"),
    Field("NUM_PKTS_1024_TO_1514_BYTES", "packets"),
    Field("TCP_WIN_MAX_IN", "bytes"),
    Field("TCP_WIN_MAX_OUT", "bytes"),
    Field("ICMP_TYPE", "number"),
    Field("ICMP_IPV4_TYPE", "number"),
    Field("DNS_QUERY_ID", "number"),
    Field("DNS_QUERY_TYPE", "number"),
    Field("DNS_TTL_ANSWER", "s"),
    Field("FTP_COMMAND_RET_CODE", "number"),
    # From here on version 3.
    Field("SRC_TO_DST_IAT_MIN", "ms"),
    Field("SRC_TO_DST_IAT_MAX", "ms"),
    Field("SRC_TO_DST_IAT_AVG", "ms"),
    Field("SRC_TO_DST_IAT_STDDEV", "ms"),
    Field("DST_TO_SRC_IAT_MIN", "ms"),
    Field("DST_TO_SRC_IAT_MAX", "ms"),
    Field("DST_TO_SRC_IAT_AVG", "ms"),
    Field("DST_TO_SRC_IAT_STDDEV", "ms"),
)

LABELS = (
    *("Benign", "Reconnaissance", "Scanning", "DoS", "DDoS", "Brute Force", "Password"),
    *("Injection", "XSS", "MITM", "Infilteration", "Bot", "Backdoor", "Ransomware", "Theft"),
    *("Exploits", "Fuzzers", "Generic", "Shellcode", "Analysis", "Worms"),
    *("SSH-Bruteforce", "FTP-BruteForce", "DDoS attacks-LOIC-HTTP", "DDOS attack-HOIC"),
    *("DDOS attack-LOIC-UDP", "DoS attacks-Hulk", "DoS attacks-GoldenEye"),
    *("DoS attacks-SlowHTTPTest", "DoS attacks-Slowloris", "Brute Force -Web"),
    *("Brute Force -XSS", "SQL Injection"),
)
"""What stands in the column Attack of the NF-* sets of UNSW-NB15, BoT-IoT, ToN-IoT and
CSE-CIC-IDS2018."""

FORM = TableFormat(
    kind="netflow",
    title="NetFlow",
    made_by="nProbe (NetFlow)",
    fields=FIELDS,
    labels=("Attack", "Label"),
    keys={
        "time": ("FLOW_START_MILLISECONDS",),
        "id": ("flow_id",),
        "src_ip": ("IPV4_SRC_ADDR", "IPV6_SRC_ADDR"),
        "src_port": ("L4_SRC_PORT",),
        "dst_ip": ("IPV4_DST_ADDR", "IPV6_DST_ADDR"),
        "dst_port": ("L4_DST_PORT",),
        "protocol": ("PROTOCOL",),
    },
    telling=(("L4_DST_PORT", "PROTOCOL", "IN_BYTES", "OUT_BYTES"),),
    catalogue="netflow",
    advice="Give CSV files or JSON arrays in the columns of the NF-* data sets",
)

NETFLOW = table_data_set(
    FORM,
    about="NetFlow records in the columns of the NF-* data sets, versions 1 to 3",
    citation="Luay, Layeghy, Hosseininoorbin, Sarhan, Moustafa, Portmann: Temporal Analysis of "
    "NetFlow Datasets for Network Intrusion Detection Systems, 2025",
    labels=LABELS,
)
