"""kirl itself, exactly as ``kirl train`` runs it: PPO-KG, and plain PPO.

All that ``kirl train`` does is inside the lap: the durable graph, advice from the graph reader,
a progress line per iteration, checkpoints when they are due, and at the end of the training
the last checkpoint, the policy and the manifest.
"""

from __future__ import annotations

import contextlib
import time

from envs import Scenario
from rayapp import config
from rayapp.cluster.session import ray_session
from rayapp.lab.bench.peers.contender import LEARNING_RATE, Clock, Stretch, Work

SETTINGS = ({"flows_per_iteration": 65_536, "epochs": 8},)


class _Enough(Exception):  # noqa: N818 (nothing went wrong)
    """The turn is over before the training is."""


class Kirl:
    """A run of kirl.

    Args:
        work: what to train on.
        algo: ``ppo-kg`` or ``ppo``.
    """

    def __init__(self, work: Work, algo: str) -> None:
        self._session = ray_session()
        self._session.__enter__()
        # RLlib takes seconds to import.
        from rayapp.runs.folder import RunFolder, begin

        learning = {"learning_rate": LEARNING_RATE, **work.setting}
        settings = config.TrainingSettings.model_validate(
            {"algo": algo, "flows": work.flows, "learning": learning}
        )
        self.folder = RunFolder(work.folder / "run")
        begin(self.folder, settings, Scenario.load(work.scenario))

    def run(self, clock: Clock) -> None:
        """Trains the run to its end, or until the clock says that it is over."""
        from rayapp.runs import training
        from rayapp.runs.folder import ProgressLine

        def told(line: ProgressLine, total: int) -> None:
            if not clock.flows:
                # What comes before the first flow, the algorithm's set-up, is not in it.
                clock.start(ago=line.seconds)
            clock.tell(Stretch(line.flows - clock.flows, line.average_reward))
            if clock.over and line.flows < total:
                raise _Enough

        with contextlib.suppress(_Enough):
            training.train(self.folder, told)
            # The manifest is the last thing that a finished training writes.
            ago = time.time() - self.folder.manifest_file.stat().st_mtime
            clock.stop(time.perf_counter() - ago)

    def stop(self) -> None:
        """Ends Ray."""
        self._session.__exit__(None, None, None)


def ppo_kg(work: Work) -> Kirl:
    """Graph, advice and KL term on."""
    return Kirl(work, "ppo-kg")


def ppo(work: Work) -> Kirl:
    """Plain PPO on the same code."""
    return Kirl(work, "ppo")
