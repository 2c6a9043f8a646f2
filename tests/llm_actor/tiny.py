"""A random model of Phi-3's architecture and a tokenizer, both made on the spot."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Phi3Config, Phi3ForCausalLM, PreTrainedTokenizerFast

CORPUS = [
    "Filter Network Traffic", "Network Intrusion Prevention", "Network Segmentation", "Audit",
    "Password Policies", "No Action", "Audit the audit: reward 4.9 (85 %), -5.0 untried",
    "Predicted type: DoS, confidence 0.92\n", "Answer with the name of one action",
]  # fmt: skip

CHAT = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def tokenizer(vocabulary: int = 400, special: bool = True) -> PreTrainedTokenizerFast:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    marks = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"] if special else []
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=marks,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(CORPUS * 3, trainer)
    names: dict[str, Any] = {"pad_token": "<|pad|>", "eos_token": "<|end|>"} if special else {}
    return PreTrainedTokenizerFast(tokenizer_object=made, chat_template=CHAT, **names)


def model(vocabulary: int = 400, seed: int = 0, attention: str = "sdpa") -> Phi3ForCausalLM:
    torch.manual_seed(seed)
    config = Phi3Config(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        # Large weights: with the usual small ones every token would be about as likely.
        initializer_range=0.3,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
        attn_implementation=attention,
    )
    made: Phi3ForCausalLM = Phi3ForCausalLM(config).eval()
    return made
