"""Chooses the replica that answers a prompt: always the same one, so that its cache helps.

Rendezvous hashing (Thaler and Ravishankar, 1998): when a replica goes, only its own prompts
move, and they spread over all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from hashlib import blake2b


def routed(keys: Sequence[bytes], replicas: Sequence[int]) -> list[int]:
    """The replica that answers each prompt: of all, the one whose hash with its key is highest.

    Args:
        keys: of the prompts, as :func:`llm_actor.batching.prompt_keys` makes them.
        replicas: numbers of those that live, at least one.
    """

    def weight(key: bytes, replica: int) -> bytes:
        return blake2b(key, digest_size=8, salt=replica.to_bytes(8, "big")).digest()

    return [max(replicas, key=partial(weight, key)) for key in keys]
