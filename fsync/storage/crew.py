"""Many short blocking jobs on a few threads: each thread takes one job after the other, without a hop for each."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Generic, TypeVar

from fsync.storage.affinity import Core

X = TypeVar("X")
T = TypeVar("T")

#: jobs that a thread does before others may have its slot
_TOUR = 32
#: seconds that a cancelled caller waits for the jobs under way
_PATIENCE = 5.0
#: seconds until a pool that got no further thread is handed the next tour
_PAUSE = 0.01


class Unfinished(asyncio.CancelledError):
    """A batch of jobs was broken off; ``results`` has None for those that had not ended."""

    def __init__(self, results: list[Any]) -> None:
        super().__init__()
        self.results = results


class Crew:
    """Up to ``most`` threads that share one queue of jobs; each holds one of ``slots`` while it works."""

    def __init__(self, slots: asyncio.Semaphore, most: int) -> None:
        self._slots, self._most = slots, most
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="fsync-crew")
        self._waiting: deque[tuple[_Batch[Any, Any], int]] = deque()
        self._working: set[asyncio.Task[None] | None] = set()
        self._core = Core()
        #: a thread has begun, and will be there until the end
        self._toured = self._closed = False

    async def map(
        self, function: Callable[[X], T], items: Sequence[X], *, together: bool = False
    ) -> list[T | Exception]:
        """Return ``function(item)`` of each item, or the exception it raised, in their order.

        ``together`` keeps the threads on one core meanwhile, for jobs that are many calls and little work. Raises
        Unfinished if it is cancelled: then no further job is begun, and those under way are waited for, not for long.
        """
        if not items:
            return []
        batch = _Batch(function, items, together, asyncio.get_running_loop())
        self._waiting.extend((batch, position) for position in range(len(items)))
        for _ in range(min(len(items), self._most - len(self._working))):
            self._working.add(asyncio.ensure_future(self._work()))
        try:
            await asyncio.wait([batch.ended])
        except asyncio.CancelledError:
            batch.dropped = True
            await asyncio.wait([batch.ended], timeout=_PATIENCE)
            raise Unfinished(list(batch.results)) from None
        return batch.results

    async def _work(self) -> None:
        try:
            while self._waiting:
                async with self._slots:
                    try:
                        await asyncio.get_running_loop().run_in_executor(self._threads, self._tour)
                    except RuntimeError as error:
                        # the system has no more threads
                        if self._toured and not self._closed:
                            # those that there are do what was handed to the pool all the same
                            await asyncio.sleep(_PAUSE)
                        elif len(self._working) > 1:
                            return
                        else:
                            self._give_up(error)
        finally:
            # in the step that found nothing waiting: whoever adds something after it hires anew
            self._working.discard(asyncio.current_task())

    def _give_up(self, error: Exception) -> None:
        with suppress(IndexError):
            while True:
                batch, position = self._waiting.popleft()
                batch.end(position, error)

    def _tour(self) -> None:
        self._toured = True
        for _ in range(_TOUR):
            try:
                batch, position = self._waiting.popleft()
            except IndexError:
                return
            if not batch.together:
                self._core.leave()
            batch.do(position)
            if batch.together:
                # not before: a client's own threads, begun by its first call, would be kept on the core as well
                self._core.join()

    def shutdown(self) -> None:
        """Let go of the threads without waiting for jobs that hang."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Batch(Generic[X, T]):
    """The items of one call of :meth:`Crew.map` and what has become of them."""

    def __init__(
        self, function: Callable[[X], T], items: Sequence[X], together: bool, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._function, self._items, self.together, self._loop = function, items, together, loop
        self.results: list[Any] = [None] * len(items)
        self._left = len(items)
        self._lock = threading.Lock()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.dropped = False

    def do(self, position: int) -> None:
        """Do one job, on a thread."""
        result: Any = None
        if not self.dropped:
            try:
                result = self._function(self._items[position])
            except Exception as error:
                result = error
            except BaseException as error:
                # a compiled package that panics says so by none of Python's own errors
                result = RuntimeError(f"{type(error).__name__}: {error}")
        self.end(position, result)

    def end(self, position: int, result: Any) -> None:
        """Take the result of one job, on any thread."""
        self.results[position] = result
        with self._lock:
            self._left -= 1
            last = not self._left
        if last:
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
