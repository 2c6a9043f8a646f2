"""How settings come in: a YAML file, assignments and options are merged, or refused by name."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from envs import InputError
from envs.files import open_regular


def merged(
    file: Path | None, assignments: Sequence[str], options: Mapping[str, object]
) -> dict[str, Any]:
    """Nested settings as they were given; later sources win.

    Args:
        file: YAML of nested settings.
        assignments: such as ``learning.epochs=4``; values are read as YAML.
        options: top-level settings; those that are ``None`` were not given.

    Raises:
        InputError: a file or assignment that cannot be read, or both ``flows`` and ``passes``.
    """
    data = _read(file) if file else {}
    for assignment in assignments:
        _assign(data, assignment)
    given = {key: value for key, value in options.items() if value is not None}
    if "flows" in given:
        data.pop("passes", None)
    if "passes" in given:
        data.pop("flows", None)
    data.update(given)
    if data.get("flows") is not None and data.get("passes") is not None:
        raise InputError(
            "both flows and passes are set", expected="one of them", mend="Leave one out"
        )
    return data


def _read(file: Path) -> dict[str, Any]:
    try:
        with open_regular(file) as raw:
            data = yaml.safe_load(raw.read().decode("utf-8"))
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError("no such file", where=str(file), mend="Check --config") from error
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(
            f"not readable as YAML ({' '.join(str(error).split())[:200]})",
            where=str(file),
            expected="a YAML file of settings",
        ) from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise InputError(
            f"holds a {type(data).__name__}", where=str(file), expected="settings, key: value"
        )
    return data


def _assign(data: dict[str, Any], assignment: str) -> None:
    key, equals, text = assignment.partition("=")
    if not equals or not key:
        raise InputError(
            f"--set {assignment!r} is not key=value",
            expected="key=value",
            mend="For example --set learning.epochs=4",
        )
    *groups, last = key.strip().split(".")
    inner = data
    for group in groups:
        inner = inner.setdefault(group, {})
        if not isinstance(inner, dict):
            raise InputError(f"--set {assignment!r}: {group} is not a group of settings")
    try:
        inner[last] = yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(
            f"--set {assignment!r}: the value is not readable", expected="a YAML value"
        ) from error


def refusal(
    error: ValidationError, where: str, algo: str, models: Mapping[str, type[BaseModel]]
) -> InputError:
    """The first of a model's complaints in one sentence: setting, value, what was expected.

    Args:
        error: pydantic's.
        where: file or other origin of the settings.
        algo: the chosen algorithm's name.
        models: model of every group by its name, with ``""`` for the settings outside of groups;
            ``online.drift`` names a group within a group.
    """
    problems: list[Any] = [*error.errors()]
    problem = problems[0]
    group, names = _place(problem["loc"], models)
    name = ".".join(filter(None, (group, *names)))
    mend = f"kirl settings --algo {algo} shows what it has"
    cause = problem.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        return InputError(cause.what, where=where, expected=cause.expected, mend=cause.mend)
    if problem["type"] == "value_error":
        message = problem["msg"].removeprefix("Value error, ")
        return InputError(f"{name}: {message}" if name else message, where=where, mend=mend)
    if problem["type"] == "extra_forbidden":
        known = ", ".join(models[group].model_fields)
        what = f"{algo} has no setting {name}"
        return InputError(what, where=where, expected=f"one of {known}", mend=mend)
    # A union of types has a complaint for each.
    same = [one["msg"] for one in problems if _place(one["loc"], models) == (group, names)]
    expected = " or ".join(one.removeprefix("Input should be ") for one in same)
    if expected.startswith(("greater", "less")):
        expected = f"a value {expected}"
    return InputError(
        f"{name} is {reprlib.repr(problem['input'])}", where=where, expected=expected, mend=mend
    )


def _place(
    location: Sequence[str | int], models: Mapping[str, type[BaseModel]]
) -> tuple[str, tuple[str, ...]]:
    """The group that an error is in, and the names below it."""
    group, rest = "", [str(part) for part in location]
    while rest and (inner := f"{group}.{rest[0]}".lstrip(".")) in models:
        group, rest = inner, rest[1:]
    # Behind the setting stand an element's number, or the names of a union's members.
    return group, (*rest[:1], *(part for part in rest[1:] if part.isdigit()))
