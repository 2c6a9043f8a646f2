"""Loading a language model: native classes, safetensors, and one message when it fails."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from envs.errors import InputError

PHI = "microsoft/Phi-3.5-mini-instruct"
"""The paper's model, by its hub id."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")


@dataclass(frozen=True)
class ModelSource:
    """Which model, and how it is held.

    Attributes:
        model: a hub id, or a folder in the form of ``save_pretrained``.
        revision: branch, tag or commit of a hub model; a commit pins it.
        device: ``auto`` (a GPU where there is one), or PyTorch's name of one.
        dtype: of the weights; ``auto`` is bfloat16 on a GPU and float32 elsewhere.
        attention: the attention implementation. Flash attention takes no 4-D masks, which
            scoring needs.
        offline: use what is on the disk and never ask the hub.
    """

    model: str = PHI
    revision: str | None = None
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    attention: Literal["sdpa", "eager"] = "sdpa"
    offline: bool = False

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
        "local_files_only": source.offline,
    }
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.model, **common)
        model = AutoModelForCausalLM.from_pretrained(
            source.model,
            dtype=dtype,
            attn_implementation=source.attention,
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
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(error):
        return source.problem("does not fit into memory", first, "Use a smaller model or dtype")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return source.problem("no space left on the disk", first, "Free some space")
    if "trust_remote_code" in str(error):
        return source.problem("needs code of its own, which is never run")
    if isinstance(error, OSError) and not _is_folder(source.model):
        mend = "Check the id and the network, or give the folder of a downloaded model"
        return source.problem("cannot be had", first, mend)
    return source.problem("cannot be loaded", first)


def _is_folder(name: str) -> bool:
    try:
        return bool(name) and Path(name).is_dir()
    except OSError:
        return False
