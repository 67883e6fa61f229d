"""Keys listed by ranges are the keys that one request after the other gives, whatever was guessed of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fsync.address import parse
from fsync.errors import ListingError
from fsync.keyrange import EVERY_KEY, KeyRange
from fsync.storage.s3_ranges import following
from fsync.storage.s3_shards import Shards
from tests.strategies import keys
from tests.unit.pages import keys_of

ADDRESS = parse("s3://bucket/")


class Server:
    """Lists keys by their bytes, ``rows`` an answer, as ListObjectsV2 does; counts requests."""

    def __init__(self, names: Iterable[bytes], rows: int) -> None:
        self._names, self._rows = sorted(names), rows
        self.asked = self.under_way = self.most = 0

    async def ask(self, Prefix: str, **more: str) -> dict[str, Any]:  # noqa: N803 - it is S3's name
        """Answer one request."""
        self.asked += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        prefix = Prefix.encode()
        entries = [(name, False) for name in self._names if name.startswith(prefix)]
        if "Delimiter" in more:
            cuts = [name.find(b"/", len(prefix)) + 1 for name, _ in entries]
            entries = sorted({(name[: cut or None], bool(cut)) for (name, _), cut in zip(entries, cuts, strict=True)})
        after = (more.get("ContinuationToken") or more.get("StartAfter") or "").encode()
        left = [entry for entry in entries if entry[0] > after]
        shown = left[: self._rows]
        more_follow = {"IsTruncated": True, "NextContinuationToken": shown[-1][0].decode()} if left != shown else {}
        return {
            "Contents": [{"Key": name.decode(), "Size": 1} for name, is_prefix in shown if not is_prefix],
            "CommonPrefixes": [{"Prefix": name.decode()} for name, is_prefix in shown if is_prefix],
            **more_follow,
        }


def listed(server: Server, at_once: int, within: KeyRange = EVERY_KEY, depth: int = 1) -> list[bytes]:
    async def look() -> list[bytes]:
        shards = Shards(server.ask, "", ADDRESS, within, ordered=True, at_once=at_once, depth=depth)
        found = [page async for page in shards.pages()]
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return keys_of(found)

    return asyncio.run(look())


spread = st.one_of(
    st.sets(keys(), max_size=60),
    st.sets(st.integers(0, 5000), max_size=120).map(lambda numbers: {b"f%05d" % number for number in numbers}),
    st.sets(st.integers(0, 2**64), max_size=120).map(lambda numbers: {b"k/%x" % number for number in numbers}),
    st.sets(st.text("ab\u00e9\U0001f600", max_size=9), max_size=120).map(
        lambda names: {f"p{name}".encode() for name in names}
    ),
)


@given(spread, st.integers(1, 7), st.integers(2, 6), st.integers(0, 2))
@example({b"f%05d" % number for number in range(0, 5000, 3)}, 7, 6, 1)
@example({b"a" * number for number in range(1, 90)}, 3, 4, 0)
def test_ranges_hold_every_key_once_and_in_order(names: set[bytes], rows: int, at_once: int, depth: int) -> None:
    server = Server(names, rows)
    assert listed(server, at_once, depth=depth) == sorted(names)
    assert server.most <= at_once


@given(spread, st.integers(1, 7), st.data())
def test_a_bounded_listing_holds_what_is_inside(names: set[bytes], rows: int, data: st.DataObject) -> None:
    some = st.none() | st.sampled_from(sorted(names) or [b"x"])
    within = KeyRange(data.draw(some), data.draw(some))
    found = [key for key in listed(Server(names, rows), 3, within) if within.holds(key)]
    assert found == [key for key in sorted(names) if within.holds(key)]


@pytest.mark.parametrize(
    "name",
    [b"f%08d", b"data/2026/%08x.parquet", b"%d", b"\xc3\xa9/%05d"],
    ids=["decimal", "hexadecimal", "ragged", "not-ascii"],
)
def test_evenly_spread_keys_are_asked_for_at_once(name: bytes) -> None:
    names = {name % (number * 17) for number in range(20_000)}
    alone = -(-len(names) // 100)
    server = Server(names, 100)
    assert listed(server, 8) == sorted(names)
    assert server.most == 8
    # a page more for each range, and no more than that
    assert server.asked < 2 * alone


def test_a_guess_that_is_wrong_costs_little() -> None:
    # a thousand keys close together, then each far from the last
    names = {b"a%020d" % number for number in range(1000)} | {b"b%020d" % 3**number for number in range(40)}
    server = Server(names, 10)
    assert listed(server, 8) == sorted(names)
    assert server.asked < 3 * len(names) / 10


def test_a_server_that_does_not_keep_the_order_is_an_error() -> None:
    server = Server([b"a", b"b", b"c"], 2)

    async def swapped(**place: str) -> dict[str, Any]:
        answer = await server.ask(**place)
        return {**answer, "Contents": answer["Contents"][::-1]}

    async def look() -> None:
        shards = Shards(swapped, "", ADDRESS, ordered=True, at_once=2, depth=0)
        with pytest.raises(ListingError, match="leave out --list-threads"):
            _ = [page async for page in shards.pages()]

    asyncio.run(look())


@given(st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=30), st.integers(1, 20))
def test_places_lie_in_order_behind_the_page(texts: set[str], most: int) -> None:
    page = sorted(text.encode("utf-8", "replace") for text in texts)
    places = following(page, 0, None, most)
    assert len(places) <= most
    assert [page[-1], *places] == sorted({page[-1], *places})
    end = places[len(places) // 2] if places else None
    assert all(end is None or place < end for place in following(page, 0, end, most))
