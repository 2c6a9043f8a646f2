"""What CICFlowMeter writes: flows of a network of your own, by version 3 or 4 (in Java).

Its column ``Label`` says that nobody has labelled the flows, until somebody does.
"""

from __future__ import annotations

from envs.datasets import cicflowmeter
from envs.datasets.cicflowmeter_python import is_snake_case
from envs.datasets.tables.form import TableFormat
from envs.datasets.tables.sample import Sample
from envs.datasets.tables.source import table_data_set


def _is_java(one: Sample) -> bool:
    return not is_snake_case(one)


FORM = TableFormat(
    kind="cicflowmeter",
    title="CICFlowMeter",
    made_by="CICFlowMeter (Java)",
    fields=(*cicflowmeter.counted(cicflowmeter.single()), cicflowmeter.PROTOCOL),
    unlabelled=("NeedManualLabel", "No Label"),
    keys=cicflowmeter.KEYS,
    telling=(cicflowmeter.WRITTEN, cicflowmeter.ABBREVIATED),
    agrees=_is_java,
    catalogue="enterprise-network",
    advice="Give the CSV files that CICFlowMeter writes",
)

CICFLOWMETER = table_data_set(
    FORM,
    about="Flows of your own network, measured by CICFlowMeter 3 or 4 (Java)",
    citation="Draper-Gil, Habibi Lashkari, Mamun, Ghorbani: Characterization of Encrypted and VPN "
    "Traffic Using Time-Related Features, ICISSP 2016; https://github.com/ahlashkari/CICFlowMeter",
    labels=(),
)
