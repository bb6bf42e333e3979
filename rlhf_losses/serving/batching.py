"""`BatchingQueue`: texts of all connections wait here and are computed together."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeAlias

from rlhf_losses.data.tokenization import Encoded
from rlhf_losses.errors import RlhfLossesError
from rlhf_losses.serving.score_cache import ScoreCache, text_key

logger = logging.getLogger(__name__)

CANDIDATES = 512
"""Number of waiting texts from which a forward pass is chosen."""


WAIT_SHARE = 0.05
"""Share of the duration of a forward pass that is waited for further texts after it."""

WAIT_STEP = 0.001
"""Seconds after which the number of waiting texts is looked at again."""


class ServerBusyError(RlhfLossesError):
    """The server cannot answer in time."""


class RequestTooLargeError(RlhfLossesError):
    """A request has more texts than the server accepts."""


class ScoringFailedError(RlhfLossesError):
    """The computation of a score has failed; the log of the server has the reason."""


@dataclass(frozen=True)
class TextToScore:
    """A tokenized text, and whether its score as a whole is asked for or those of its steps."""

    text: Encoded
    whole: bool = True


Outcome: TypeAlias = tuple[float, ...] | RlhfLossesError
"""The scores of a text, or the reason why it has none."""

Compute: TypeAlias = Callable[[Sequence[TextToScore]], list[Outcome]]
"""Computes one forward pass, in another thread."""

Choose: TypeAlias = Callable[[Sequence[Encoded]], list[list[int]]]
"""Divides waiting texts into forward passes."""


class QueueObserver(Protocol):
    """Counts what a queue does."""

    def found(self, source: str, count: int) -> None:
        """Count texts that were `cached`, `joined` to an equal one or `queued`."""

    def computed(self, texts: int, tokens: int, seconds: float) -> None:
        """Count a forward pass."""

    def waiting(self, count: int) -> None:
        """Record how many texts wait."""


@dataclass(eq=False)
class _Work:
    """A text that waits or is computed, and the number of requests that wait for it."""

    key: bytes
    item: TextToScore
    done: asyncio.Future[Outcome]
    waiters: int = 0
    started: bool = False


class BatchingQueue:
    """Texts of all requests, computed in forward passes over several requests.

    Equal texts are computed once. A forward pass is the one with the text that has waited longest, so no text waits
    for ever. A text that no request waits for any more is not computed.

    Args:
        compute: computes the texts of a forward pass.
        choose: divides texts into forward passes.
        cache: scores of recent texts.
        max_waiting: number of waiting texts from which on requests wait for a place.
        wait: seconds to wait for as many texts as before; 0 does not wait.
        observer: counts what happens.
    """

    def __init__(
        self,
        compute: Compute,
        choose: Choose,
        cache: ScoreCache,
        max_waiting: int,
        wait: float,
        observer: QueueObserver,
    ) -> None:
        self._compute, self._choose, self._cache = compute, choose, cache
        self._max_waiting, self._wait, self._observer = max_waiting, wait, observer
        self._waiting: dict[bytes, _Work] = {}
        self._running: dict[bytes, _Work] = {}
        self._started_at: float | None = None
        self._turn = asyncio.Lock()
        self._arrived, self._left = asyncio.Event(), asyncio.Event()
        self._thread: Executor = ThreadPoolExecutor(1, "forward")

    def __len__(self) -> int:
        """Return the number of waiting texts."""
        return len(self._waiting)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Compute the texts that arrive, while the context lasts."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            # Two forward passes of one model at a time would disturb each other.
            await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    def seconds_since_start(self) -> float:
        """Return how long the current forward pass has been running, in seconds; 0 if there is none."""
        return 0.0 if self._started_at is None else asyncio.get_running_loop().time() - self._started_at

    async def score(self, items: Sequence[TextToScore], timeout: float | None) -> list[Outcome]:
        """Return the scores of texts, in order.

        Args:
            items: the texts.
            timeout: seconds to wait for a place, or None for any time.

        Raises:
            ServerBusyError: there was no place in time.
        """
        works: list[_Work] = []
        try:
            try:
                async with asyncio.timeout(timeout), self._turn:
                    await self._place_for(len(items))
                    works = self._enter(items)
            except TimeoutError:
                raise ServerBusyError(
                    f"The queue of the server has been full for {timeout:g} seconds. Send the request again later, or "
                    "fewer at once."
                ) from None
            if pending := [one.done for one in works if not one.done.done()]:
                await asyncio.wait(pending)
            return [one.done.result() for one in works]
        finally:
            self._leave(works)

    async def _place_for(self, count: int) -> None:
        while self._waiting and len(self._waiting) + count > self._max_waiting:
            self._left.clear()
            await self._left.wait()

    def _enter(self, items: Sequence[TextToScore]) -> list[_Work]:
        works, counts = [], {"cached": 0, "joined": 0, "queued": 0}
        for item in items:
            work, source = self._find(item)
            work.waiters += 1
            counts[source] += 1
            works.append(work)
        for source, count in counts.items():
            self._observer.found(source, count)
        if self._waiting:
            self._arrived.set()
        self._observer.waiting(len(self._waiting))
        return works

    def _find(self, item: TextToScore) -> tuple[_Work, str]:
        key = text_key(item.text, item.whole)
        if (work := self._waiting.get(key) or self._running.get(key)) is not None:
            return work, "joined"
        work = _Work(key, item, asyncio.get_running_loop().create_future())
        if (scores := self._cache.get(key)) is not None:
            work.done.set_result(scores)
            return work, "cached"
        self._waiting[key] = work
        return work, "queued"

    def _leave(self, works: Sequence[_Work]) -> None:
        for work in works:
            work.waiters -= 1
            if not work.waiters and not work.started:
                self._waiting.pop(work.key, None)
        self._left.set()

    async def _run(self) -> None:
        expected, seconds = 0, 0.0
        while True:
            await self._arrived.wait()
            await self._wait_for(expected, seconds)
            expected = len(self._waiting)
            if works := self._next():
                seconds = await self._compute_works(works)

    async def _wait_for(self, expected: int, seconds: float) -> None:
        """Wait until as many texts wait as before the last forward pass: its clients send their next texts soon.

        Without the wait, a forward pass would have some completions of a prompt, and the next pass the others.

        Args:
            expected: number of texts that waited.
            seconds: duration of the forward pass.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._wait + (WAIT_SHARE * seconds if self._wait else 0.0)
        while len(self._waiting) < min(expected, CANDIDATES) and loop.time() < end:
            await asyncio.sleep(WAIT_STEP)

    def _next(self) -> list[_Work]:
        """Return the forward pass of the text that has waited longest."""
        candidates = list(islice(self._waiting.values(), CANDIDATES))
        chosen: list[_Work] = []
        if candidates:
            passes = self._choose([one.item.text for one in candidates])
            chosen = [candidates[index] for index in next(one for one in passes if 0 in one)]
        for work in chosen:
            work.started = True
            self._running[work.key] = self._waiting.pop(work.key)
        if not self._waiting:
            self._arrived.clear()
        self._observer.waiting(len(self._waiting))
        self._left.set()
        return chosen

    async def _compute_works(self, works: Sequence[_Work]) -> float:
        """Compute a forward pass, and return its duration in seconds."""
        loop = asyncio.get_running_loop()
        self._started_at = loop.time()
        items = [one.item for one in works]
        outcomes = await loop.run_in_executor(self._thread, self._outcomes, items)
        seconds, self._started_at = loop.time() - self._started_at, None
        self._observer.computed(len(items), sum(len(one.text.ids) for one in items), seconds)
        for work, outcome in zip(works, outcomes, strict=True):
            del self._running[work.key]
            work.done.set_result(outcome)
            if not isinstance(outcome, RlhfLossesError):
                self._cache.put(work.key, outcome)
        return seconds

    def _outcomes(self, items: Sequence[TextToScore]) -> list[Outcome]:
        """Return the outcome of each text; one that fails is separated from the others by halving."""
        try:
            return self._compute(items)
        except Exception as error:  # for example too little memory for this forward pass
            if len(items) > 1:
                half = len(items) // 2
                return [*self._outcomes(items[:half]), *self._outcomes(items[half:])]
            logger.exception("A text of %d tokens could not be scored.", len(items[0].text.ids))
            return [
                ScoringFailedError(
                    f"The server could not compute the score of a text of {len(items[0].text.ids)} tokens "
                    f"({type(error).__name__}). The log of the server has the reason."
                )
            ]
