"""CICDDoS2019: reflection and flooding attacks, as flows of CICFlowMeter.

Its columns are those of CICIDS2017's GeneratedLabelledFlows, ``Inbound`` (whether a flow comes
from outside) and ``SimillarHTTP``. The latter holds web addresses, and is no feature.
"""

from __future__ import annotations

from envs.datasets import cicflowmeter
from envs.datasets.tables.form import Field, TableFormat
from envs.datasets.tables.source import table_data_set

LABELS = (
    *("BENIGN", "DrDoS_DNS", "DrDoS_LDAP", "DrDoS_MSSQL", "DrDoS_NetBIOS", "DrDoS_NTP"),
    *("DrDoS_SNMP", "DrDoS_SSDP", "DrDoS_UDP", "LDAP", "MSSQL", "NetBIOS", "Portmap", "Syn"),
    *("TFTP", "UDP", "UDP-lag", "WebDDoS"),
)
"""Those of both days: on the second one reflection attacks have no ``DrDoS_``."""

FORM = TableFormat(
    kind="cicddos2019",
    title="CICDDoS2019",
    made_by="CICFlowMeter of CICDDoS2019",
    fields=(*cicflowmeter.FIELDS, cicflowmeter.PROTOCOL, Field("Inbound", "flag")),
    keys=cicflowmeter.KEYS,
    telling=(
        (*cicflowmeter.PUBLISHED, "Total Length of Fwd Packets", "Inbound"),
        (*cicflowmeter.PUBLISHED, "Total Length of Fwd Packets", "SimillarHTTP"),
        (*cicflowmeter.PUBLISHED, "Inbound"),
        cicflowmeter.PUBLISHED,
    ),
    twins=(("Fwd Header Length", cicflowmeter.TWIN),),
    catalogue="cicddos2019",
    advice="Give the CSV files of both days",
)

CICDDOS2019 = table_data_set(
    FORM,
    about="Two days of recorded DDoS attacks, as flows of CICFlowMeter",
    citation="Sharafaldin, Habibi Lashkari, Hakak, Ghorbani: Developing Realistic Distributed "
    "Denial of Service (DDoS) Attack Dataset and Taxonomy, ICCST 2019",
    labels=LABELS,
)
