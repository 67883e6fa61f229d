"""One side's listing: pages in strict key order, seen through the key rules, or an error that says it is not whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress

import pyarrow as pa
import pyarrow.compute as pc

from fsync.errors import OrderError, printable
from fsync.filters import Rules
from fsync.keyrange import EVERY_KEY, KeyRange
from fsync.schema import PAGE, Kind, concatenate, having, last_key
from fsync.sorting import sorted_pages
from fsync.storage.base import Storage
from fsync.storage.entry import Entry
from fsync.storage.turns import closing
from fsync.traits import KeyOrder

#: pages that a listing may be ahead of its reader
_LOOK_AHEAD = 3


class Listing:
    """The entries of one side that the key rules keep and that are ``within`` a range of keys.

    ``rows`` counts what was listed and kept, ``excluded`` what the rules dropped, ``ended`` is True only once the
    storage has proven the end of the listing, or of the range. ``sort`` sends the listing through the external sort
    first; ``follow`` lists what links lead to. ``unseen`` is told, page by page, what was listed but dropped.
    """

    def __init__(
        self,
        storage: Storage,
        rules: Rules,
        *,
        follow: bool,
        within: KeyRange = EVERY_KEY,
        sort: bool = False,
        memory: int = 64 << 20,
        spill_dir: str | None = None,
        unseen: Callable[[pa.RecordBatch], None] | None = None,
    ) -> None:
        self.storage, self._rules, self._follow, self._within = storage, rules, follow, within
        self._sort = sort or storage.traits.key_order is KeyOrder.NONE
        self._ordered = storage.traits.key_order is KeyOrder.BYTES
        self._memory, self._spill_dir, self._unseen = memory, spill_dir, unseen
        self.rows = 0
        self.excluded = 0
        self.ended = False

    async def pages(self) -> AsyncGenerator[pa.RecordBatch]:
        """Yield pages with at least one row; raises ListingError, OrderError if the storage breaks its key order."""
        prunes = self._rules.prunes if self._rules else None
        if prunes is not None and self._within.under and prunes(self._within.under):
            self.ended = True
            return
        raw = self.storage.pages(follow=self._follow, prunes=prunes, within=self._within)
        if self._sort:
            raw = sorted_pages(raw, memory=self._memory, directory=self._spill_dir)
        ahead = look_ahead(in_order(raw, self.storage.address.given))
        try:
            async for page in ahead:
                kept = self.seen(page)
                self.rows += kept.num_rows
                if kept.num_rows:
                    yield kept
                if self._ordered and self._within.is_past(last_key(page)):
                    break
        finally:
            await ahead.aclose()
        self.ended = True

    def seen(self, page: pa.RecordBatch) -> pa.RecordBatch:
        """Return the rows of a page that the rules and the range keep; what they drop is counted and told."""
        if not self._rules and not self._within:
            return page
        inside = self._within.mask(page.column("key"))
        kept = self._rules.mask(page.column("key")) if self._rules else inside
        self.excluded += pc.sum(pc.and_not(inside, kept)).as_py() or 0
        kept = pc.and_(inside, kept)
        if self._unseen is not None and not pc.all(kept).as_py():
            self._unseen(page.filter(pc.invert(kept)))
        return page.filter(kept)


async def in_order(pages: AsyncIterator[pa.RecordBatch], given: str) -> AsyncIterator[pa.RecordBatch]:
    """Yield pages whose keys increase strictly, across pages too.

    An identical repetition of a row right after it is dropped once; any other key that is not greater than the one
    before raises OrderError.
    """
    last: pa.RecordBatch | None = None
    repeated = False
    async with closing(pages):
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


async def look_ahead(pages: AsyncIterator[pa.RecordBatch]) -> AsyncGenerator[pa.RecordBatch]:
    """Yield pages while the next few are being fetched; their errors are raised in their place."""
    queue: asyncio.Queue[pa.RecordBatch | BaseException | None] = asyncio.Queue(_LOOK_AHEAD)

    async def fetch() -> None:
        async with closing(pages):
            try:
                async for page in pages:
                    await queue.put(page)
            except Exception as error:
                await queue.put(error)
            else:
                await queue.put(None)

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


async def completed(storage: Storage, page: pa.RecordBatch, lacking: pa.BooleanArray) -> pa.RecordBatch:
    """Return a page with the sizes and times that the storage, asked for each ``lacking`` row, tells of it.

    Raises ListingError where it cannot be asked.
    """
    if not pc.any(lacking).as_py():
        return page
    rows = page.filter(lacking)

    async def ask(key: bytes) -> Entry | None:
        try:
            async with storage.running.slots:
                return await storage.entry(key)
        except Exception as error:
            raise storage.listing_error(error) from error

    found = await asyncio.gather(*(ask(key) for key in rows.column("key").to_pylist()))
    for name in ("size", "mtime"):
        told = pa.array([None if entry is None else getattr(entry, name) for entry in found], pa.int64())
        column = pc.coalesce(rows.column(name), told.cast(PAGE.field(name).type))
        rows = rows.set_column(PAGE.get_field_index(name), PAGE.field(name), column)
    return concatenate([page.filter(pc.invert(lacking)), rows], PAGE).sort_by([("key", "ascending")])
