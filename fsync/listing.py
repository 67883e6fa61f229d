"""One side's listing: pages in strict key order, seen through the key rules, or an error that says it is not whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress

import pyarrow as pa
import pyarrow.compute as pc

from fsync.errors import OrderError, printable
from fsync.filters import Rules
from fsync.schema import PAGE, Kind, concatenate, having
from fsync.sorting import sorted_pages
from fsync.storage.base import Storage
from fsync.traits import KeyOrder

#: pages that a listing may be ahead of its reader
_LOOK_AHEAD = 3


class Listing:
    """The entries of one side that the key rules keep.

    ``rows`` counts what was listed and kept, ``excluded`` what the rules dropped, ``ended`` is True only once the
    storage has proven the end of the listing. ``sort`` sends the listing through the external sort first; ``follow``
    lists what links lead to.
    """

    def __init__(
        self,
        storage: Storage,
        rules: Rules,
        *,
        follow: bool,
        sort: bool = False,
        memory: int = 64 << 20,
        spill_dir: str | None = None,
    ) -> None:
        self._storage, self._rules, self._follow = storage, rules, follow
        self._sort = sort or storage.traits.key_order is KeyOrder.NONE
        self._memory, self._spill_dir = memory, spill_dir
        self.rows = 0
        self.excluded = 0
        self.ended = False

    async def pages(self) -> AsyncIterator[pa.RecordBatch]:
        """Yield pages with at least one row; raises ListingError, OrderError if the storage breaks its key order."""
        raw = self._storage.pages(follow=self._follow, prunes=self._rules.prunes if self._rules else None)
        if self._sort:
            raw = sorted_pages(raw, memory=self._memory, directory=self._spill_dir)
        async for page in look_ahead(in_order(raw, self._storage.address.given)):
            kept = page
            if self._rules:
                kept = page.filter(self._rules.mask(page.column("key")))
                self.excluded += page.num_rows - kept.num_rows
            self.rows += kept.num_rows
            if kept.num_rows:
                yield kept
        self.ended = True


async def in_order(pages: AsyncIterator[pa.RecordBatch], given: str) -> AsyncIterator[pa.RecordBatch]:
    """Yield pages whose keys increase strictly, across pages too.

    An identical repetition of a row right after it is dropped once; any other key that is not greater than the one
    before raises OrderError.
    """
    last: pa.RecordBatch | None = None
    repeated = False
    async for page in pages:
        if not page.num_rows:
            continue
        keys = page.column("key")
        follows = last is None or last.column("key")[0].as_py() < keys[0].as_py()
        if not follows or not pc.all(pc.less(keys[:-1], keys[1:])).as_py():
            before = 0 if last is None else 1
            whole = concatenate([last, page], PAGE) if last is not None else page
            page, repeated = _without_repetitions(whole, given, repeated)
            page = page.slice(before)
        else:
            repeated = False
        if page.num_rows:
            last = page.slice(page.num_rows - 1)
            yield page


def _without_repetitions(page: pa.RecordBatch, given: str, repeated: bool) -> tuple[pa.RecordBatch, bool]:
    """Return the page's rows once each, and whether the last one was repeated; ``repeated`` tells it of the first."""
    kept: list[int] = []
    keys = page.column("key").to_pylist()
    for position, key in enumerate(keys):
        if kept and key <= keys[kept[-1]]:
            if repeated or not page.slice(position, 1).equals(page.slice(kept[-1], 1)):
                before = printable(keys[kept[-1]])
                raise OrderError(f"the listing of {given} is not in key order: {printable(key)} came after {before}")
            repeated = True
            continue
        repeated = repeated and not kept
        kept.append(position)
    return page.take(pa.array(kept, pa.int64())), repeated


async def look_ahead(pages: AsyncIterator[pa.RecordBatch]) -> AsyncIterator[pa.RecordBatch]:
    """Yield pages while the next few are being fetched; their errors are raised in their place."""
    queue: asyncio.Queue[pa.RecordBatch | BaseException | None] = asyncio.Queue(_LOOK_AHEAD)

    async def fetch() -> None:
        try:
            async for page in pages:
                await queue.put(page)
        except Exception as error:
            await queue.put(error)
        else:
            await queue.put(None)
        finally:
            if isinstance(pages, AsyncGenerator):
                await pages.aclose()

    task = asyncio.ensure_future(fetch())
    try:
        while (item := await queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def of_kind(page: pa.RecordBatch, *kinds: Kind) -> pa.RecordBatch:
    """Return the rows of a page that are of one of the kinds."""
    wanted = having(page.column("kind"), *kinds)
    return page if pc.all(wanted).as_py() else page.filter(wanted)


def without_root(page: pa.RecordBatch) -> pa.RecordBatch:
    """Return a page without the row of the address's own directory, whose key is empty."""
    if page.num_rows and page.column("key")[0].as_py() == b"" and page.column("kind")[0].as_py() == Kind.DIRECTORY:
        return page.slice(1)
    return page
