"""An advisor that asks an OpenAI-compatible server: vLLM, Ollama, llama.cpp, transformers serve.

Servers fail in many ways; a training must not. Every prompt gets an answer: the model's, or
that of a fallback, and callers learn which.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from envs.errors import InputError
from llm_actor.advisor import Advisor, GraphReader, with_floor
from llm_actor.circuit import Circuit, CircuitState
from llm_actor.endpoint import REFUSED, Endpoint, EndpointError
from llm_actor.endpoint_reply import Reply, label_scores
from llm_actor.prompts import Prompts
from llm_actor.text import DEFAULT_TEMPLATE, Message, Template, messages
from llm_actor.transformers_advisor import ANSWER_TOKENS, Outcome, merged, understood

if TYPE_CHECKING:
    from openai import AsyncOpenAI

Answered = Literal["logprobs", "text", "fallback"]


@dataclass(frozen=True)
class _Form:
    """A way to put the question that a server may or may not accept."""

    alternatives: int
    system: bool

    def request(self, chat: list[Message]) -> dict[str, Any]:
        body: dict[str, Any] = {
            "messages": chat if self.system else merged(chat),
            "temperature": 0,
            "max_tokens": ANSWER_TOKENS,
        }
        if self.alternatives:
            body |= {"logprobs": True, "top_logprobs": self.alternatives}
        return body


# From what tells most to what every server accepts. 20 alternatives are the most that the
# protocol knows; a server may be set to give fewer. Some chat formats refuse a system part.
_FORMS = [_Form(count, system) for system in (True, False) for count in (20, 5, 0)]


class EndpointAdvisor:
    """Weighs actions by what a language model behind HTTP answers.

    Where the server tells log-probabilities and the answer begins with a label, they are the
    distribution, renormalised over the candidates. Else the answer's text decides, as in
    :class:`llm_actor.transformers_advisor.TransformersAdvisor`'s mode ``generate``.

    Calls from several threads take turns.

    Args:
        endpoint: the server.
        concurrency: requests at a time, at least 1.
        template: the prompt template's file; its assistant part must be empty.
        circuit: when to leave the server alone; one failure is a prompt given up.
        fallback: who answers when the model does not; ``None`` is the graph reader.

    Attributes:
        answered: prompts by who answered: the model with ``logprobs`` or by ``text``, or the
            ``fallback``.
        outcomes: how answers by text were understood.
        problems: why requests were given up, by :attr:`llm_actor.endpoint.EndpointError.what`;
            ``circuit`` where none was made.
        retried: requests made again.
        tokens_read: of prompts, as far as the server tells.

    Raises:
        InputError: a template that cannot be used.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        concurrency: int = 8,
        template: Path = DEFAULT_TEMPLATE,
        circuit: Circuit | None = None,
        fallback: Advisor | None = None,
    ) -> None:
        self._endpoint, self._concurrency = endpoint, concurrency
        self._template = _for_chats(template)
        self._circuit = circuit or Circuit()
        self._fallback = fallback or GraphReader()
        # None until the server has answered once: until then, settings may be wrong.
        self._form: _Form | None = None
        self._turn = threading.Lock()
        self.answered: Counter[Answered] = Counter()
        self.outcomes: Counter[Outcome] = Counter()
        self.problems: Counter[str] = Counter()
        self.retried = self.tokens_read = 0

    @property
    def name(self) -> str:
        """The model's name without its folder or owner."""
        return Path(self._endpoint.model).name

    @property
    def circuit(self) -> CircuitState:
        """Whether the server is asked (``closed``), left alone, or just tried again."""
        return self._circuit.state

    @property
    def openings(self) -> int:
        """How often the circuit has opened."""
        return self._circuit.openings

    def log_probabilities(self, prompts: Prompts) -> NDArray[np.float32]:
        """See :class:`llm_actor.advisor.Advisor`, and :meth:`answers`."""
        return self.answers(prompts)[0]

    def answers(self, prompts: Prompts) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Every prompt's answer, and who gave it.

        Returns:
            Normalised log-probabilities, float32 [prompts, actions], and bool [prompts]: whether
            the model answered. What it did not answer is worth asking again, not keeping.

        Raises:
            InputError: a name that no prompt can hold; or, before the server has ever answered, it
                cannot be reached, redirects, or answers with a status that waiting won't mend.
        """
        chats = messages(prompts, self._template)
        with self._turn:
            replies = _complete(self._replies(chats))
            return self._weighed(prompts, replies)

    def _weighed(
        self, prompts: Prompts, replies: Sequence[Reply | None]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        heard = np.zeros(len(prompts), np.bool_)
        scores = np.full(prompts.candidates.shape, -np.inf)
        for row, reply in enumerate(replies):
            if reply is not None:
                options = np.flatnonzero(prompts.candidates[row])
                scores[row, options] = self._scores(prompts.take([row]), options, reply)
                heard[row] = True
                self.tokens_read += reply.prompt_tokens
        answers = np.zeros(prompts.candidates.shape, np.float32)
        answers[heard] = with_floor(scores[heard], prompts.candidates[heard])
        if not heard.all():
            answers[~heard] = self._fallback.log_probabilities(prompts.take(np.flatnonzero(~heard)))
            self.answered["fallback"] += int(np.count_nonzero(~heard))
        return answers, heard

    def _scores(
        self, prompt: Prompts, options: NDArray[np.intp], reply: Reply
    ) -> NDArray[np.float64]:
        scores = label_scores(reply.tokens, len(options))
        if scores is not None:
            self.answered["logprobs"] += 1
            return scores
        place, outcome = understood(reply.text, [prompt.catalogue.actions[a] for a in options])
        if place is None:
            place = int(GraphReader().promised(prompt)[0, options].argmax())
        self.answered["text"] += 1
        self.outcomes[outcome] += 1
        return np.where(np.arange(len(options)) == place, 0.0, -np.inf)

    async def _replies(self, chats: Sequence[list[Message]]) -> list[Reply | None]:
        slots = asyncio.Semaphore(self._concurrency)

        async def one(chat: list[Message]) -> Reply | None:
            async with slots:
                return await self._reply(client, chat)

        async with self._endpoint.client(self._before_retry) as client:
            # The first finds out how to ask, and whether the settings are right.
            alone = 1 if self._form is None else 0
            first = [await one(chat) for chat in chats[:alone]]
            return first + await asyncio.gather(*map(one, chats[alone:]))

    async def _reply(self, client: AsyncOpenAI, chat: list[Message]) -> Reply | None:
        if not self._circuit.admits():
            self.problems["circuit"] += 1
            return None
        try:
            reply = await self._formed(client, chat)
        except EndpointError as problem:
            self._given_up(problem)
            return None
        except BaseException:
            self._circuit.abandoned()
            raise
        self._circuit.succeeded()
        return reply

    def _given_up(self, problem: EndpointError) -> None:
        self.problems[problem.what] += 1
        if self._form is None and problem.mistaken:
            # It must be said every time; a circuit that opened would hide it.
            self._circuit.abandoned()
            raise self._endpoint.mistake(problem) from problem
        if problem.status in REFUSED:
            self._circuit.succeeded()
        else:
            self._circuit.failed()

    def _before_retry(self) -> None:
        """Ends the retries of all questions once the circuit has opened."""
        if self._circuit.state == "open":
            raise EndpointError("circuit")
        self.retried += 1

    async def _formed(self, client: AsyncOpenAI, chat: list[Message]) -> Reply:
        forms = [self._form] if self._form else _FORMS
        for form in forms:
            try:
                reply = await self._endpoint.complete(client, form.request(chat))
            except EndpointError as problem:
                if problem.status not in REFUSED or form is forms[-1]:
                    raise
            else:
                self._form = form
                return reply
        raise AssertionError("there is always a form")


def _complete(work: Coroutine[Any, Any, list[Reply | None]]) -> list[Reply | None]:
    """Runs it to its end, also where the caller's thread has an event loop of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def _for_chats(path: Path) -> Template:
    template = Template.read(path)
    if template.assistant:
        raise InputError(
            "the assistant part is not empty",
            where=f"prompt template {path}",
            expected="an empty one: a server's chat begins its answers itself",
            mend="Say in the user part how to answer",
        )
    return template
