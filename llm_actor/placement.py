"""GPU or CPU: where an advisor's replicas run, given what a cluster has and what is free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from envs.errors import InputError
from llm_actor.selection import AdvisorSpec

SHARE = 0.001
"""Of a custom resource, per replica."""


_RAYS_OWN = frozenset({"CPU", "GPU", "memory", "object_store_memory"})


@dataclass(frozen=True)
class Need:
    """What is asked of a cluster.

    Attributes:
        gpus: per replica. ``auto`` is one where the advisor holds a model and as many are
            free, else none; a number is waited for, as Ray does.
        accelerator: Ray's name of the GPU's type, such as ``H100``; ``None`` is any.
        require_gpu: refuse at once rather than wait or run on CPU.
        resource: name of a custom resource of Ray's; replicas run on nodes that have it.
        replicas: processes of their own, each with the whole model.

    Raises:
        InputError: a number out of range.
    """

    gpus: Literal["auto"] | float = "auto"
    accelerator: str | None = None
    require_gpu: bool = False
    resource: str | None = None
    replicas: int = 1

    def __post_init__(self) -> None:
        if self.replicas < 1 or (self.gpus != "auto" and not self.gpus >= 0):
            raise no_gpu(f"{self.replicas} replicas with {self.gpus} GPUs each were asked for")


@dataclass(frozen=True)
class Place:
    """Where a replica runs.

    Attributes:
        gpus: that Ray keeps for it, a fraction is shared with others; 0 runs on CPU.
        accelerator: Ray's name of the GPU's type; ``None`` is any.
        reason: why it is so, one clause.
        resource: of the nodes; ``None`` is any node.
    """

    gpus: float
    accelerator: str | None
    reason: str
    resource: str | None = None

    @property
    def resources(self) -> dict[str, float]:
        """Custom resources, as Ray takes them: next to nothing, for it says only where."""
        return {self.resource: SHARE} if self.resource else {}


def placed(
    spec: AdvisorSpec, need: Need, total: Mapping[str, float], free: Mapping[str, float]
) -> Place:
    """Decides where replicas run, all of them in the same way.

    Free GPUs are counted whatever their type and machine: Ray tells no more of them.

    Args:
        spec: which advisor.
        need: what was asked for.
        total: the cluster's resources, as Ray names them.
        free: those that nobody uses.

    Raises:
        InputError: no GPU although one is required, fewer free ones than replicas, or no node
            with the resource.
    """
    if need.resource and not total.get(need.resource):
        raise _no_node(need.resource, total)
    cpu = _why_cpu(spec, need)
    if cpu is None:
        each = 1.0 if need.gpus == "auto" else float(need.gpus)
        # No more than are needed, since an autoscaler may know no limit.
        most = min(float(need.replicas), free.get("GPU", 0) / each)
        fitting = 0 if _unknown(need, total) else int(most)
        waits = need.gpus != "auto" and not need.require_gpu
        if fitting >= need.replicas or waits:
            why = "as many were asked for" if waits else "as many are free"
            return Place(each, need.accelerator, why, need.resource)
        if fitting:
            raise no_gpu(f"the free GPUs suffice for {fitting} of {need.replicas} replicas")
        cpu = _unknown(need, total) or "no node has a free GPU"
    if need.require_gpu:
        raise no_gpu(f"a GPU is required, but {cpu}")
    return Place(0, None, cpu, need.resource)


def _why_cpu(spec: AdvisorSpec, need: Need) -> str | None:
    if not spec.holds_model:
        return f"{spec.name} needs none"
    if spec.device == "cpu":
        return "its device is cpu"
    return "0 GPUs were asked for" if need.gpus == 0 else None


def _unknown(need: Need, total: Mapping[str, float]) -> str | None:
    if not total.get("GPU"):
        return "the cluster has no GPU"
    if need.accelerator and f"accelerator_type:{need.accelerator}" not in total:
        return f"the cluster has no {need.accelerator}"
    return None


def _no_node(resource: str, total: Mapping[str, float]) -> InputError:
    known = sorted(name for name in total if name not in _RAYS_OWN and ":" not in name)
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
