"""Loading: what cannot be loaded is one message that says why."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest
import torch

from envs import InputError
from llm_actor import model_files
from llm_actor.embedded import EMBEDDED
from llm_actor.model_files import ModelSource, _explained, free_memory, load, weights_size

sys.path.insert(0, str(Path(__file__).parent))
import tiny


def wrapped(cause: Exception) -> Exception:
    """As those who download do it."""
    try:
        raise RuntimeError("Data processing error") from cause
    except RuntimeError as error:
        return error


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), "does not fit into memory (CUDA out"),
        (MemoryError(), "does not fit into memory (MemoryError). Use a smaller model or dtype"),
        (RuntimeError("can't allocate memory: you tried"), "does not fit into memory"),
        (FULL, "no space left on the disk ([Errno 28] No space left on device). Free some space"),
        (wrapped(FULL), "no space left on the disk"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "no space left on the disk"),
        (ValueError("set trust_remote_code=True"), "needs code of its own, which is never run"),
        (OSError("offline"), "cannot be had (offline). Check the id and the network"),
        (KeyError("phi9"), "cannot be loaded ('phi9')"),
        (ValueError("first\nsecond"), "cannot be loaded (first)"),
        (ValueError(""), "cannot be loaded (ValueError)"),
    ],
)
def test_whatever_goes_wrong_is_one_message(error: Exception, message: str) -> None:
    told = str(_explained(ModelSource("org/phi"), error))

    assert told.startswith("language model org/phi: ")
    assert message in told
    assert "\n" not in told


def test_a_model_larger_than_the_free_memory_is_refused_before_it_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(model_files, "free_memory", lambda: 10_000_000)
    source = ModelSource(str(EMBEDDED), device="cpu", dtype="float32")

    with pytest.raises(InputError, match=r"does not fit into memory \(0\.0 GiB of weights, 0\.0 G"):
        load(source)

    # Half as many bytes per number.
    load(ModelSource(str(EMBEDDED), device="cpu", dtype="bfloat16"))


def test_weights_are_counted_in_the_type_that_they_are_loaded_in(tmp_path: Path) -> None:
    model = tiny.model()
    model.save_pretrained(tmp_path, max_shard_size="50KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1

    numbers = sum(weights.numel() for weights in model.parameters())

    assert weights_size(tmp_path, torch.float32) == 4 * numbers
    assert weights_size(tmp_path, torch.bfloat16) == 2 * numbers


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 20, b"\x02" + b"\0" * 7 + b"[]"],
    ids=["empty", "too long a header", "no header"],
)
def test_damaged_weights_are_left_to_loading(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)

    assert weights_size(tmp_path, torch.float32) == 0
    with pytest.raises(InputError, match="cannot be loaded"):
        load(ModelSource(str(tmp_path), device="cpu"))


def test_a_control_groups_limit_counts_and_its_cached_files_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_files, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(model_files, "GROUP", tmp_path)
    assert free_memory() is None
    (tmp_path / "meminfo").write_text("MemTotal:  9 kB\nMemAvailable:   1000 kB\n")
    assert free_memory() == 1_024_000

    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("600000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 100000\n")
    assert free_memory() == 1_024_000
    (tmp_path / "memory.max").write_text("800000\n")
    assert free_memory() == 300_000
