"""Threads for blocking questions that nobody has to wait for at the end of the process, as a pool's threads are."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

_Job = tuple[asyncio.AbstractEventLoop, asyncio.Future[Any], Callable[..., Any], tuple[Any, ...]]


class Askers:
    """Up to ``most`` threads, begun when they are needed; a question that nobody waits for any more is not begun."""

    def __init__(self, most: int) -> None:
        self._most, self._begun = most, 0
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)

    async def ask(self, function: Callable[..., T], *args: Any) -> T:
        """Return ``function(*args)``, called on one of the threads; cancelled, the call goes on without a reader."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._jobs.put((loop, answer, function, args))
        if not self._idle.acquire(blocking=False) and self._begun < self._most:
            self._begun += 1
            try:
                threading.Thread(target=self._work, name=f"fsync-ask-{self._begun}", daemon=True).start()
            except RuntimeError:
                # the system has no more threads: those that there are answer, and without any nobody would
                self._begun -= 1
                if not self._begun:
                    answer.cancel()
                    raise
        return await answer

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            loop, answer, function, args = job
            result, error = None, None
            if not answer.cancelled():
                try:
                    result = function(*args)
                except BaseException as raised:
                    error = raised
            # whoever has the answer finds this thread free; the loop may have ended meanwhile
            self._idle.release()
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_give, answer, result, error)
            del job, answer, args, result, error

    def shutdown(self) -> None:
        """Let the threads end, each after the call that it is in."""
        for _ in range(self._begun):
            self._jobs.put(None)


def _give(answer: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if answer.cancelled():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)
