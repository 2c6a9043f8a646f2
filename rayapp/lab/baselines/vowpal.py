"""Vowpal Wabbit's online contextual bandit, as its users would set it up.

``--cb_explore`` with one linear model per action over the same two names that the other
bandits see, predicted class and signature, one-hot; epsilon-greedy, with the doubly robust
estimate of costs from 0 (reward 5) to 1 (reward -5). All but the costs' scale and the size
of the weight table are its defaults. Learning goes flow by flow, in the order of the stream.
"""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from envs import Catalogue, InputError
from envs.catalogue import MISS_REWARD, TOP_REWARD
from rayapp.lab.baselines.trainee import Decided
from rayapp.rl.stepping import Slice, pick_actions

_BITS = 22
"""Of the weight table: 1,700 signatures by 15 actions fill about one hundredth of it."""


def check_installed() -> None:
    """Raises :class:`InputError` where Vowpal Wabbit is missing."""
    if importlib.util.find_spec("vowpalwabbit") is None:
        raise InputError(
            "Vowpal Wabbit is not installed",
            where="--algo vw",
            expected="the Python package vowpalwabbit, part of kirl's bench extra",
            mend="In kirl's folder: pip install -c constraints.txt -e '.[bench]'",
        )


class VowpalWabbit:
    """A workspace of Vowpal Wabbit, asked once per signature and taught every flow.

    Args:
        predicted: int8 [signatures], the class each signature predicts.
        catalogue: its number of actions.
        learning_rate: of Vowpal Wabbit's adaptive gradient steps.
        epsilon: share of flows whose action is drawn from all evenly.
        seed: given to Vowpal Wabbit; actions are drawn with the run's own random numbers.

    Raises:
        InputError: the package is missing.
    """

    def __init__(
        self,
        predicted: NDArray[np.int8],
        catalogue: Catalogue,
        *,
        learning_rate: float,
        epsilon: float,
        seed: int,
    ) -> None:
        check_installed()
        self._actions = len(catalogue.actions)
        # A name that is a number would be its own hash, and neighbours would share weights.
        self._contexts = [
            f"|class c{kind} |signature s{number}" for number, kind in enumerate(predicted.tolist())
        ]
        self._options = (
            f"--cb_explore {self._actions} --epsilon {epsilon} --bit_precision {_BITS} "
            f"--learning_rate {learning_rate} --random_seed {seed} --quiet"
        )
        self._probabilities = np.full((len(predicted), self._actions), 1 / self._actions)
        self._workspace = self._open()

    def _open(self, more: str = "") -> Any:  # noqa: ANN401 (untyped package)
        from vowpalwabbit import Workspace

        return Workspace(self._options + more)

    def act(
        self, signature: NDArray[np.int32], piece: Slice, noise: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """See :class:`rayapp.lab.baselines.trainee.Bandit`."""
        for number in np.unique(signature).tolist():
            self._probabilities[number] = self._workspace.predict(self._contexts[number])
        return pick_actions(self._probabilities, signature, noise)

    def learn(self, decided: Decided) -> None:
        """See :class:`rayapp.lab.baselines.trainee.Bandit`."""
        cost = (TOP_REWARD - decided.reward) / (TOP_REWARD - MISS_REWARD)
        chance = self._probabilities[decided.context, decided.action]
        rows = zip(
            decided.context.tolist(),
            decided.action.tolist(),
            cost.tolist(),
            chance.tolist(),
            strict=True,
        )
        contexts, learn = self._contexts, self._workspace.learn
        for number, action, paid, likely in rows:
            # Vowpal Wabbit numbers actions from 1.
            learn(f"{action + 1}:{paid}:{likely} {contexts[number]}")

    def greedy(self) -> NDArray[np.int64]:
        """The action it explores around, int64 [signatures]."""
        asked = np.array([self._workspace.predict(context) for context in self._contexts])
        best: NDArray[np.int64] = asked.argmax(axis=1)
        return best

    def state(self) -> dict[str, Tensor]:
        """Vowpal Wabbit's own model file, gradients' history included, as bytes."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model"
            self._workspace.save(str(file))
            return {"model": torch.from_numpy(np.fromfile(file, np.uint8))}

    def set_state(self, tensors: dict[str, Tensor]) -> None:
        """See :class:`rayapp.lab.baselines.trainee.Bandit`."""
        self._workspace.finish()
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model"
            tensors["model"].numpy().tofile(file)
            self._workspace = self._open(f" -i {file} --preserve_performance_counters")

    def close(self) -> None:
        """Frees the workspace."""
        self._workspace.finish()
