"""Batches what many callers ask of one advisor, asks equal prompts once, and caches answers.

Pure asyncio. A batcher belongs to one event loop; the advisor works in a single thread beside
it, so that the loop stays free and no advisor has to be safe for threads.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from llm_actor.advisor import Advisor, ask, tokens_read
from llm_actor.meter import Load, Meter, Watcher
from llm_actor.prompts import Prompts

Answer = NDArray[np.float32]
"""Log-probabilities of all actions for one prompt, float32 [actions]."""


@dataclass(frozen=True)
class Limits:
    """Limits of a batcher: when a batch begins, and how many answers are kept.

    Attributes:
        max_prompts: most prompts of a batch; it begins at once when so many are waiting.
        max_wait_seconds: longest wait of a prompt for others to join its batch; a batch that is
            still being answered may keep it waiting for longer. Training asks all its prompts
            at once, so a long wait would bring nothing.
        cache_size: answers kept; the least recently used go first. One takes 4 bytes per action.

    Raises:
        ValueError: a limit that nothing fits into.
    """

    max_prompts: int = 256
    max_wait_seconds: float = 0.005
    cache_size: int = 65_536

    def __post_init__(self) -> None:
        if min(self.max_prompts, self.cache_size) < 1 or not self.max_wait_seconds >= 0:
            raise ValueError(f"limits must be positive: {self}")


@dataclass(frozen=True, eq=False)
class _Question:
    """One prompt on its way to the advisor; all who asked it wait for the same future.

    ``kind`` is equal for prompts that fit into one :class:`Prompts`.
    """

    key: bytes
    kind: bytes
    prompts: Prompts
    row: int
    since: float
    answer: asyncio.Future[Answer]


class Batcher:
    """Joins what concurrent callers ask into batches for one advisor.

    Args:
        advisor: answers; it is called from one thread, one call at a time.
        limits: limits of batches and cache.
        watcher: hears of every request and batch, as the meter behind :meth:`load` does.
    """

    def __init__(
        self, advisor: Advisor, limits: Limits | None = None, watcher: Watcher | None = None
    ) -> None:
        self.advisor = advisor
        self._limits = limits or Limits()
        self._meter = Meter()
        self._watchers: list[Watcher] = [self._meter, *([watcher] if watcher else [])]
        self._cache: LRUCache[bytes, Answer] = LRUCache(self._limits.cache_size)
        self._open: dict[bytes, _Question] = {}
        self._waiting: deque[_Question] = deque()
        self._full = asyncio.Event()
        self._work: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "advisor")

    def load(self) -> Load:
        """Figures since the start, and of recent requests."""
        return self._meter.load()

    async def ask(self, prompts: Prompts) -> NDArray[np.float32]:
        """Natural log-probabilities of all actions, float32 [prompts, actions].

        Raises:
            ValueError: arrays whose shapes do not fit together, a prompt without a candidate,
                or an advisor whose answer is no answer.
            Exception: what else the advisor raised over a batch that held one of the prompts.
        """
        begun = time.perf_counter()
        check(prompts)
        if not len(prompts):
            return np.zeros(prompts.candidates.shape, np.float32)
        keys = prompt_keys(prompts)
        try:
            known, awaited = self._look_up(prompts, keys)
            if awaited:
                # Waiting, unlike gathering, cancels nothing when this caller is cancelled.
                await asyncio.wait(awaited.values(), return_when=asyncio.FIRST_EXCEPTION)
                for future in awaited.values():
                    if future.done():
                        future.result()
                known.update((key, future.result()) for key, future in awaited.items())
        except Exception:
            self._went(begun, failed=True)
            raise
        self._went(begun, failed=False)
        return np.stack([known[key] for key in keys])

    def _look_up(
        self, prompts: Prompts, keys: Sequence[bytes]
    ) -> tuple[dict[bytes, Answer], dict[bytes, asyncio.Future[Answer]]]:
        """Answers at hand, and those to come; what nobody asked yet begins to wait."""
        known: dict[bytes, Answer] = {}
        awaited: dict[bytes, asyncio.Future[Answer]] = {}
        new: list[tuple[int, bytes]] = []
        cached = 0
        for row, key in enumerate(keys):
            if key in self._cache:
                cached += 1
                known[key] = self._cache[key]
            elif key in self._open:
                awaited[key] = self._open[key].answer
            elif key not in awaited:
                awaited[key] = asyncio.get_running_loop().create_future()
                new.append((row, key))
        self._enqueue(prompts, [(row, key, awaited[key]) for row, key in new])
        for watcher in self._watchers:
            watcher.came(len(keys), cached, len(keys) - cached - len(new))
        return known, awaited

    def _enqueue(
        self, prompts: Prompts, new: Sequence[tuple[int, bytes, asyncio.Future[Answer]]]
    ) -> None:
        if not new:
            return
        kind, since = _kind(prompts), time.perf_counter()
        for row, key, future in new:
            # Looked at even when all who waited are gone, or asyncio would complain of it.
            future.add_done_callback(asyncio.Future.exception)
            self._open[key] = _Question(key, kind, prompts, row, since, future)
            self._waiting.append(self._open[key])
        if self._enough():
            self._full.set()
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._answer_all())

    async def _answer_all(self) -> None:
        while self._waiting:
            await self._until_due()
            for alike in _alike(self._next_batch()):
                await self._answer(alike)

    def _enough(self) -> bool:
        """Whether a batch is full."""
        return len(self._waiting) >= self._limits.max_prompts

    def _next_batch(self) -> list[_Question]:
        """The longest waiting, as many as a batch holds."""
        count = min(len(self._waiting), self._limits.max_prompts)
        return [self._waiting.popleft() for _ in range(count)]

    async def _until_due(self) -> None:
        due = self._waiting[0].since + self._limits.max_wait_seconds
        remaining = due - time.perf_counter()
        if self._enough() or remaining <= 0:
            return
        self._full.clear()
        try:
            await asyncio.wait_for(self._full.wait(), remaining)
        except TimeoutError:
            return

    async def _answer(self, questions: Sequence[_Question]) -> None:
        begun = time.perf_counter()
        for watcher in self._watchers:
            watcher.began([begun - question.since for question in questions])
        loop = asyncio.get_running_loop()
        failed, fallbacks, read = False, 0, tokens_read(self.advisor)
        try:
            answers, own = await loop.run_in_executor(self._thread, _asked, self.advisor, questions)
        except Exception as error:
            failed = True
            for question in questions:
                del self._open[question.key]
                question.answer.set_exception(error)
        else:
            fallbacks = len(own) - int(np.count_nonzero(own))
            for question, answer, keep in zip(questions, answers, own, strict=True):
                del self._open[question.key]
                # A fallback's answer is for now; the next who asks may get the advisor's own.
                if keep:
                    self._cache[question.key] = answer.copy()
                question.answer.set_result(answer)
        seconds, tokens = time.perf_counter() - begun, tokens_read(self.advisor) - read
        for watcher in self._watchers:
            watcher.ended(len(questions), seconds, failed, fallbacks, tokens)

    def _went(self, begun: float, failed: bool) -> None:
        for watcher in self._watchers:
            watcher.went(time.perf_counter() - begun, failed)


def prompt_keys(prompts: Prompts) -> list[bytes]:
    """One key per prompt, 16 bytes each; equal keys are equal questions of equal catalogues."""
    catalogue = _digest(prompts).digest()
    return [blake2b(key, digest_size=16, key=catalogue).digest() for key in prompts.keys()]  # noqa: SIM118 (a method of ours)


def joined(parts: Iterable[Prompts]) -> Prompts:
    """All prompts of several batches with equal rewards and catalogues, in order."""
    whole = list(parts)
    columns = ("predicted", "confidence", "shares", "candidates")
    predicted, confidence, shares, candidates = (
        np.concatenate([getattr(part, column) for part in whole]) for column in columns
    )
    first = whole[0]
    return Prompts(predicted, confidence, shares, first.rewards, candidates, first.catalogue)


def _kind(prompts: Prompts) -> bytes:
    digest = _digest(prompts)
    digest.update(prompts.rewards.tobytes())
    return digest.digest()


def _digest(prompts: Prompts) -> blake2b:
    return blake2b(json.dumps(prompts.catalogue.to_json()).encode(), digest_size=32)


def _alike(questions: Sequence[_Question]) -> Iterator[list[_Question]]:
    """Questions by kind, each kind in the order in which they came."""
    kinds: dict[bytes, list[_Question]] = {}
    for question in questions:
        kinds.setdefault(question.kind, []).append(question)
    yield from kinds.values()


def _asked(
    advisor: Advisor, questions: Sequence[_Question]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Answers, and which are the advisor's own; runs in the advisor's thread."""
    runs = (list(run) for _, run in groupby(questions, key=lambda question: id(question.prompts)))
    prompts = joined(run[0].prompts.take([question.row for question in run]) for run in runs)
    try:
        answers, own = ask(advisor, prompts)
    except StopIteration as error:
        # A future cannot hold this one: whoever waits for it would wait forever.
        raise RuntimeError(f"advisor {advisor.name} stopped") from error
    return answers, own


def check(prompts: Prompts) -> None:
    """Refuses what would spoil a batch for others.

    Raises:
        ValueError: arrays that do not fit together, or a prompt without a candidate.
    """
    count = len(prompts)
    classes, actions = len(prompts.catalogue.classes), len(prompts.catalogue.actions)
    fitting = (
        prompts.confidence.shape == (count,)
        and prompts.shares.shape == (count, classes)
        and prompts.rewards.shape == (classes, actions)
        and prompts.candidates.shape == (count, actions)
    )
    if not fitting:
        raise ValueError("the arrays of these prompts do not fit together")
    if not prompts.candidates.any(axis=1).all():
        raise ValueError("a prompt has no candidate")
    if not ((prompts.predicted >= 0) & (prompts.predicted < classes)).all():
        raise ValueError("a prompt predicts an unknown class")
