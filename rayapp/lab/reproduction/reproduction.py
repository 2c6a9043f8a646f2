"""The whole reproduction: begin all runs, train them, gather what they gave."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from envs import Scenario
from rayapp.lab.reproduction import costs, trials
from rayapp.lab.reproduction.costs import Costs
from rayapp.lab.reproduction.plan import FULL, OTHERS, QUICK, Request, plan
from rayapp.lab.reproduction.results import Results, gather
from rayapp.lab.reproduction.trials import Progress, TrialRun


def reproduce(
    scenarios: Sequence[Scenario], out: Path, request: Request, progress: Progress
) -> tuple[Results, Costs]:
    """Trains what is missing and reads everything. Ray must be running.

    Args:
        scenarios: one, or several splits of the same flows.
        out: runs go to ``out/runs``, or ``out/runs/0`` and so on for several scenarios.
        request: what to train.
        progress: called with the flows trained on and in all.

    Raises:
        InputError: a folder holds a run of other settings.
    """
    runs: list[tuple[Scenario, list[TrialRun]]] = []
    for number, scenario in enumerate(scenarios):
        where = out / "runs" / str(number) if len(scenarios) > 1 else out / "runs"
        planned = plan(
            request.presets,
            seeds=request.seeds,
            training_flows=len(scenario.train[0]),
            scale=QUICK if request.quick else FULL,
            advisor=(*request.advice, "advice.wait=true"),
            others=OTHERS,
        )
        runs.append((scenario, trials.begin_trials(planned, scenario, where)))
    everything = [one for _, some in runs for one in some]
    trials.train_all(everything, progress, request.parallel)
    scenario, first = runs[0]
    plain, infused = (_main(first, name) for name in ("ppo", "ppo-kg"))
    return gather(runs), costs.measure(scenario, plain.folder, infused.folder)


def _main(runs: Sequence[TrialRun], name: str) -> TrialRun:
    """A training of the system, in kirl settings where both were run."""
    wanted = [one for one in runs if (one.trial.experiment, one.trial.name) == ("main", name)]
    return [one for one in wanted if one.trial.settings.seed == wanted[0].trial.settings.seed][-1]
