"""Part of the training flows set apart to choose settings by, so that the test split need not.

The detector was fitted on the held-out flows as well and hardly errs on them as it matches
them. So they are scored as they are matched honestly (:mod:`envs.honesty`), which is how flows
of tomorrow will be met.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from envs.errors import InputError
from envs.scenario import Scenario
from envs.state import FlowSet
from envs.stratified import stratified_parts


def hold_out(scenario: Scenario, share: float, seed: int) -> tuple[Scenario, FlowSet]:
    """Parts a scenario's training flows, stratified by true class.

    Args:
        scenario: with its training and test splits.
        share: of the training flows to hold out, between 0 and 1.
        seed: of the draw.

    Returns:
        A scenario in memory that has the remaining training flows, and the held-out ones in the
        place of the test split, which is not in it; and the held-out flows as they are matched
        honestly: each of them once per draw of the cross-fitting, or as the detector matches
        it where the scenario has no draws.

    Raises:
        InputError: a share out of range, or a class with too few training flows.
    """
    if not 0 < share < 1:
        raise InputError(f"the share to hold out is {share:g}", expected="one between 0 and 1")
    signature, actual = scenario.train
    try:
        kept, held = stratified_parts(actual, share, seed=seed)
    except ValueError as error:
        raise InputError(
            f"a class has too few training flows to hold out a share of {share:g}",
            where=str(scenario.path),
            expected="at least two training flows of every class on either side",
            mend="Hold out another share, or prepare more flows",
        ) from error
    name = hashlib.sha256(f"{scenario.fingerprint} {share!r} {seed}".encode()).hexdigest()
    remaining = replace(
        scenario,
        manifest=scenario.manifest
        | {"fingerprint": name, "flows": {"train": len(kept), "test": len(held)}},
        train=(signature[kept], actual[kept]),
        test=(signature[held], actual[held]),
        cross_fitted=scenario.cross_fitted[:, kept],
    )
    draws = len(scenario.cross_fitted)
    honest = FlowSet(
        scenario.cross_fitted[:, held].ravel() if draws else signature[held],
        np.tile(actual[held], draws or 1),
        scenario.contexts,
        scenario.catalogue,
    )
    return remaining, honest
