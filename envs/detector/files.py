"""A detector's file: arrays by name in safetensors, and the refusal of one that is no such file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from envs.errors import InputError

Shapes = dict[str, tuple[int, ...]]
"""Shape of each array, by its name."""


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes arrays as safetensors."""
    # Not save_file: it takes the file from all other users.
    path.write_bytes(save({name: np.ascontiguousarray(one) for name, one in arrays.items()}))


def read_arrays(
    path: Path, kinds: Mapping[str, str], owner: str, check: Callable[[Shapes], None]
) -> dict[str, NDArray[Any]]:
    """Reads what :func:`write_arrays` wrote.

    Args:
        path: of the file.
        kinds: type of each array, by its name, as safetensors calls it.
        owner: what they are the arrays of, for messages.
        check: raises ValueError for shapes that cannot be.

    Raises:
        ValueError: the file holds other arrays, or such of other types or shapes.
        safetensors.SafetensorError: it is no file of safetensors, or damaged.
        OSError: it cannot be read.
    """
    with safe_open(path, framework="np") as file:
        if set(file.keys()) != set(kinds):
            raise ValueError(f"other arrays than {owner}'s")
        # Before anything is read: a file may claim any size.
        heads = {name: file.get_slice(name) for name in kinds}
        if any(head.get_dtype() != kinds[name] for name, head in heads.items()):
            raise ValueError("an array of another type")
        check({name: tuple(head.get_shape()) for name, head in heads.items()})
        return {name: file.get_tensor(name) for name in kinds}


@contextmanager
def prepared(
    path: Path,
    what: str,
    faults: tuple[type[Exception], ...] = (SafetensorError, ValueError, OSError),
    told: Callable[[Exception], str] = str,
) -> Iterator[None]:
    """Turns what goes wrong while a file of a scenario is read into :class:`InputError`.

    Args:
        path: of the file.
        what: it should be, such as ``detector``.
        faults: what reading a damaged one may raise.
        told: says what went wrong.

    Raises:
        InputError: the file is missing, or is no such file.
    """
    mend = "Prepare the scenario again"
    try:
        yield
    except FileNotFoundError as error:
        raise InputError("no such file", where=str(path), mend=mend) from error
    except faults as error:
        raise InputError(
            f"not a readable {what} ({told(error)})",
            where=str(path),
            expected="a file written by kirl prepare",
            mend=mend,
        ) from error
