"""The embedded model's tokenizer: every rounded number, label and fixed phrase is one token.

Names of types and actions are split into byte pairs, so any catalogue can be told. Numbers are
whole because a small model reads 4.9 far better from one token than from three.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from llm_actor.labels import labels
from llm_actor.text import PLACEHOLDERS, Template
from rayapp.lab.small_model.knowledge import attack
from rayapp.lab.small_model.names import WORDS, made_up

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, USER, ASSISTANT, END = "<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"

UNTRIED = 101
"""Place of 'untried' among the reward tokens; 0 to 100 are -5.0 to 5.0 by tenths."""

NONE_SEEN = "none seen"
"""What stands for the shares of a signature that has met no flow."""

ONE_TOKEN = 26 + 26**2
"""Labels up to [ZZ]: so many are one token each."""

PIECES = 1_200
"""Byte pairs in the vocabulary, single bytes included."""

# The system part never changes, so the model has learnt it instead of reading it each time.
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message.role != 'system' %}"
    "<|{{ message.role }}|>{{ message.content }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def phrases() -> list[str]:
    """The default template's user part between its placeholders: four fixed texts."""
    rest, found = Template.read().user, []
    for place in PLACEHOLDERS:
        before, rest = rest.split(place)
        found.append(before)
    # The label before it takes the line end in, see :func:`build`.
    return [*found, rest.lstrip("\n")]


def rewards(before: str) -> list[str]:
    """Reward tokens: -5.0 to 5.0, then 'untried'; ``before`` is what separates them."""
    return [f"{before}{tenths / 10:.1f}" for tenths in range(-50, 51)] + [f"{before}untried"]


def build() -> PreTrainedTokenizerFast:
    """Trains the tokenizer; always the same one."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=PIECES,
        special_tokens=[PAD, USER, ASSISTANT, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    cased = [form for word in WORDS for form in (word, word[:1].upper() + word[1:])]
    corpus = [
        *attack().actions * 20,
        *attack().types * 2,
        *cased * 3,
        *(f"x {word}" for word in cased * 6),
    ]
    made.train_from_iterator([*corpus, *made_up(2_000, seed=1)], trainer)
    texts = [*phrases(), *rewards(": "), *rewards(", "), ", ", NONE_SEEN]
    for form in (", confidence {0:.2f}", "{1} % ", " ({1} %)"):
        texts += [form.format(percent / 100, percent) for percent in range(101)]
    made.add_tokens([AddedToken(text, normalized=False) for text in texts])
    # A label is the same token at a line's end, with the space before and the line end behind it,
    # and as the answer, with neither.
    made.add_tokens(
        [AddedToken(text, normalized=False, lstrip=True, rstrip=True) for text in labels(ONE_TOKEN)]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=made,
        chat_template=CHAT_TEMPLATE,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[USER, ASSISTANT],
        clean_up_tokenization_spaces=False,
    )


@dataclass(frozen=True)
class Vocabulary:
    """Token ids by meaning, for building prompts without going through text."""

    tokenizer: PreTrainedTokenizerFast

    def __len__(self) -> int:
        return len(self.tokenizer)

    def _ids(self, texts: list[str]) -> list[int]:
        ids = self.tokenizer.convert_tokens_to_ids(texts)
        return [ids] if isinstance(ids, int) else ids

    @cached_property
    def phrases(self) -> list[int]:
        """The four of :func:`phrases`."""
        return self._ids(phrases())

    @cached_property
    def first_rewards(self) -> list[int]:
        """A line's first reward, -5.0 to 5.0, then 'untried' (:data:`UNTRIED`)."""
        return self._ids(rewards(": "))

    @cached_property
    def further_rewards(self) -> list[int]:
        """A line's further rewards, in the order of :attr:`first_rewards`."""
        return self._ids(rewards(", "))

    @cached_property
    def shares(self) -> list[int]:
        """Shares behind rewards, 0 to 100 percent."""
        return self._ids([f" ({percent} %)" for percent in range(101)])

    @cached_property
    def type_shares(self) -> list[int]:
        """Shares before names of types, 0 to 100 percent."""
        return self._ids([f"{percent} % " for percent in range(101)])

    @cached_property
    def confidences(self) -> list[int]:
        """Confidences behind the predicted type, 0.00 to 1.00."""
        return self._ids([f", confidence {percent / 100:.2f}" for percent in range(101)])

    @cached_property
    def labels(self) -> list[int]:
        """Labels of lines, in their order."""
        return self._ids(labels(ONE_TOKEN))

    def one(self, text: str) -> int:
        """The token that is this text."""
        return self._ids([text])[0]

    def pieces(self, text: str) -> list[int]:
        """Any text, split."""
        return self.split([text])[0]

    def split(self, texts: Sequence[str]) -> list[list[int]]:
        """Many texts, each split; much faster than one by one."""
        if not texts:
            return []
        ids: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return ids
