"""Every place where kirl reaches behind RLlib's public API, for a new version of Ray to check.

Each function has what RLlib offers no public way to; the names are those of RLlib 2.60.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any


def refuse(config: Any, why: str) -> None:  # noqa: ANN401
    """Fails a configuration's validation, unless its user has turned that off.

    ``AlgorithmConfig._value_error`` is what RLlib's own checks end in; only it knows of
    ``experimental(_validate_config=False)``.
    """
    config._value_error(why)


def has_custom_optimisation(config: Any) -> bool:  # noqa: ANN401
    """Whether torch schedulers or gradient scalers are set, which RLlib's own loop honours.

    They are set by ``experimental()`` and kept under these names alone.
    """
    return bool(config._torch_lr_scheduler_classes or config._torch_grad_scaler_class)


def next_weights_number(learner: Any) -> int:  # noqa: ANN401
    """Counts an update, as ``Learner.update`` does; runners tell new weights from old by it."""
    learner._weights_seq_no += 1
    return int(learner._weights_seq_no)


def count_trained(learner: Any, env_steps: int, rows: int) -> None:  # noqa: ANN401
    """Adds to the Prometheus counters that ``Learner.update`` would have added to."""
    learner._metrics_all_modules_num_env_steps_trained.inc(value=env_steps)
    learner._metrics_all_modules_num_module_steps_trained.inc(value=rows)


def count_sampled(runner: Any, env_steps: int) -> None:  # noqa: ANN401
    """Adds to the Prometheus counter of an environment runner.

    RLlib makes it for every runner and leaves adding to it to the subclass.
    """
    runner._log_env_steps(runner._metrics_num_env_steps_sampled, env_steps)


def is_wanted(
    algorithm: Any,  # noqa: ANN401
    component: str,
    components: str | Collection[str] | None,
    not_components: str | Collection[str] | None,
) -> bool:
    """Whether ``get_state`` was asked for a component; RLlib's rules of names are its own."""
    return bool(algorithm._check_component(component, components, not_components))
