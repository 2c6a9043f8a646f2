"""The Ray job that a command runs in, if it runs in one, and what it leaves there.

A job's metadata is fixed when it is submitted; Ray has no public way to add to it later. So the
final figures go into the metadata of a second, tiny job that is submitted through the same public
interface, is called after the first, and has them for its log as well.
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
"""What the name of the job that holds a job's figures ends with."""

# Ray's own name, and no part of its documentation: what its job manager hands to a job's command.
# Nothing public tells a process which submitted job it is, before it connects.
_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"


@dataclass(frozen=True)
class Job:
    """A submitted job.

    Attributes:
        name: its submission id.
        upload: the job's own copy of what came with ``--working-dir``, where the command was
            started; Ray removes it after the job. ``None`` if nothing was uploaded.
    """

    name: str
    upload: Path | None


def current() -> Job | None:
    """The job that this process was started by; ``None`` outside of any."""
    given = os.environ.get(_CONFIG)
    if given is None:
        return None
    told: dict[str, Any] = json.loads(given)
    uploaded = (told.get("runtime_env") or {}).get("working_dir")
    name = told.get("metadata", {}).get("job_submission_id", "")
    return Job(name, Path.cwd() if uploaded else None)


def check_kept(out: Path) -> None:
    """Refuses to write where Ray cleans up after the job.

    Raises:
        InputError: the place is in the job's copy of the working directory.
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
    """Leaves a job's final figures on the cluster, as metadata and log of a job of their own.

    Args:
        job: whose figures they are.
        dashboard: the cluster's, as ``HOST:PORT``.
        figures: JSON-able, by name.

    Returns:
        The submission id of the job that holds them.

    Raises:
        RuntimeError: the dashboard does not take them.
    """
    from ray.job_submission import JobSubmissionClient

    client = JobSubmissionClient(f"http://{dashboard}")
    taken = {each.submission_id for each in client.list_jobs()}
    # A command that trains several runs leaves several results.
    names = (f"{job.name}{RESULT}{number or ''}" for number in range(len(taken) + 1))
    told = {"job": job.name, **figures}
    name: str = client.submit_job(
        entrypoint=shlex.join(["printf", r"%s\n", json.dumps(told)]),
        submission_id=next(name for name in names if name not in taken),
        metadata={f"kirl.{key}": _text(value) for key, value in told.items()},
    )
    return name


def _text(value: object) -> str:
    """As Ray's metadata have it: text."""
    return value if isinstance(value, str) else json.dumps(value)
