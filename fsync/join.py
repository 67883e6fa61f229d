"""The join of two sorted streams of pages: both are cut into windows that hold all keys up to a common cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from fsync.schema import PAGE, concatenate, empty_page, last_key, rows_up_to

#: rows of one side that a window waits for, and pages at most: the first copies should not wait for many requests
_ROWS = 12_288
_PAGES = 4


@dataclass(frozen=True, slots=True)
class Window:
    """All entries of both sides from one cut to the next."""

    source: pa.RecordBatch
    destination: pa.RecordBatch


async def windows(
    source: AsyncIterator[pa.RecordBatch], destination: AsyncIterator[pa.RecordBatch]
) -> AsyncIterator[Window]:
    """Cut two streams of sorted pages into windows, at the smaller of the two last keys at hand."""
    left, right = _Side(source), _Side(destination)
    while True:
        await _both(left.fill(), right.fill())
        ends = [last_key(side.held) for side in (left, right) if side.held.num_rows and not side.ended]
        if not ends:
            if left.held.num_rows or right.held.num_rows:
                yield Window(left.held, right.held)
            return
        cut = min(ends)
        yield Window(left.take(cut), right.take(cut))


async def _both(*fills: Coroutine[Any, Any, None]) -> None:
    """Await both sides' next pages at once; when one fails, or the run is cancelled, the other is ended first."""
    tasks = [asyncio.ensure_future(fill) for fill in fills]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Side:
    def __init__(self, pages: AsyncIterator[pa.RecordBatch]) -> None:
        self._pages = pages
        self.held = empty_page()
        self.ended = False
        #: pages to wait for: one at first, because nothing is copied before the first window
        self._wanted = 1

    async def fill(self) -> None:
        if self.held.num_rows or self.ended:
            return
        batches: list[pa.RecordBatch] = []
        while len(batches) < self._wanted and sum(page.num_rows for page in batches) < _ROWS:
            page = await anext(self._pages, None)
            if page is None:
                self.ended = True
                break
            if page.num_rows:
                batches.append(page)
        self._wanted = _PAGES
        self.held = concatenate(batches, PAGE)

    def take(self, cut: bytes) -> pa.RecordBatch:
        rows = rows_up_to(self.held.column("key"), cut)
        taken, self.held = self.held.slice(0, rows), self.held.slice(rows)
        return taken
