"""What the ports of CICFlowMeter to Python write: ``tot_fwd_pkts`` and so on.

Newer versions write times in seconds, older ones in microseconds, and the names are the same. A
rate times a duration is a number of packets, which tells the unit; other times must be of the
same one. Flows come out in microseconds, as in all tables of CICFlowMeter.

``cwe_flag_count`` is no feature: the ports write ``fwd_urg_flags`` there again. One version
streams its rows without a header, with MAC addresses; these tell it from other tables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from envs.datasets import cicflowmeter
from envs.datasets.tables.form import Field, TableFormat
from envs.datasets.tables.sample import Sample
from envs.datasets.tables.source import table_data_set
from envs.errors import InputError
from envs.files import shown_path

TELLING = ("flow_duration", "tot_fwd_pkts", "tot_bwd_pkts")

SECONDS = (0.3, 1e5)
MICROSECONDS = (3e5, 1e11)
"""Rate x duration / packets, by the unit of the duration: 1 or 1,000,000 where a port counts
right. Some count the packets of a flow while they write it, and are off by a factor."""

_EITHER = 0.02
"""Share of rows that may be of the other unit."""

_GROUPS = {
    "flow_iat_max": ("Flow IAT Mean", "Flow IAT Std", "Flow IAT Max", "Flow IAT Min"),
    "fwd_iat_max": ("Fwd IAT Total", "Fwd IAT Mean", "Fwd IAT Std", "Fwd IAT Max", "Fwd IAT Min"),
    "bwd_iat_max": ("Bwd IAT Total", "Bwd IAT Mean", "Bwd IAT Std", "Bwd IAT Max", "Bwd IAT Min"),
    "active_max": ("Active Mean", "Active Std", "Active Max", "Active Min"),
    "idle_max": ("Idle Mean", "Idle Std", "Idle Max", "Idle Min"),
}
"""Times that are measured together, by the one that is at most the flow's duration."""

_PART = (1e-5, 10.0)
"""What a part of a flow's duration may be of it, where both are in one unit."""

_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", re.IGNORECASE)

_MAC_COLUMNS = ("src_mac", "dst_mac")

HEADLESS = (
    *("src_ip", "dst_ip", "src_port", "dst_port", *_MAC_COLUMNS, "protocol", "timestamp"),
    *("flow_duration", "flow_byts_s", "flow_pkts_s", "fwd_pkts_s", "bwd_pkts_s", "tot_fwd_pkts"),
    *("tot_bwd_pkts", "totlen_fwd_pkts", "totlen_bwd_pkts", "fwd_pkt_len_max"),
    *("fwd_pkt_len_min", "fwd_pkt_len_mean", "fwd_pkt_len_std", "bwd_pkt_len_max"),
    *("bwd_pkt_len_min", "bwd_pkt_len_mean", "bwd_pkt_len_std", "pkt_len_max", "pkt_len_min"),
    *("pkt_len_mean", "pkt_len_std", "pkt_len_var", "fwd_header_len", "bwd_header_len"),
    *("fwd_seg_size_min", "fwd_act_data_pkts", "flow_iat_mean", "flow_iat_max", "flow_iat_min"),
    *("flow_iat_std", "fwd_iat_tot", "fwd_iat_max", "fwd_iat_min", "fwd_iat_mean", "fwd_iat_std"),
    *("bwd_iat_tot", "bwd_iat_max", "bwd_iat_min", "bwd_iat_mean", "bwd_iat_std"),
    *("fwd_psh_flags", "bwd_psh_flags", "fwd_urg_flags", "bwd_urg_flags", "fin_flag_cnt"),
    *("syn_flag_cnt", "rst_flag_cnt", "psh_flag_cnt", "ack_flag_cnt", "urg_flag_cnt"),
    *("ece_flag_cnt", "down_up_ratio", "pkt_size_avg", "init_fwd_win_byts", "init_bwd_win_byts"),
    *("active_max", "active_min", "active_mean", "active_std", "idle_max", "idle_min"),
    *("idle_mean", "idle_std", "fwd_byts_b_avg", "fwd_pkts_b_avg", "bwd_byts_b_avg"),
    *("bwd_pkts_b_avg", "fwd_blk_rate_avg", "bwd_blk_rate_avg", "fwd_seg_size_avg"),
    *("bwd_seg_size_avg", "cwe_flag_count", "subflow_fwd_pkts", "subflow_bwd_pkts"),
    *("subflow_fwd_byts", "subflow_bwd_byts"),
)
"""The columns of the version that writes MAC addresses and no header."""


def is_snake_case(one: Sample) -> bool:
    """Whether a file spells its columns as the ports to Python do."""
    return any(name in one.names for name in TELLING[1:])


def _is_python(one: Sample) -> bool:
    """Whether a file with the columns is a port's; rows without header must have MAC addresses."""
    if not is_snake_case(one):
        return False
    if one.dialect.header or one.dialect.form != "text":
        return True
    macs = [one.column(name) or [] for name in _MAC_COLUMNS]
    return bool(one.rows) and all(_MAC.fullmatch(cell) for cells in macs for cell in cells)


def units(one: Sample) -> Mapping[str, float]:
    """What the times of a file are multiplied with to be microseconds, by feature.

    Raises:
        InputError: the unit cannot be told, or there are several.
    """
    duration, rate = one.numbers("flow_duration"), one.numbers("flow_pkts_s")
    forward, backward = one.numbers("tot_fwd_pkts"), one.numbers("tot_bwd_pkts")
    if duration is None or rate is None or forward is None or backward is None:
        raise _untold(one, "there are no columns flow_duration, flow_pkts_s, tot_fwd_pkts and "
                      "tot_bwd_pkts to tell it from")  # fmt: skip
    packets = forward + backward
    usable = (duration > 0) & (rate > 0) & (packets > 0)
    if not usable.any():
        raise _untold(one, f"none of the first {len(one.rows)} flows has a duration and a rate")
    ratio = duration[usable] * rate[usable] / packets[usable]
    seconds, micro = (_share(ratio, bounds) for bounds in (SECONDS, MICROSECONDS))
    if max(seconds, micro) < 1 - _EITHER:
        raise _untold(
            one,
            f"flow_duration x flow_pkts_s is {np.median(ratio):.3g} times the number of packets, "
            "not 1 (seconds) or 1,000,000 (microseconds)"
            if seconds + micro < 1 - _EITHER
            else f"{seconds:.0%} of the first durations are in seconds, the others in microseconds",
        )
    for column in _GROUPS:
        _check_same(one, column, duration)
    if micro > seconds:
        return {}
    times = ("Flow Duration", *(name for names in _GROUPS.values() for name in names))
    return dict.fromkeys(times, 1e6)


def _share(ratio: NDArray[np.float64], bounds: tuple[float, float]) -> float:
    return float(np.mean((ratio >= bounds[0]) & (ratio < bounds[1])))


def _check_same(one: Sample, column: str, duration: NDArray[np.float64]) -> None:
    """Raises InputError if a time is in another unit than the flow's duration."""
    part = one.numbers(column)
    if part is None:
        return
    usable = (part > 0) & (duration > 0)
    share = float(np.median(part[usable] / duration[usable])) if usable.any() else 1.0
    if not _PART[0] <= share <= _PART[1]:
        raise _untold(
            one, f"{column} is {share:.3g} times flow_duration: the two are in different units"
        )


def _untold(one: Sample, why: str) -> InputError:
    return InputError(
        f"the unit of its times cannot be told: {why}",
        where=shown_path(one.path),
        expected="times in seconds or in microseconds, all of them in the same unit",
        mend="Write the flows again with one version of the program, and give each version's "
        "files by themselves",
    )


def _fields() -> tuple[Field, ...]:
    own = {"CWE Flag Count": Field("CWR Flag Count", "packets", ("CWR Flag Cnt",))}
    shared = cicflowmeter.counted(cicflowmeter.single())
    return (*(own.get(f.name, f) for f in shared), cicflowmeter.PROTOCOL)


FORM = TableFormat(
    kind="cicflowmeter-python",
    title="a port of CICFlowMeter to Python",
    made_by="cicflowmeter (Python)",
    fields=_fields(),
    keys=cicflowmeter.KEYS,
    telling=(TELLING,),
    agrees=_is_python,
    catalogue="enterprise-network",
    headless=HEADLESS,
    factors=units,
    advice="Give the CSV files that cicflowmeter (Python) writes",
)

CICFLOWMETER_PYTHON = table_data_set(
    FORM,
    about="Flows of your own network, measured by a port of CICFlowMeter to Python",
    citation="https://github.com/hieulw/cicflowmeter",
    labels=(),
)
