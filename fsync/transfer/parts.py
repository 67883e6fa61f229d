"""The parts of one large object, several at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

from fsync.storage.running import Running

#: parts of one object under way at once
_PARTS = 8


class Part(NamedTuple):
    """One part: its number from 0, where it begins, and its bytes."""

    number: int
    offset: int
    length: int


def parts_of(size: int, part_size: int) -> Iterator[Part]:
    """Yield the parts of an object; an empty one has none."""
    for number, offset in enumerate(range(0, size, part_size)):
        yield Part(number, offset, min(part_size, size - offset))


async def at_once(running: Running, parts: Iterator[Part], carry: Callable[[Part], Awaitable[None]]) -> None:
    """Await ``carry`` for every part, in any order, a few at a time; its first error ends all.

    The object's own slot carries one part after the other; further parts run beside it while there are free slots.
    """
    busy: set[asyncio.Task[None] | None] = set()

    async def beside() -> None:
        while True:
            async with running.slots:
                part = next(parts, None)
                if part is None:
                    return
                busy.add(asyncio.current_task())
                await carry(part)
                busy.discard(asyncio.current_task())

    async def one_by_one() -> None:
        for part in parts:
            await carry(part)

    own = asyncio.ensure_future(one_by_one())
    helpers = [asyncio.ensure_future(beside()) for _ in range(min(_PARTS, running.threads) - 1)]
    try:
        # cancelled here, all are cancelled at once: each may take a while to break off what it is at
        await asyncio.wait([own])
        own.result()
        await asyncio.gather(*(helper for helper in helpers if helper in busy or helper.done()))
    finally:
        for carrier in (own, *helpers):
            carrier.cancel()
        await asyncio.gather(own, *helpers, return_exceptions=True)
