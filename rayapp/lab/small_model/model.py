"""The embedded model: Phi-3's architecture, made small."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rayapp.lab.small_model.vocabulary import END, PAD, Vocabulary

if TYPE_CHECKING:
    from transformers import Phi3ForCausalLM


@dataclass(frozen=True)
class Size:
    """How large a model is."""

    hidden: int = 192
    intermediate: int = 512
    layers: int = 5
    heads: int = 6


def new(vocabulary: Vocabulary, seed: int, size: Size) -> Phi3ForCausalLM:
    """An untrained model, float32, in which numbers begin as points on a line."""
    from transformers import Phi3Config, Phi3ForCausalLM

    torch.manual_seed(seed)
    config = Phi3Config(
        vocab_size=len(vocabulary),
        hidden_size=size.hidden,
        intermediate_size=size.intermediate,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        max_position_embeddings=4096,
        original_max_position_embeddings=4096,
        # The usual 0.02 suits models ten times as wide; from there this one starts late.
        initializer_range=size.hidden**-0.5,
        tie_word_embeddings=True,
        pad_token_id=vocabulary.one(PAD),
        bos_token_id=None,
        eos_token_id=vocabulary.one(END),
    )
    model: Phi3ForCausalLM = Phi3ForCausalLM(config)
    _order_numbers(model.model.embed_tokens.weight, vocabulary, config.initializer_range)
    return model


@torch.no_grad()
def _order_numbers(embedding: Tensor, vocabulary: Vocabulary, spread: float) -> None:
    # Neighbouring numbers are alike from the start; learning that from scratch takes long.
    values = torch.linspace(0, 1, 101)[:, None]
    waves = torch.arange(1, 8) * torch.pi * values
    # Attention that weighs rewards by their shares needs the shares' logarithms.
    features = torch.cat(
        [4 * values - 2, (values + 0.005).log() / 2, waves.sin(), waves.cos()], dim=1
    )
    one, other = (torch.randn(features.shape[1], embedding.shape[1]) for _ in range(2))
    one[1] = 0
    for ids, directions in (
        (vocabulary.first_rewards[:101], one),
        (vocabulary.further_rewards[:101], one),
        (vocabulary.shares, other),
        (vocabulary.type_shares, other),
        (vocabulary.confidences, other),
    ):
        embedding[ids] = embedding[ids] / 2 + spread * features @ directions / 3


def save(model: Phi3ForCausalLM, vocabulary: Vocabulary, folder: Path) -> None:
    """Writes weights (safetensors, float16), configuration and tokenizer."""
    model.to(torch.float16).save_pretrained(folder)  # type: ignore[arg-type]
    vocabulary.tokenizer.save_pretrained(folder)
