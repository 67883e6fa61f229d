"""A bucket listed by several requests at once: by common prefixes of its keys, and by ranges of them."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from fsync.address import Address
from fsync.errors import ListingError, printable
from fsync.keyrange import EVERY_KEY, KeyRange
from fsync.storage.s3_listing import Ask, answers, first_prefix, page_of, pages
from fsync.storage.s3_ranges import Ranges
from fsync.storage.turns import closing, in_turn
from fsync.storage.walk import Prunes


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A stretch of the listing: some rows, then all keys that begin with ``prefix``; either may be None.

    A ``flat`` one holds more keys than common prefixes at its own level.
    """

    rows: pa.RecordBatch | None
    prefix: str | None
    flat: bool = False


class Shards:
    """The listing of all keys that begin with ``root``, ``at_once`` requests under way.

    Common prefixes ending in ``/`` are asked for ``depth`` times, each within those found before; what begins with
    one of the last is a shard, listed flat. Shards for which ``prunes`` holds, or that lie outside ``within``, are left
    out. Rows come in the order in which the server lists keys and prefixes, which is by bytes wherever its flat listing
    is; keys that lie directly at a level come between its shards. Of a server that is known to list by bytes
    (``ordered``) each shard is cut into ranges, and a level with more keys than prefixes is one shard. Errors of any
    request are those of the listing.
    """

    def __init__(
        self,
        ask: Ask,
        root: str,
        address: Address,
        within: KeyRange = EVERY_KEY,
        prunes: Prunes | None = None,
        *,
        ordered: bool,
        at_once: int,
        depth: int,
    ) -> None:
        self._ask_one, self._root, self._address, self._within, self._prunes = ask, root, address, within, prunes
        self._ordered, self._at_once, self._depth = ordered, at_once, depth
        self._slots = asyncio.Semaphore(at_once)

    def pages(self) -> AsyncGenerator[pa.RecordBatch]:
        """Yield the pages; raises ListingError."""
        stretches = _first(_Stretch(None, first_prefix(self._root, self._within)))
        for _ in range(self._depth):
            stretches = in_turn(stretches, self._split, self._at_once)
        return in_turn(stretches, self._whole, self._at_once)

    async def _ask(self, **arguments: Any) -> dict[str, Any]:
        async with self._slots:
            return await self._ask_one(**arguments)

    async def _whole(self, stretch: _Stretch) -> AsyncGenerator[pa.RecordBatch]:
        if stretch.rows is not None:
            yield stretch.rows
        if stretch.prefix is None:
            return
        if self._ordered:
            found = self._ranges(stretch.prefix)
        else:
            found = pages(self._ask, self._root, self._address, self._within, prefix=stretch.prefix)
        async with closing(found):
            async for page in found:
                yield page

    def _ranges(self, prefix: str) -> AsyncGenerator[pa.RecordBatch]:
        root, within = self._root.encode("utf-8", "surrogateescape"), self._within
        before = within.just_before
        # what is one of many shards already is not cut twice
        alone = prefix == first_prefix(self._root, within)
        ranges = Ranges(
            self._ask, self._address, prefix, lambda rows: page_of(rows, self._root, self._address), self._at_once
        )
        return ranges.between(
            None if before is None else root + before, None if within.end is None else root + within.end, not alone
        )

    async def _split(self, stretch: _Stretch) -> AsyncGenerator[_Stretch]:
        """Yield a stretch as shorter ones: up to each common prefix of what begins with its own."""
        if stretch.rows is not None:
            yield _Stretch(stretch.rows, None)
        if stretch.prefix is None:
            return
        if stretch.flat:
            yield stretch
            return
        last, first = stretch.prefix, True
        place = {"Prefix": stretch.prefix, "Delimiter": "/"}
        async with closing(answers(self._ask, self._address, place, ahead=not self._ordered)) as found:
            async for answer, columns in found:
                more_keys = len(columns.key) > len(answer.get("CommonPrefixes", ()))
                if self._ordered and first and more_keys and answer.get("IsTruncated"):
                    yield _Stretch(None, stretch.prefix, flat=True)
                    return
                first = False
                page = page_of(columns, self._root, self._address) if columns.key else None
                given = 0
                for common in answer.get("CommonPrefixes", ()):
                    prefix = common.get("Prefix", "")
                    if prefix == last:
                        # some servers say it again where an answer ended with it
                        continue
                    self._check(prefix, stretch.prefix)
                    last = prefix
                    before = bisect_left(columns.key, prefix.encode("utf-8", "surrogateescape"), lo=given)
                    rows = page.slice(given, before - given) if page is not None and before > given else None
                    given = before
                    yield _Stretch(rows, None if self._pruned(prefix) else prefix)
                if page is not None and given < page.num_rows:
                    yield _Stretch(page.slice(given), None)

    def _pruned(self, prefix: str) -> bool:
        key = prefix[len(self._root) :].encode("utf-8", "surrogateescape")
        return self._within.misses(key) or bool(self._prunes and self._prunes(key))

    def _check(self, prefix: str, within: str) -> None:
        """Raise ListingError for a common prefix that would not lead to all keys that begin with it."""
        if not prefix.startswith(within) or len(prefix) == len(within) or not prefix.endswith("/"):
            raise ListingError(f"cannot list {self._address.given}: {printable(prefix)} is no prefix below {within}")
        if "\ufffd" in prefix:
            raise ListingError(
                f"cannot list {self._address.given} by several threads: a name in it may not be UTF-8; leave out "
                "--list-threads"
            )


async def _first(stretch: _Stretch) -> AsyncGenerator[_Stretch]:
    yield stretch
