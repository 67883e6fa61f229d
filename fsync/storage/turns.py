"""Work on several parts of a listing at once, its outcome in their order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")

#: outcomes that one part may be ahead of the reader
_AHEAD = 2


@asynccontextmanager
async def closing(outcomes: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """Close what an iterator holds open at the end of an ``async with`` block, also when it was not read to its end."""
    try:
        yield outcomes
    finally:
        if isinstance(outcomes, AsyncGenerator):
            await outcomes.aclose()


class _End(Exception):
    """The part has given everything."""


class _Part(Generic[U]):
    """One part under way: a task that fills a short queue."""

    def __init__(self, outcomes: AsyncGenerator[U]) -> None:
        self._queue: asyncio.Queue[tuple[U | None, BaseException | None]] = asyncio.Queue(_AHEAD)
        self._task = asyncio.ensure_future(self._fill(outcomes))

    async def _fill(self, outcomes: AsyncGenerator[U]) -> None:
        try:
            async for outcome in outcomes:
                await self._queue.put((outcome, None))
            await self._queue.put((None, _End()))
        except Exception as error:
            await self._queue.put((None, error))
        finally:
            await outcomes.aclose()

    async def read(self) -> AsyncIterator[U]:
        while True:
            outcome, error = await self._queue.get()
            if isinstance(error, _End):
                return
            if error is not None:
                raise error
            yield outcome  # type: ignore[misc]

    async def close(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task


async def in_turn(
    items: AsyncGenerator[T], expand: Callable[[T], AsyncGenerator[U]], at_once: int
) -> AsyncGenerator[U]:
    """Yield what the items expand to, in the items' order; ``at_once`` of them are under way.

    Each is at most a few outcomes ahead, so that memory is bounded however many there are. The first error, in the
    items' order, is raised in its place; nothing is under way any more once the iterator has ended or is closed.
    """
    parts: deque[_Part[U]] = deque()
    left = True
    try:
        while True:
            while left and len(parts) < at_once:
                try:
                    parts.append(_Part(expand(await anext(items))))
                except StopAsyncIteration:
                    left = False
            if not parts:
                return
            async for outcome in parts[0].read():
                yield outcome
            parts.popleft()
    finally:
        for part in parts:
            await part.close()
        await items.aclose()
