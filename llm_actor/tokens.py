"""From text to token ids, so that prompt and answer are split just as they would be together.

A tokenizer may split an answer differently after a prompt than alone, and the prompt's own end
differently before an answer. So text and answer are always tokenised as one string, and what
all of a prompt's strings begin with is its prompt; the rest are its candidates. Log-likelihoods
lose nothing by that: the shared tokens weigh the same for every candidate.

Doing that for each prompt and answer would be slow. Special tokens are hard borders to a
tokenizer: what comes before one does not change how the text behind it is split. So the text is
cut before its last special token, behind which (the chat's 'now you speak') stands the same
text in every prompt. The answers are tokenised once with that ending. Whether the cut holds is
tested for every new set of answers; where it doesn't, whole strings are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_actor.scoring import Question, TokenIds, common_prefix


class Tokens:
    """Turns a chat's text and its possible answers into questions.

    Args:
        tokenizer: a tokenizer of transformers.
        end: text of the token that ends an answer, such as ``<|end|>``. Answers of which none is
            the beginning of another do without.
    """

    def __init__(self, tokenizer: Any, end: str = "") -> None:  # noqa: ANN401
        self._tokenizer = tokenizer
        self._end = end
        added = tokenizer.added_tokens_decoder.values()
        self._special = [token.content for token in added if token.special]
        self._endings: dict[tuple[str, str], list[int] | None] = {}

    def questions(self, texts: Sequence[str], answers: Sequence[Sequence[str]]) -> list[Question]:
        """One question for each text, in order.

        Args:
            texts: whole prompts, chat format included, up to where the answer begins.
            answers: for each text its possible answers.
        """
        cuts = [self._cut(text) for text in texts]
        heads = self._ids([text[:cut] for text, cut in zip(texts, cuts, strict=True)])
        rows = zip(texts, cuts, heads, answers, strict=True)
        return [self._question(text, cut, head, options) for text, cut, head, options in rows]

    def _question(self, text: str, cut: int, head: list[int], answers: Sequence[str]) -> Question:
        tail = text[cut:]
        joint: list[TokenIds] = []
        for answer in answers:
            ending = self._ending(text, tail, head, answer)
            if ending is None:
                return _split(self._ids([text + a + self._end for a in answers]))
            joint.append(ending)
        question = _split(joint)
        return Question([*head, *question.prompt], question.candidates)

    def _ending(self, text: str, tail: str, head: list[int], answer: str) -> list[int] | None:
        key = (tail, answer)
        if key not in self._endings:
            ending, whole = self._ids([tail + answer + self._end, text + answer + self._end])
            self._endings[key] = ending if tail and head + ending == whole else None
        return self._endings[key]

    def _cut(self, text: str) -> int:
        # Without any special token there is no border, and no tail to share.
        found = max((text.rfind(token) for token in self._special), default=-1)
        return found if found >= 0 else len(text)

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = self._tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return ids


def _split(joint: Sequence[TokenIds]) -> Question:
    # A candidate keeps at least its last token, also where it is the only one.
    length = min(len(common_prefix(joint)), min(map(len, joint)) - 1)
    return Question(joint[0][:length], [ids[length:] for ids in joint])
