"""Decides whether an advisor's actors run on GPUs or on CPU, by what the cluster has free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from envs.errors import InputError
from llm_actor.selection import AdvisorSpec

SHARE = 0.001
"""The share of a custom resource that each actor asks for."""

_RAYS_OWN = frozenset({"CPU", "GPU", "memory", "object_store_memory"})


@dataclass(frozen=True)
class Need:
    """What an advisor's actors ask of a cluster.

    Attributes:
        gpus: GPUs of each actor. ``auto`` is one where the advisor holds a model and as many
            are free as there are actors, else none. A number is waited for where GPUs are busy,
            and refused where the cluster has not as many.
        resource: name of a custom resource of Ray's; the actors run on nodes that have it.
            ``accelerator_type:H100`` is Ray's own name for nodes with such a GPU.
        replicas: actors, each with the whole model.

    Raises:
        InputError: a number out of range.
    """

    gpus: Literal["auto"] | float = "auto"
    resource: str | None = None
    replicas: int = 1

    def __post_init__(self) -> None:
        if self.replicas < 1 or (self.gpus != "auto" and not self.gpus >= 0):
            raise no_gpu(f"{self.replicas} replicas with {self.gpus} GPUs each were asked for")

    @property
    def requires_gpu(self) -> bool:
        """Whether a GPU was asked for by number."""
        return self.gpus not in ("auto", 0)


@dataclass(frozen=True)
class Placement:
    """Where an actor runs.

    Attributes:
        gpus: GPUs that Ray reserves for the actor; a fraction shares one. 0 runs on CPU.
        reason: why there, as a clause for people.
        resource: custom resource of the nodes; ``None`` is any node.
    """

    gpus: float
    reason: str
    resource: str | None = None

    @property
    def resources(self) -> dict[str, float]:
        """Custom resources, as Ray takes them: next to nothing, for it says only where."""
        return {self.resource: SHARE} if self.resource else {}


def placed(
    spec: AdvisorSpec, need: Need, total: Mapping[str, float], free: Mapping[str, float]
) -> Placement:
    """Decides where actors run, all of them in the same way.

    Free GPUs are counted whatever their machine: Ray tells no more of them.

    Args:
        spec: which advisor.
        need: what was asked for.
        total: the cluster's resources, as Ray names them.
        free: those that nobody uses.

    Raises:
        InputError: fewer GPUs in the cluster than were asked for, fewer free ones than actors,
            or no node with the resource.
    """
    if need.resource and not total.get(need.resource):
        raise _no_node(need.resource, total)
    cpu = _why_cpu(spec, need)
    if need.gpus != "auto" and need.requires_gpu:
        if cpu or total.get("GPU", 0) < need.gpus * need.replicas:
            raise no_gpu(
                f"{need.gpus * need.replicas:g} GPUs were asked for, but "
                + (cpu or f"the cluster has {total.get('GPU', 0):g}")
            )
        return Placement(float(need.gpus), "as many were asked for", need.resource)
    # No more than are needed, since an autoscaler may know no limit.
    fitting = 0 if cpu else int(min(need.replicas, free.get("GPU", 0)))
    if fitting >= need.replicas:
        return Placement(1.0, "as many are free", need.resource)
    if fitting:
        raise no_gpu(f"the free GPUs suffice for {fitting} of {need.replicas} replicas")
    if cpu is None:
        cpu = "no node has a free GPU" if total.get("GPU") else "the cluster has no GPU"
    return Placement(0, cpu, need.resource)


def _why_cpu(spec: AdvisorSpec, need: Need) -> str | None:
    if not spec.holds_model:
        return f"{spec.name} needs none"
    if spec.device == "cpu":
        return "its device is cpu"
    return "0 GPUs were asked for" if need.gpus == 0 else None


def _no_node(resource: str, total: Mapping[str, float]) -> InputError:
    known = sorted(name for name in total if name not in _RAYS_OWN and not name.startswith("node:"))
    return InputError(
        f"no node of the cluster has the resource {resource!r}",
        where="advisor",
        expected=f"one of {', '.join(known)}" if known else "a node started with it",
        mend=f"""Start one: ray start --resources='{{"{resource}": 1}}', or leave the name out""",
    )


def no_gpu(what: str) -> InputError:
    """The one message about GPUs that cannot be had."""
    return InputError(
        what,
        where="advisor",
        expected="at least one replica, and as many free GPUs as replicas",
        mend="Run on CPU (gpus=0), use fewer replicas, or wait until others are done",
    )
