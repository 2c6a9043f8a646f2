"""A sweep from its trials to the settings to take, measured once on the test split."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from envs import Scenario
from envs.files import replacing, write_json
from envs.score import Scorecard, evaluate
from rayapp.config import TrainingSettings, flat
from rayapp.lab.reproduction import trials
from rayapp.lab.reproduction.plan import Trial
from rayapp.lab.tuning import request as requests
from rayapp.lab.tuning import sweep
from rayapp.lab.tuning.drawing import draw
from rayapp.lab.tuning.outcome import Gain, Tried, gain
from rayapp.lab.tuning.request import Request
from rayapp.lab.tuning.space import with_point
from rayapp.lab.tuning.trial import POLICY
from rayapp.rl.saved_policy import load_policy
from rayapp.runs import folder as runs
from rayapp.runs.folder import RunFolder

BEST, GIVEN = "best", "given"
"""Folders of the two runs on all training flows; ``given`` has the settings as given."""


@dataclass(frozen=True)
class Outcome:
    """What a sweep found.

    Attributes:
        request: what was asked for.
        tried: all trials, the best score first.
        leader: the complete trial of the highest score.
        gain: of the leader over the settings as given, on the held-out flows.
        settings: to take: the leader's if they gain more than chance, or else those given.
        test: scorecards on the test split, of ``best`` and, if they differ, ``given``.
        kind: of the scenario's flows.
    """

    request: Request
    tried: tuple[Tried, ...]
    leader: Tried
    gain: Gain
    settings: TrainingSettings
    test: dict[str, Scorecard]
    kind: str

    @property
    def best(self) -> Tried:
        """The trial whose settings are to be taken."""
        if self.gain.beyond_chance:
            return self.leader
        return next(one for one in self.tried if not one.point)

    def table(self) -> pd.DataFrame:
        """The trials, the best score first: what was searched, rewards, flows, and a remark."""
        given = flat(self.request.settings.model_dump())
        rows = []
        for one in self.tried:
            remarks = [] if one.point else ["as given"]
            remarks += [] if one.state == "complete" else [one.state]
            remarks += ["best"] if one is self.best else []
            searched = {
                name.rpartition(".")[2]: one.point.get(name, given[name])
                for name in self.request.ranges()
            }
            rows.append(
                {
                    "": ", ".join(remarks),
                    "average": one.average_reward,
                    "class mean": one.class_mean_reward,
                    "flows": one.flows,
                    **searched,
                }
            )
        return pd.DataFrame(rows).set_index("")

    def to_json(self) -> dict[str, Any]:
        """The object that ``kirl tune --json`` prints."""
        return {
            "kind": self.kind,
            "search": self.request.search,
            "metric": self.request.metric,
            "trials": [one.to_json() for one in self.tried],
            "leader": self.leader.point,
            "gain": dataclasses.asdict(self.gain),
            "best": self.best.point,
            "test": {name: card.to_json() for name, card in self.test.items()},
        }


def tune(
    scenario: Scenario,
    out: Path,
    request: Request,
    on_trials: sweep.Progress | None = None,
    on_runs: trials.Progress | None = None,
) -> Outcome:
    """Runs or resumes a sweep, trains what it found on all training flows, and scores that.

    Args:
        scenario: its test split is looked at once, at the very end.
        out: folder that :func:`rayapp.lab.tuning.request.begin` began.
        request: what to do.
        on_trials: told how far the trials are.
        on_runs: told how far the two last trainings are.

    Raises:
        KeyboardInterrupt: SIGINT or SIGTERM came; the same call goes on.
        InputError: the settings as given could not be trained.
    """
    requests.begin(out, request, scenario)
    prepared = sweep.Prepared.of(scenario, request)
    tried = sweep.run_trials(prepared, out, request, on_trials)
    given = next(one for one in tried if not one.point)
    complete = [one for one in tried if one.state == "complete"]
    leader = max(complete, key=lambda one: one.score(request.metric))
    gained = _gain(leader, given, prepared, request)
    chosen = leader if gained.beyond_chance else given
    settings = with_point(request.settings, chosen.point)
    _write_settings(out / "best.yaml", settings)
    different = {BEST: settings} | ({} if chosen is given else {GIVEN: request.settings})
    outcome = Outcome(
        request,
        tuple(sorted(tried, key=lambda one: _rank(one, request), reverse=True)),
        leader,
        gained,
        settings,
        _tested(scenario, out, different, on_runs),
        scenario.kind,
    )
    write_json(out / "results.json", outcome.to_json())
    draw(out / "schedules.png", outcome.tried, request)
    return outcome


def _rank(tried: Tried, request: Request) -> tuple[bool, float]:
    score = tried.score(request.metric)
    # A score half-way is no match for one at the end; nan compares with nothing.
    return tried.state == "complete", float("-inf") if math.isnan(score) else score


def _gain(leader: Tried, given: Tried, prepared: sweep.Prepared, request: Request) -> Gain:
    held_out = prepared.held_out

    def actions(of: Tried) -> Any:  # noqa: ANN401
        policy = load_policy(Path(str(of.folder)) / POLICY, prepared.scenario.fingerprint)
        return policy.actions(held_out.contexts)

    return gain(actions(leader), actions(given), held_out, prepared.distinct, request.metric)


def _write_settings(path: Path, settings: TrainingSettings) -> None:
    """The settings that are not defaults, as ``kirl train --config`` takes them."""
    changed = settings.model_dump(mode="json", exclude_defaults=True)
    fields = {name: value for name, value in changed.items() if value != {}}
    # Told even where they are defaults: without them it would be another training.
    fields |= {"algo": settings.algo, "flows": settings.flows}
    text = "# kirl train --config best.yaml --scenario SCENARIO --out RUN\n"
    with replacing(path) as temporary:
        temporary.write_text(text + yaml.safe_dump(fields, sort_keys=False), encoding="utf-8")


def _tested(
    scenario: Scenario,
    out: Path,
    settings: dict[str, TrainingSettings],
    progress: trials.Progress | None,
) -> dict[str, Scorecard]:
    training = []
    for name, one in settings.items():
        folder = RunFolder(out / name)
        runs.begin(folder, one, scenario)
        training.append(trials.TrialRun(Trial("kirl", "main", name, one), folder))
    trials.train_all(training, progress)
    flows = scenario.flow_set("test")
    return {
        one.trial.name: evaluate(one.folder.policy().actions(flows.contexts), flows)
        for one in training
    }
