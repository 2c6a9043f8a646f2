"""Loads a language model from safetensors, without code of its own, or says why it cannot."""

from __future__ import annotations

import errno
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from envs.errors import InputError
from llm_actor.budget import out_of_memory

if TYPE_CHECKING:
    from llm_actor.registry import DType

ATTENTION = "sdpa"
"""The attention implementation. Flash attention takes no 4-D masks, which scoring needs."""

MOST_HEADER = 100 * 2**20
"""Bytes of a header of safetensors, which its own library refuses beyond."""

MEMORY, GROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
"""Where Linux tells what memory is free, and what a control group (version 2) may take."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")


@dataclass(frozen=True)
class ModelSource:
    """Which model, and how it is loaded.

    Attributes:
        model: a hub id, or a folder in the form of ``save_pretrained``.
        revision: branch, tag or commit of a hub model; a commit pins it.
        device: ``auto`` (a GPU where there is one), or PyTorch's name of one.
        dtype: number format of the weights; ``auto`` is bfloat16 on a GPU and float32 elsewhere.
    """

    model: str
    revision: str | None = None
    device: str = "auto"
    dtype: DType = "auto"

    def where(self) -> torch.device:
        """The device.

        Raises:
            InputError: there is no such device here.
        """
        gpu = torch.cuda.is_available()
        try:
            device = torch.device(
                ("cuda" if gpu else "cpu") if self.device == "auto" else self.device
            )
        except RuntimeError as error:
            raise self.problem("names no device", f"device is {self.device!r}") from error
        if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
            raise self.problem("this machine has no such GPU", f"device is {self.device!r}")
        return device

    def numbers(self) -> torch.dtype:
        """The type of the weights."""
        if self.dtype == "auto":
            return torch.bfloat16 if self.where().type == "cuda" else torch.float32
        found: torch.dtype = getattr(torch, self.dtype)
        return found

    def problem(self, what: str, detail: str | None = None, mend: str | None = None) -> InputError:
        """The one message about this model."""
        return InputError(
            f"{what} ({detail})" if detail else what,
            where=f"language model {self.model}",
            mend=mend or "Check the model's settings, or use the embedded model",
        )


def load(source: ModelSource) -> tuple[Any, Any]:
    """The tokenizer and the model, ready to answer.

    Raises:
        InputError: no such model, no network, no memory, no disk, damaged or unsafe files, or
            a model that needs code of its own.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device, dtype = source.where(), source.numbers()
    if not _is_folder(source.model) and not _HUB_ID.fullmatch(source.model):
        raise source.problem("is neither a folder nor a hub id")
    common: dict[str, Any] = {
        "revision": source.revision or "main",
        "trust_remote_code": False,
        # A folder is all there is to it; HF_HUB_OFFLINE=1 keeps everything else from the hub.
        "local_files_only": _is_folder(source.model),
    }
    _check_memory(source, device, dtype)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.model, **common)
        model = AutoModelForCausalLM.from_pretrained(
            source.model,
            dtype=dtype,
            attn_implementation=ATTENTION,
            use_safetensors=True,
            **common,
        )
        model.to(device).eval()  # type: ignore[arg-type]
    except InputError:
        raise
    # Hub, JSON, safetensors, CUDA: each raises its own; the user gets one kind of message.
    except Exception as error:
        raise _explained(source, error) from error
    return tokenizer, model


def _explained(source: ModelSource, error: Exception) -> InputError:
    first = str(error).strip().split("\n")[0][:300] or type(error).__name__
    if out_of_memory(error):
        return source.problem("does not fit into memory", first, "Use a smaller model or dtype")
    if _no_space(error):
        return source.problem("no space left on the disk", first, "Free some space")
    if "trust_remote_code" in str(error):
        return source.problem("needs code of its own, which is never run")
    if isinstance(error, OSError) and not _is_folder(source.model):
        mend = "Check the id and the network, or give the folder of a downloaded model"
        return source.problem("cannot be had", first, mend)
    return source.problem("cannot be loaded", first)


def _no_space(error: BaseException) -> bool:
    """Whether the disk is full; those who download put errors of their own around it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _check_memory(source: ModelSource, device: torch.device, dtype: torch.dtype) -> None:
    """Refuses a model on the disk whose weights alone are more than the memory that is free.

    Without it the system may kill the process, which cannot say anything then. A model that is
    yet to be downloaded is not looked at.

    Raises:
        InputError: too little memory, here or on the GPU.
    """
    needed = weights_size(Path(source.model), dtype) if _is_folder(source.model) else 0
    places = {"this machine": free_memory()}
    if device.type == "cuda":
        places["the GPU"] = torch.cuda.mem_get_info(device)[0]
    for where, free in places.items():
        if free is not None and needed > free:
            detail = f"{needed / 2**30:.1f} GiB of weights, {free / 2**30:.1f} GiB free on {where}"
            raise source.problem("does not fit into memory", detail, "Use a smaller model or dtype")


def weights_size(folder: Path, dtype: torch.dtype) -> int:
    """Bytes that the weights of a folder's safetensors take in memory as a type of numbers."""
    sizes = [_numbers_in(file) for file in folder.glob("*.safetensors")]
    return sum(sizes) * dtype.itemsize


def _numbers_in(file: Path) -> int:
    """How many numbers a file of safetensors holds, by its header; 0 for a damaged one."""
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if length > MOST_HEADER:
                return 0
            header = json.loads(opened.read(length))
        return sum(
            math.prod(tensor["shape"]) for name, tensor in header.items() if name[:2] != "__"
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        # Loading says what is wrong with it.
        return 0


def free_memory() -> int | None:
    """Bytes that a process may still take: the machine's, within its control group's limit.

    ``None`` where the system does not tell (macOS).
    """
    try:
        lines = dict(line.split(":") for line in MEMORY.read_text(encoding="ascii").splitlines())
        free = 1024 * int(lines["MemAvailable"].split()[0])
    except (OSError, ValueError, KeyError):
        return None
    try:
        limit, used = (int((GROUP / f"memory.{each}").read_text()) for each in ("max", "current"))
        statistics = dict(line.split() for line in (GROUP / "memory.stat").read_text().splitlines())
        # Files that are kept in memory make way.
        free = min(free, limit - used + int(statistics["inactive_file"]))
    except (OSError, ValueError, KeyError):
        # No limit, or another system of limits.
        return free
    return free


def _is_folder(name: str) -> bool:
    try:
        return bool(name) and Path(name).is_dir()
    except OSError:
        return False
