"""The order of a listing's keys, and fetching ahead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsync.address import Address
from fsync.api import run
from fsync.errors import ListingError, OrderError
from fsync.filters import Rules
from fsync.keyrange import EVERY_KEY, KeyRange
from fsync.listing import Listing, in_order, look_ahead, of_kind
from fsync.schema import Kind
from fsync.storage.base import Storage
from fsync.storage.running import Running
from fsync.storage.walk import Prunes
from fsync.traits import KeyOrder, MtimeKind, Traits
from tests.unit.pages import gathered, keys_of, page, rows_of, running, stream


def ordered(*pages: pa.RecordBatch) -> list[pa.RecordBatch]:
    return gathered(in_order(stream(pages), "s3://b/"))


# order -----------------------------------------------------------------------------------------------------------

GOOD = [
    ([], []),
    ([[b"a", b"b"], [b"c"]], [b"a", b"b", b"c"]),
    ([[], [b"a"], [], [b"b"], []], [b"a", b"b"]),
    ([[b"", b"\x00", b"a", b"a/", b"a/b", b"a0", b"\xff"]], [b"", b"\x00", b"a", b"a/", b"a/b", b"a0", b"\xff"]),
    # once repeated: within a page, at its start, from one page to the next, and each row of many
    ([[b"a", b"b", b"b", b"c"]], [b"a", b"b", b"c"]),
    ([[b"a", b"a", b"b"]], [b"a", b"b"]),
    ([[b"a", b"b"], [b"b", b"c"]], [b"a", b"b", b"c"]),
    ([[b"a", b"b"], [b"b"], [b"c"]], [b"a", b"b", b"c"]),
    ([[b"a", b"a", b"b", b"b"], [b"c", b"c"]], [b"a", b"b", b"c"]),
]


@pytest.mark.parametrize(("pages", "wanted"), GOOD)
def test_in_order(pages: list[list[bytes]], wanted: list[bytes]) -> None:
    result = ordered(*(page(*keys) for keys in pages))
    assert keys_of(result) == wanted
    assert all(batch.num_rows for batch in result)


BAD = [
    [[b"b", b"a"]],
    [[b"a", b"c", b"b"]],
    [[b"b"], [b"a"]],
    [[b"a", b"c"], [b"b", b"d"]],
    [[b"a", b"b"], [b"c", b"b"]],
    [[b"a", b"b"], [b"a", b"b"]],
    [[b"a", b"b", b"b", b"b"]],
    [[b"a", b"b"], [b"b", b"b"]],
    [[b"a", b"b"], [], [b"a"]],
    [[b"a/b", b"a.b"]],
    [[b"a", b"b"], [b"b", b"a"]],
]


@pytest.mark.parametrize("pages", BAD)
def test_out_of_order(pages: list[list[bytes]]) -> None:
    with pytest.raises(OrderError, match="the listing of s3://b/ is not in key order"):
        ordered(*(page(*keys) for keys in pages))


@pytest.mark.parametrize("pages", [[[b"a"], [b"a"], [b"a"]], [[b"a", b"a"], [b"a"]], [[b"a"], [b"a"], [b"a", b"b"]]])
def test_three_times_from_page_to_page(pages: list[list[bytes]]) -> None:
    with pytest.raises(OrderError):
        ordered(*(page(*keys) for keys in pages))


@pytest.mark.parametrize(
    "change", [{"size": 2}, {"mtime": 5}, {"etag": "e"}, {"kind": Kind.LINK}, {"size": None}], ids=str
)
@pytest.mark.parametrize("together", [True, False])
def test_a_repetition_with_other_facts_is_no_repetition(change: dict[str, Any], together: bool) -> None:
    one, other = {"key": b"a", "size": 1}, {"key": b"a", "size": 1, **change}
    with pytest.raises(OrderError):
        ordered(*([page(one, other)] if together else [page(one), page(other)]))


def test_the_error_names_both_keys() -> None:
    with pytest.raises(OrderError, match=r"a\\x0ab came after c$"):
        ordered(page(b"c"), page(b"a\nb"))


@given(st.lists(st.lists(st.sampled_from([b"a", b"b", b"c", b"d"]), max_size=4), max_size=5))
def test_any_pages_come_out_strictly_increasing_or_not_at_all(pages: list[list[bytes]]) -> None:
    given_keys = [key for keys in pages for key in keys]
    try:
        result = keys_of(ordered(*(page(*keys) for keys in pages)))
    except OrderError:
        assert given_keys != sorted(set(given_keys))
    else:
        assert result == sorted(set(given_keys))


# fetching ahead --------------------------------------------------------------------------------------------------


class Source:
    """Counts the pages that were fetched from it and notes that it was closed."""

    def __init__(self, pages: int, *, fails: Exception | None = None) -> None:
        self.fetched = 0
        self.closed = False
        self._pages, self._fails = pages, fails

    async def pages(self) -> AsyncIterator[pa.RecordBatch]:
        try:
            for number in range(self._pages):
                self.fetched += 1
                await asyncio.sleep(0)
                yield page(b"%04d" % number)
            if self._fails is not None:
                raise self._fails
        finally:
            self.closed = True


def test_pages_are_fetched_ahead_but_not_all() -> None:
    source = Source(50)

    async def work() -> tuple[int, int]:
        ahead = look_ahead(source.pages())
        await anext(ahead)
        for _ in range(200):
            await asyncio.sleep(0)
        early = source.fetched
        rest = [batch async for batch in ahead]
        return early, len(rest)

    early, rest = run(work())
    assert 1 < early < 10
    assert rest == 49
    assert source.closed


def test_leaving_early_closes_the_source() -> None:
    source = Source(50)

    async def work() -> bool:
        ahead = look_ahead(source.pages())
        async for _ in ahead:
            break
        await ahead.aclose()  # type: ignore[attr-defined]
        return source.closed

    assert run(work())
    assert source.fetched < 10


def test_leaving_while_the_source_waits_ends_it() -> None:
    ended = []

    async def stuck() -> AsyncIterator[pa.RecordBatch]:
        try:
            yield page(b"a")
            await asyncio.sleep(600)
            yield page(b"b")
        finally:
            ended.append(True)

    async def work() -> None:
        ahead = look_ahead(stuck())
        await anext(ahead)
        await asyncio.sleep(0)
        await ahead.aclose()  # type: ignore[attr-defined]

    run(work())
    assert ended == [True]


def test_cancelling_the_reader_closes_the_source() -> None:
    source = Source(10_000)

    async def read() -> None:
        async for _ in look_ahead(source.pages()):
            await asyncio.sleep(0.001)

    async def work() -> None:
        task = asyncio.ensure_future(read())
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for _ in range(100):
            if not source.closed:
                await asyncio.sleep(0.01)

    run(work())
    assert source.closed


def test_an_error_comes_after_the_pages_before_it() -> None:
    error = ListingError("broken off")
    source = Source(5, fails=error)
    seen: list[pa.RecordBatch] = []

    async def work() -> None:
        async for batch in look_ahead(source.pages()):
            await asyncio.sleep(0.001)
            seen.append(batch)

    with pytest.raises(ListingError) as caught:
        run(work())
    assert caught.value is error
    assert keys_of(seen) == [b"%04d" % number for number in range(5)]
    assert source.closed


# one side's listing ----------------------------------------------------------------------------------------------


class Told(Storage):
    """A storage that tells the pages it was given."""

    def __init__(self, pages: list[pa.RecordBatch], order: KeyOrder, shared: Running) -> None:
        super().__init__(Address("generic", "told", "r/", {}, "told://r/"), shared)
        self.traits = Traits("told", True, order, MtimeKind.NONE, 1)
        self._pages = pages
        self.asked: list[bool] = []

    async def pages(
        self, *, follow: bool = True, prunes: Prunes | None = None, within: KeyRange = EVERY_KEY
    ) -> AsyncIterator[pa.RecordBatch]:
        self.asked.append(follow)
        for batch in self._pages:
            yield batch


def listed(
    pages: list[pa.RecordBatch], order: KeyOrder = KeyOrder.BYTES, **arguments: Any
) -> tuple[Listing, list[Any]]:
    rules = Rules.parse(arguments.pop("rules", ()))
    with running() as shared:
        listing = Listing(Told(pages, order, shared), rules, follow=arguments.pop("follow", True), **arguments)
        return listing, gathered(listing.pages())


def test_a_listing_counts_what_it_keeps_and_drops() -> None:
    pages = [page(b"a", b"b.tmp"), page(b"c.tmp"), page(b"d")]
    listing, result = listed(pages, rules=[("exclude", "*.tmp")])
    assert keys_of(result) == [b"a", b"d"]
    assert (listing.rows, listing.excluded, listing.ended) == (2, 2, True)
    assert len(result) == 2


@pytest.mark.parametrize("order", KeyOrder)
@pytest.mark.parametrize("sort", [False, True])
def test_which_listings_are_sorted(order: KeyOrder, sort: bool) -> None:
    pages = [page(b"b"), page(b"a")]
    if order is KeyOrder.NONE or sort:
        assert keys_of(listed(pages, order, sort=sort, memory=0)[1]) == [b"a", b"b"]
    else:
        with pytest.raises(OrderError):
            listed(pages, order)


@pytest.mark.parametrize("sort", [False, True])
def test_a_row_told_twice_counts_once(sort: bool) -> None:
    listing, result = listed([page(b"a", b"b"), page(b"b", b"c")], sort=sort)
    assert keys_of(result) == [b"a", b"b", b"c"]
    assert listing.rows == 3


def test_a_sorted_listing_with_contradicting_rows_is_an_error() -> None:
    with pytest.raises(OrderError):
        listed([page({"key": b"a", "size": 1}), page(b"b"), page({"key": b"a", "size": 2})], KeyOrder.NONE)


def test_a_listing_that_was_left_early_has_not_ended() -> None:
    with running() as shared:
        listing = Listing(
            Told([page(b"a"), page(b"b")], KeyOrder.BYTES, shared), Rules.parse(()), follow=True
        )  # fmt: skip

        async def work() -> None:
            pages = listing.pages()
            await anext(pages)
            await pages.aclose()  # type: ignore[attr-defined]

        run(work())
        assert not listing.ended


@pytest.mark.parametrize("follow", [False, True])
def test_links_are_followed_where_that_is_said(follow: bool) -> None:
    with running() as shared:
        storage = Told([page(b"a")], KeyOrder.BYTES, shared)
        gathered(Listing(storage, Rules.parse(()), follow=follow).pages())
        assert storage.asked == [follow]


def test_rows_of_a_kind() -> None:
    batch = page(*({"key": b"%d" % kind, "kind": kind} for kind in Kind))
    assert [row["kind"] for row in rows_of([of_kind(batch, Kind.FILE, Kind.OTHER)])] == [Kind.FILE, Kind.OTHER]
    assert of_kind(batch, *Kind) is batch
    assert of_kind(batch, Kind.LINK).num_rows == 1
    assert of_kind(page(b"a"), Kind.LINK).num_rows == 0
