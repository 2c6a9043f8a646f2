"""An advisor of your own: put it into a package, name it there, and train with it.

The package's ``pyproject.toml`` says what the advisor is called::

    [project.entry-points."kirl.advisors"]
    careful = "my_package.advisor:Careful"

Once the package is installed (``pip install -e .``), every command knows it::

    kirl advisor list
    kirl advise --run run --signature 17 --advisor careful
    kirl train --scenario scenario --advisor careful --set advice.temperature=0.5 --out run
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llm_actor import Prompts, with_floor


class Careful:
    """Weighs actions by the worst that they have earned among the types that a flow may be of.

    Args:
        temperature: of the softmax over those rewards; ``--set advice.temperature`` sets it,
            since parameters that are named like settings below ``advice`` are options.
    """

    name = "careful"

    def __init__(self, temperature: float = 0.25) -> None:
        self._temperature = temperature

    def log_probabilities(self, prompts: Prompts) -> NDArray[np.float32]:
        """Natural log-probabilities of all actions, float32 [prompts, actions]."""
        possible = prompts.shares > 0
        possible[np.arange(len(prompts)), prompts.predicted] = True
        rewards = np.nan_to_num(prompts.rewards, nan=0.0)
        worst = np.where(possible[:, :, None], rewards, np.inf).min(axis=1)
        # A softmax over the candidates; what the records rule out keeps a small probability.
        return with_floor(worst / self._temperature, prompts.candidates)
