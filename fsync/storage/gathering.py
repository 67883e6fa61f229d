"""Many short blocking calls in few thread hops: what is asked for while a hop is under way goes with the next one."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

#: calls of one hop: a run that is to stop waits for them
_AT_ONCE = 64
#: seconds that a call takes on a disk whose latency several threads can hide
_SLOW = 0.005

_Call = tuple["asyncio.Future[Any]", Callable[..., Any], tuple[Any, ...]]


class Gathering:
    """Runs short blocking calls on ``one`` thread, in the order in which they were asked for.

    On a quick disk a single thread is faster than several, which would hand the interpreter's lock to each other at
    every call; where calls turn out to take long, up to ``lanes`` hops are under way in the pool ``many``. A call whose
    caller was cancelled is not begun.
    """

    def __init__(self, one: ThreadPoolExecutor, many: ThreadPoolExecutor, lanes: int) -> None:
        self._one, self._many, self._lanes = one, many, lanes
        self._waiting: deque[_Call] = deque()
        self._hops = 0
        self._seconds = 0.0

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Return ``function(*args)``, called on a thread."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((future, function, args))
        self._start()
        return await future

    def _start(self) -> None:
        slow = self._seconds > _SLOW
        while self._waiting and self._hops < (self._lanes if slow else 1):
            room = 1 if slow else _AT_ONCE
            calls = [self._waiting.popleft() for _ in range(min(room, len(self._waiting)))]
            calls = [call for call in calls if not call[0].done()]
            if calls:
                self._hops += 1
                pool = self._many if slow else self._one
                hop = asyncio.get_running_loop().run_in_executor(pool, _called, calls)
                hop.add_done_callback(lambda hop, calls=calls: self._ended(hop, calls))  # type: ignore[misc]

    def _ended(
        self, hop: asyncio.Future[tuple[float, list[tuple[Any, BaseException | None]]]], calls: list[_Call]
    ) -> None:
        self._hops -= 1
        if hop.cancelled():
            # the threads are gone: the run is over
            for future, _, _ in (*calls, *self._waiting):
                future.cancel()
            self._waiting.clear()
            return
        took, results = hop.result()
        self._seconds += (took / len(calls) - self._seconds) / 8
        for (future, _, _), (result, error) in zip(calls, results, strict=True):
            if future.done():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
        self._start()


def _called(calls: list[_Call]) -> tuple[float, list[tuple[Any, BaseException | None]]]:
    """Make calls one after the other; return the seconds they took together, and what each returned or raised."""
    results: list[tuple[Any, BaseException | None]] = []
    begun = time.monotonic()
    for _, function, args in calls:
        try:
            results.append((function(*args), None))
        except BaseException as error:
            results.append((None, error))
    return time.monotonic() - begun, results
