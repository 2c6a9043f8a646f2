"""An advisor that asks a causal language model of transformers."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from envs.catalogue import Mitigation
from llm_actor.advisor import GraphReader, with_floor
from llm_actor.budget import Budget, out_of_memory
from llm_actor.labels import labelled, labels
from llm_actor.model_files import ModelSource, load
from llm_actor.prompts import Prompts
from llm_actor.scoring import Scorer
from llm_actor.text import DEFAULT_TEMPLATE, Message, Template, messages, printable_names
from llm_actor.tokens import Tokens

ANSWER_TOKENS = 32
"""A generated answer is cut after so many tokens; the longest name in the paper takes 9."""

BUDGETS = {"cuda": 16_384, "cpu": 1_024}
"""Most tokens of a batch by device; on a CPU, what it computes on should stay in its cache."""

Outcome = Literal["label", "exact", "case", "attack_id", "closest", "record"]


class TransformersAdvisor:
    """Weighs actions by how likely a language model finds them as the answer.

    Args:
        source: the model.
        mode: ``score`` weighs every candidate in one forward pass and gives the model's own
            distribution; ``generate`` lets the model write an answer, as in the paper, finds
            the action that is meant, and gives it all but the floor.
        template: the prompt template's file.
        token_budget: most tokens of a batch, padding included; by default :data:`BUDGETS`. It
            is halved where the memory does not suffice.

    Attributes:
        outcomes: how generated answers were understood, counted by :data:`Outcome`.
        tokens_read: of all prompts so far, chat format included.

    Raises:
        InputError: the model cannot be loaded, or it has no chat template.
    """

    def __init__(
        self,
        source: ModelSource,
        mode: Literal["score", "generate"] = "score",
        template: Path = DEFAULT_TEMPLATE,
        token_budget: int | None = None,
    ) -> None:
        self._source, self._mode = source, mode
        usual = BUDGETS.get(source.where().type, BUDGETS["cuda"])
        self._budget = Budget(token_budget or usual, f"language model {source.model}")
        self._template = Template.read(template)
        self._tokenizer, self._model = load(source)
        if not self._tokenizer.chat_template:
            raise source.problem("has no chat template", mend="Use a model made for chats")
        self._end = self._end_of_answer()
        # Labels need no ending: none is the beginning of another.
        self._tokens = Tokens(self._tokenizer)
        self._scorer = Scorer(self._model, self._budget)
        self.outcomes: Counter[Outcome] = Counter()
        self.tokens_read = 0

    @property
    def device(self) -> str:
        """What the model computes on: the GPU's own name, or PyTorch's name of the device."""
        where: torch.device = self._model.device
        return torch.cuda.get_device_name(where) if where.type == "cuda" else str(where)

    @property
    def token_budget(self) -> int:
        """Most tokens of a batch now: as given, or fewer since the memory did not suffice."""
        return self._budget.tokens

    @property
    def name(self) -> str:
        """The model's name without its folder or owner."""
        return Path(self._source.model).name

    def log_probabilities(self, prompts: Prompts) -> NDArray[np.float32]:
        """See :class:`llm_actor.advisor.Advisor`.

        Raises:
            InputError: a name that no prompt can hold, or the memory does not suffice.
        """
        if not len(prompts):
            return np.zeros(prompts.candidates.shape, np.float32)
        try:
            scores = self._scored(prompts) if self._mode == "score" else self._generated(prompts)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            mend = "Use a smaller model or dtype, or free some memory"
            raise self._source.problem(
                "ran out of memory", "with one prompt in a batch", mend
            ) from error
        return with_floor(scores, prompts.candidates)

    def texts(self, prompts: Prompts) -> list[str]:
        """What the model reads, up to where its answer begins."""
        chats = messages(prompts, self._template)
        return [self._chat(chat, begin=True) + self._template.assistant for chat in chats]

    def _scored(self, prompts: Prompts) -> NDArray[np.float64]:
        options = [np.flatnonzero(row) for row in prompts.candidates]
        questions = self._tokens.questions(
            self.texts(prompts), [labels(len(option)) for option in options]
        )
        self.tokens_read += sum(len(question.prompt) for question in questions)
        scores = np.full(prompts.candidates.shape, -np.inf)
        for row, (option, found) in enumerate(
            zip(options, self._scorer.score(questions), strict=True)
        ):
            scores[row, option] = found
        if not np.isfinite(scores[prompts.candidates]).all():
            raise self._source.problem("gives no numbers", mend="Use another dtype, or float32")
        return scores

    def _generated(self, prompts: Prompts) -> NDArray[np.float64]:
        answers = self._written(self.texts(prompts))
        promised = GraphReader().promised(prompts)
        scores = np.full(prompts.candidates.shape, -np.inf)
        for row, answer in enumerate(answers):
            options = np.flatnonzero(prompts.candidates[row])
            actions = [prompts.catalogue.actions[a] for a in options]
            place, outcome = understood(answer, actions)
            if place is None:
                place = int(promised[row, options].argmax())
            self.outcomes[outcome] += 1
            scores[row, options[place]] = 0
        return scores

    @torch.inference_mode()
    def _written(self, texts: Sequence[str]) -> list[str]:
        ids = self._tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        self.tokens_read += sum(map(len, ids))
        ending = self._tokenizer.convert_tokens_to_ids(self._end)
        answers = [""] * len(texts)

        def write(rows: list[int]) -> None:
            width = max(len(ids[row]) for row in rows)
            read = torch.full((len(rows), width), ending)
            for line, row in enumerate(rows):
                read[line, width - len(ids[row]) :] = torch.tensor(ids[row])
            kept = torch.arange(width) >= width - torch.tensor([[len(ids[row])] for row in rows])
            written = self._model.generate(
                input_ids=read.to(self._model.device),
                attention_mask=kept.long().to(self._model.device),
                max_new_tokens=ANSWER_TOKENS,
                do_sample=False,
                eos_token_id=ending,
                pad_token_id=ending,
            )
            for row, line in zip(rows, written[:, width:], strict=True):
                answers[row] = self._tokenizer.decode(line, skip_special_tokens=True)

        self._budget.spend([len(i) + ANSWER_TOKENS for i in ids], write)
        return answers

    def _chat(self, chat: list[Message], begin: bool) -> str:
        from jinja2 import TemplateError

        whole: list[Any] = list(chat)
        for attempt in (whole, merged(chat)):
            try:
                text: str = self._tokenizer.apply_chat_template(
                    attempt, tokenize=False, add_generation_prompt=begin
                )
            except TemplateError as error:
                # Some chat formats refuse a system part.
                problem = error
            else:
                return text
        raise self._source.problem("its chat template fails", str(problem)) from problem

    def _end_of_answer(self) -> str:
        """The special token that the chat format puts behind an answer."""
        mark = "ANSWER"
        question: Message = {"role": "user", "content": "Which action?"}
        text = self._chat([question, {"role": "assistant", "content": mark}], begin=False)
        rest = text.rpartition(mark)[2]
        special = [
            token.content
            for token in self._tokenizer.added_tokens_decoder.values()
            if token.special
        ]
        found = [(rest.index(token), token) for token in special if token in rest]
        end = min(found)[1] if found else self._tokenizer.eos_token
        if not end:
            raise self._source.problem("has no token that ends an answer")
        return str(end)


def merged(chat: Sequence[Message]) -> list[Message]:
    """The same chat with the system part in front of the user's first words."""
    instructions = "\n\n".join(part["content"] for part in chat if part["role"] == "system")
    rest = [part for part in chat if part["role"] != "system"]
    if not rest or not instructions:
        return rest
    first: Message = {"role": "user", "content": f"{instructions}\n\n{rest[0]['content']}"}
    return [first, *rest[1:]]


def understood(answer: str, actions: Sequence[Mitigation]) -> tuple[int | None, Outcome]:
    """Which of the actions an answer means, and how that was found out.

    In this order: the name itself; the label of its line; the name but for case and punctuation
    around it; an ATT&CK id; the closest name. ``None`` and ``record`` when nothing comes close:
    then the records must decide.

    Args:
        answer: what the model wrote.
        actions: those that its prompt listed, in that order.
    """
    names = printable_names(action.name for action in actions)
    if answer.strip() in names:
        return names.index(answer.strip()), "exact"
    place = labelled(answer, len(actions))
    if place is not None:
        return place, "label"
    plain = [_plain(name) for name in names]
    if _plain(answer) in plain:
        return plain.index(_plain(answer)), "case"
    ids = [action.attack_id for action in actions]
    mentioned = [i for i in re.findall(r"\b[MT]\d{4}\b", answer.upper()) if i in ids]
    if mentioned:
        return ids.index(mentioned[0]), "attack_id"
    # A chatty answer names the action in its first line, if anywhere.
    line = _plain(answer.strip().split("\n")[0])
    close = difflib.get_close_matches(line, plain, n=1, cutoff=0.6)
    if close:
        return plain.index(close[0]), "closest"
    return None, "record"


def _plain(text: str) -> str:
    return re.sub(r"^\W+|\W+$", "", text).casefold()
