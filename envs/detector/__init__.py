"""The intrusion detector: a decision tree whose leaves are signatures."""

from envs.detector.tree import (
    Detector,
    detection_report,
    report_to_json,
)

__all__ = ["Detector", "detection_report", "report_to_json"]
