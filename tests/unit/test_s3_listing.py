"""The answers of one S3 listing come in turn, the next one asked for while one is worked on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fsync.address import parse
from fsync.errors import ListingError
from fsync.storage.s3_listing import answers

ADDRESS = parse("s3://bucket/")


class Server:
    """Answers with one key a page; ``at`` is the page that fails."""

    def __init__(self, pages: int, at: int | None = None) -> None:
        self._pages, self._at = pages, at
        self.asked: list[str | None] = []
        self.given_up = 0
        self.open = asyncio.Event()
        self.open.set()

    async def ask(self, **arguments: str) -> dict[str, Any]:
        """Answer one request."""
        token = arguments.get("ContinuationToken")
        self.asked.append(token)
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        number = int(token or 0)
        if number == self._at:
            raise ListingError("no more")
        more = {"IsTruncated": True, "NextContinuationToken": str(number + 1)} if number + 1 < self._pages else {}
        return {"Contents": [{"Key": f"k{number}", "Size": 1}], **more}


def test_the_next_answer_is_asked_for_before_one_is_worked_on() -> None:
    async def look() -> None:
        server = Server(3)
        keys = []
        async for _, columns in answers(server.ask, ADDRESS, {}):
            keys += columns.key
            assert server.asked == [None, "1", "2"][: len(keys) + 1]
        assert keys == [b"k0", b"k1", b"k2"]

    asyncio.run(look())


def test_a_listing_that_is_dropped_leaves_no_request_behind() -> None:
    async def look() -> None:
        server = Server(3)
        found = answers(server.ask, ADDRESS, {})
        await anext(found)
        server.open.clear()
        await anext(found)
        await found.aclose()
        assert (server.asked, server.given_up) == ([None, "1", "2"], 1)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(look())


def test_an_error_comes_in_its_place_and_is_nobodys_if_nobody_waits() -> None:
    async def look() -> None:
        found = answers(Server(3, at=2).ask, ADDRESS, {})
        keys = [(await anext(found))[1].key for _ in range(2)]
        assert keys == [[b"k0"], [b"k1"]]
        with pytest.raises(ListingError, match="no more"):
            await anext(found)
        complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        found = answers(Server(3, at=1).ask, ADDRESS, {})
        await anext(found)
        await asyncio.sleep(0)
        await found.aclose()
        assert complaints == []

    asyncio.run(look())


def test_a_place_that_repeats_itself_is_an_error_after_its_rows() -> None:
    async def ask(**_: str) -> dict[str, Any]:
        return {"Contents": [{"Key": "k", "Size": 1}], "IsTruncated": True, "NextContinuationToken": "here"}

    async def look() -> None:
        found = answers(ask, ADDRESS, {})
        assert [(await anext(found))[1].key for _ in range(2)] == [[b"k"], [b"k"]]
        with pytest.raises(ListingError, match="how the listing goes on"):
            await anext(found)

    asyncio.run(look())
