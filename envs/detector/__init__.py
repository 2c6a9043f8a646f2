"""Detectors: what says which signature a flow or an alert matches."""

from envs.detector.interface import UNKNOWN, Detector
from envs.detector.opinion import OpinionKind, SecondOpinion, Views
from envs.detector.report import detection_report, report_to_json
from envs.detector.rules import Rule, RuleDetector
from envs.detector.tree import TreeDetector

__all__ = [
    "UNKNOWN",
    "Detector",
    "OpinionKind",
    "Rule",
    "RuleDetector",
    "SecondOpinion",
    "TreeDetector",
    "Views",
    "detection_report",
    "report_to_json",
]
