"""The Ray job that a command runs in, if any, and the final figures that it publishes.

A job's metadata is fixed when the job is submitted; Ray has no public way to add to it later. So
the final figures go into the metadata and the log of a second, tiny job, which is named after the
first.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs import InputError

RESULT = "-result"
"""Ending of the name of the job that holds another job's figures."""

# Ray's own name, and no part of its documentation: what its job manager hands to a job's command.
# Nothing public tells a process which submitted job it is, before it connects.
_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"


@dataclass(frozen=True)
class Job:
    """A submitted job.

    Attributes:
        name: its submission id.
        upload: the job's own copy of ``--working-dir``, in which the command was started; Ray
            removes it after the job. ``None`` if nothing was uploaded.
    """

    name: str
    upload: Path | None


def current() -> Job | None:
    """The job that started this process; ``None`` if none did."""
    given = os.environ.get(_CONFIG)
    if given is None:
        return None
    config: dict[str, Any] = json.loads(given)
    uploaded = (config.get("runtime_env") or {}).get("working_dir")
    name = config.get("metadata", {}).get("job_submission_id", "")
    return Job(name, Path.cwd() if uploaded else None)


def check_kept(out: Path) -> None:
    """Refuses an output folder that Ray would remove after the job.

    Raises:
        InputError: the folder is in the job's copy of the working directory.
    """
    job = current()
    if job and job.upload and out.resolve().is_relative_to(job.upload.resolve()):
        raise InputError(
            "Ray removes the working directory of a job after it",
            where=str(out),
            expected="a path outside of it that stays, such as /data/run",
            mend="Give an absolute --out",
        )


def publish(job: Job, dashboard: str, figures: Mapping[str, Any]) -> str:
    """Publishes a job's final figures as the metadata and the log of a job of their own.

    Args:
        job: the job that the figures belong to.
        dashboard: address of the cluster's dashboard, ``HOST:PORT``.
        figures: JSON-able values by name.

    Returns:
        The submission id of the job that holds the figures.

    Raises:
        RuntimeError: the dashboard does not accept the job.
    """
    from ray.job_submission import JobSubmissionClient

    client = JobSubmissionClient(f"http://{dashboard}")
    taken = {each.submission_id for each in client.list_jobs()}
    # A command that trains several runs leaves several results.
    names = (f"{job.name}{RESULT}{number or ''}" for number in range(len(taken) + 1))
    metadata = {"job": job.name, **figures}
    name: str = client.submit_job(
        entrypoint=shlex.join(["printf", r"%s\n", json.dumps(metadata)]),
        submission_id=next(name for name in names if name not in taken),
        metadata={f"kirl.{key}": _text(value) for key, value in metadata.items()},
    )
    return name


def _text(value: object) -> str:
    """A value as text, the only kind that Ray's metadata hold."""
    return value if isinstance(value, str) else json.dumps(value)
