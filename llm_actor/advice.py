"""The advice table: for each signature an action, its historic reward and a distribution.

Only signatures whose prompt changed are asked again, and equal prompts are asked once. A
desk either waits for the answers, one table per graph version, or goes on with what it
knows while they are being worked out, up to a stated age.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from envs import Catalogue, Suggestion
from kg_actor import Records
from llm_actor.advisor import Advisor, Answers, ask
from llm_actor.circuit import CircuitState
from llm_actor.prompts import Prompts, compose, recorded_rewards

CACHE_SIZE = 65_536
"""Answers kept; the least recently used go first."""


@dataclass(frozen=True)
class AdviceTable:
    """Advice on every signature at one graph version.

    Attributes:
        suggestion: A_LLM and R_LLM (eq. 4). R_LLM is the mean reward on record for the
            predicted type and A_LLM, 0 where there is none.
        log_probabilities: float32 [signatures, actions], the advisor's, from which
            ``rayapp.rl.reference`` makes the reference policy pi_LLM (eq. 5).
        version: of the graph that the table was made for.
        asked: prompts that were answered since the table before.
        stale: signatures whose advice rests on older records than the graph's.
        age: versions between the oldest records that any advice here rests on and the graph.
        distinct: different prompts among the signatures'.
        fallbacks: of those asked, prompts that a fallback answered in the advisor's place.
    """

    suggestion: Suggestion
    log_probabilities: NDArray[np.float32]
    version: int
    asked: int
    stale: int = 0
    age: int = 0
    distinct: int = 0
    fallbacks: int = 0


@dataclass(frozen=True)
class _Question:
    """Prompts that the advisor is answering.

    Attributes:
        answers: what :func:`llm_actor.advisor.ask` gives, once it is there.
        asked: keys of those prompts.
        keys: of every signature's prompt, as it was then.
        version: of the graph then.
    """

    answers: Future[Answers]
    asked: list[bytes]
    keys: list[bytes]
    version: int


class AdviceDesk:
    """Turns a graph's records into advice tables and remembers answers.

    Args:
        advisor: answers; without ``wait``, in a thread. Answers of its fallback are used once
            and not kept.
        catalogue: classes and actions.
        wait: whether a table waits for all answers. If not, it holds the latest advice there
            is; only the first one waits.
        max_age: without ``wait``, how many versions old the records may be that advice rests
            on; a table that would be older waits.
        cache_size: answers kept, the least recently used go first; room for all answers in use
            is made whatever it says.
    """

    def __init__(
        self,
        advisor: Advisor,
        catalogue: Catalogue,
        *,
        wait: bool = True,
        max_age: int = 16,
        cache_size: int = CACHE_SIZE,
    ) -> None:
        self.advisor = advisor
        self._catalogue = catalogue
        self._wait, self._max_age = wait, max_age
        self._answers: LRUCache[bytes, NDArray[np.float32]] = LRUCache(cache_size)
        self._passing: dict[bytes, NDArray[np.float32]] = {}
        self._pending: _Question | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._table = np.zeros((0, len(catalogue.actions)), np.float32)
        self._versions = np.zeros(0, np.int64)
        self._held: list[NDArray[np.float32] | None] = []
        self._asked = self._fallbacks = 0

    @property
    def circuit(self) -> CircuitState | None:
        """Whether an endpoint is asked (``closed``) or left alone; ``None`` for other advisors."""
        state: CircuitState | None = getattr(self.advisor, "circuit", None)
        return state

    def advise(self, records: Records, weights: NDArray[np.float64] | None = None) -> AdviceTable:
        """The advice table for these records.

        Args:
            records: of all contexts.
            weights: float64 [classes], what a flow of each true class counts; by default all
                count alike.
        """
        prompts = compose(records, self._catalogue, weights)
        keys = prompts.keys()
        self._make_room(len(keys))
        self._asked = self._fallbacks = 0
        self._passing = {}
        begins = not len(self._table) or records.version < self._versions.max()
        if begins:
            # Also when the graph went back to a checkpoint: advice on what came later is void.
            self._table = np.zeros(prompts.candidates.shape, np.float32)
            self._versions = np.full(len(keys), -1, np.int64)
            self._held = [None] * len(keys)
            self._pending = None
        self._collect(wait=False)
        self._ask(prompts, keys, records.version)
        if self._wait or begins or self._oldest(keys, records.version) > self._max_age:
            self._collect(wait=True)
            self._ask(prompts, keys, records.version)
            self._collect(wait=self._wait or self._oldest(keys, records.version) > self._max_age)
        self._fill(keys, records.version)
        return self._told(records, len(set(keys)))

    def close(self) -> None:
        """Ends the thread that asks, once it has its answer."""
        if self._thread:
            self._thread.shutdown()
            self._thread = None

    def _make_room(self, signatures: int) -> None:
        """Lets the cache hold so many answers that none in use is ever dropped.

        An answer in use is looked up at every version. Meanwhile others are touched: of the last
        version, of an older one whose question was still on its way, and of this one.
        """
        needed = 3 * signatures
        if self._answers.maxsize < needed:
            bigger: LRUCache[bytes, NDArray[np.float32]] = LRUCache(needed)
            bigger.update(self._answers)
            self._answers = bigger

    def _ask(self, prompts: Prompts, keys: list[bytes], version: int) -> None:
        """Asks for what is not known, unless a question is on its way already."""
        if self._pending:
            return
        first: dict[bytes, int] = {}
        for row, key in enumerate(keys):
            if key not in self._answers and key not in self._passing:
                first.setdefault(key, row)
        if first:
            answers = self._submitted(prompts.take(list(first.values())))
            self._pending = _Question(answers, list(first), keys, version)

    def _submitted(self, prompts: Prompts) -> Future[Answers]:
        if self._wait:
            # No thread where there is nothing to do meanwhile.
            done: Future[Answers] = Future()
            done.set_result(ask(self.advisor, prompts))
            return done
        self._thread = self._thread or ThreadPoolExecutor(1, "advice")
        return self._thread.submit(ask, self.advisor, prompts)

    def _collect(self, *, wait: bool) -> None:
        """Takes in the answers that are there, or waits for them."""
        question = self._pending
        if question is None or not (wait or question.answers.done()):
            return
        self._pending = None
        for key, answer, own in zip(question.asked, *question.answers.result(), strict=True):
            (self._answers if own else self._passing)[key] = answer.copy()
            self._fallbacks += not own
        self._asked += len(question.asked)
        self._fill(question.keys, question.version)

    def _fill(self, keys: Sequence[bytes], version: int) -> None:
        """Takes over every answer to these prompts."""
        for row, (key, since) in enumerate(zip(keys, self._versions.tolist(), strict=True)):
            answer = self._answers.get(key, self._passing.get(key))
            if answer is not None and since <= version:
                # Most rows hold their answer already.
                if answer is not self._held[row]:
                    self._table[row] = self._held[row] = answer
                if since < version:
                    self._versions[row] = version

    def _oldest(self, keys: Sequence[bytes], version: int) -> int:
        self._fill(keys, version)
        return int(version - self._versions.min())

    def _told(self, records: Records, distinct: int) -> AdviceTable:
        action = self._table.argmax(axis=1).astype(np.int16)
        # The exact record rather than the rounded one that the prompt tells (eq. 4).
        reward = recorded_rewards(records, action)
        age = records.version - self._versions
        return AdviceTable(
            Suggestion(action, reward.astype(np.float32)),
            self._table.copy(),
            records.version,
            self._asked,
            int(np.count_nonzero(age)),
            int(age.max()),
            distinct,
            self._fallbacks,
        )
