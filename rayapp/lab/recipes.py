"""The commands that make things again."""

from __future__ import annotations

import shlex

from envs import Scenario
from envs.division import FOLDS


def prepare_command(scenario: Scenario, out: str = "scenario") -> str:
    """``kirl prepare`` with the options that gave a scenario; it writes to ``out``."""
    origin = scenario.manifest["source"]["origin"]
    words = ["kirl", "prepare"]
    if scenario.synthetic:
        words += ["--synthetic", str(origin.get("rows", scenario.manifest["source"]["rows_read"]))]
    for file in origin.get("files", []):
        words += ["--data", str(file)]
    if scenario.catalogue.name not in {"", "paper"}:
        words += ["--catalogue", f"{scenario.catalogue.name}.yaml"]
    split = scenario.manifest["split"]
    if split["honest"] is not None:
        words += ["--honest", str(split["honest"])]
    elif split["cross_fit"] != FOLDS:
        words += ["--cross-fit", str(split["cross_fit"])]
    return shlex.join([*words, "--seed", str(scenario.manifest["split"]["seed"]), "--out", out])
