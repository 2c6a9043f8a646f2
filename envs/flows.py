"""Labelled network flows in memory: the form in which every reader and generator hands them on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Progress = Callable[[int, int], None]
"""Called now and then with (done, total), in units that the caller of the work chose."""

FEATURES: tuple[str, ...] = (
    "Destination Port",
    "Flow Duration",
    "Total Fwd Packets",
    "Total Backward Packets",
    "Total Length of Fwd Packets",
    "Total Length of Bwd Packets",
    "Fwd Packet Length Max",
    "Fwd Packet Length Min",
    "Fwd Packet Length Mean",
    "Fwd Packet Length Std",
    "Bwd Packet Length Max",
    "Bwd Packet Length Min",
    "Bwd Packet Length Mean",
    "Bwd Packet Length Std",
    "Flow Bytes/s",
    "Flow Packets/s",
    "Flow IAT Mean",
    "Flow IAT Std",
    "Flow IAT Max",
    "Flow IAT Min",
    "Fwd IAT Total",
    "Fwd IAT Mean",
    "Fwd IAT Std",
    "Fwd IAT Max",
    "Fwd IAT Min",
    "Bwd IAT Total",
    "Bwd IAT Mean",
    "Bwd IAT Std",
    "Bwd IAT Max",
    "Bwd IAT Min",
    "Fwd PSH Flags",
    "Bwd PSH Flags",
    "Fwd URG Flags",
    "Bwd URG Flags",
    "Fwd Header Length",
    "Bwd Header Length",
    "Fwd Packets/s",
    "Bwd Packets/s",
    "Min Packet Length",
    "Max Packet Length",
    "Packet Length Mean",
    "Packet Length Std",
    "Packet Length Variance",
    "FIN Flag Count",
    "SYN Flag Count",
    "RST Flag Count",
    "PSH Flag Count",
    "ACK Flag Count",
    "URG Flag Count",
    "CWE Flag Count",
    "ECE Flag Count",
    "Down/Up Ratio",
    "Average Packet Size",
    "Avg Fwd Segment Size",
    "Avg Bwd Segment Size",
    "Fwd Header Length.1",
    "Fwd Avg Bytes/Bulk",
    "Fwd Avg Packets/Bulk",
    "Fwd Avg Bulk Rate",
    "Bwd Avg Bytes/Bulk",
    "Bwd Avg Packets/Bulk",
    "Bwd Avg Bulk Rate",
    "Subflow Fwd Packets",
    "Subflow Fwd Bytes",
    "Subflow Bwd Packets",
    "Subflow Bwd Bytes",
    "Init_Win_bytes_forward",
    "Init_Win_bytes_backward",
    "act_data_pkt_fwd",
    "min_seg_size_forward",
    "Active Mean",
    "Active Std",
    "Active Max",
    "Active Min",
    "Idle Mean",
    "Idle Std",
    "Idle Max",
    "Idle Min",
)
"""The 78 CICFlowMeter features of CICIDS2017, in the published order, stripped of stray spaces.

Times are in microseconds, lengths in bytes. ``Fwd Header Length`` is published twice;
the second one is called ``Fwd Header Length.1`` here.
"""


@dataclass(frozen=True)
class Provenance:
    """Where flows came from and what was left out; it becomes part of a scenario's manifest.

    Attributes:
        kind: ``"cicids2017"`` or ``"synthetic"``.
        origin: what was read (file names) or drawn (rows, seed), JSON-able.
        rows_read: rows seen, before anything was dropped.
        dropped: number of rows dropped, by reason.
        labels: number of rows kept, by published label.
    """

    kind: str
    origin: dict[str, Any]
    rows_read: int
    dropped: dict[str, int] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Flows:
    """Labelled flows.

    Attributes:
        features: float32 [n, 78], columns as in :data:`FEATURES`, all finite. float32 is
            what scikit-learn's trees compute with, so nothing is lost to them.
        actual: int8 [n], index into the catalogue's classes.
        provenance: where they came from.
    """

    features: NDArray[np.float32]
    actual: NDArray[np.int8]
    provenance: Provenance

    def __len__(self) -> int:
        return len(self.actual)
