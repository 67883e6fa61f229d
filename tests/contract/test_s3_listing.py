"""Listings of real S3 servers: every key as it is, whichever parser reads the page."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
import s3fs
from botocore.exceptions import BotoCoreError, ClientError

from fsync.address import parse
from fsync.api import run
from fsync.errors import AccessDenied, ListingError
from fsync.storage import open_storage
from fsync.storage.running import Running
from fsync.storage.s3 import S3Storage
from fsync.storage.s3_columns import COLUMNS
from fsync.traits import KeyOrder
from tests.servers.s3 import S3Server
from tests.strategies import _HOSTILE
from tests.unit.pages import keys_of, rows_of, running

KEYS = [
    *("a", "a-", "a//b", "a//", "a/", "a/x", "a0", "b/", "b/b/", "b/b/c", "b0", "c", "c/d", "d//x", "dir/marker/"),
    *("/lead", "lead", "//", "end/", "z+z", "z z", "&amp;", "&lt;", "<Key>", "</Contents>", "\u00e9\u00e9/\u65e5", "+"),
    *(f"h/{name}" for name in _HOSTILE),
    *(f"h/{name}/x" for name in _HOSTILE[::3]),
]


def filled(server: S3Server, bucket: str, keys: Iterable[str]) -> list[str]:
    """Put objects under these keys, those ending in ``/`` without bytes; return the keys that the server took."""
    client = server.client()

    def put(key: str) -> str | None:
        with suppress(ClientError, BotoCoreError):
            client.put_object(Bucket=bucket, Key=key, Body=b"" if key.endswith("/") else b"x" * (len(key) % 5))
            return key
        return None

    with ThreadPoolExecutor(8) as pool:
        return [key for key in pool.map(put, keys) if key is not None]


@functools.cache
def full(server: S3Server) -> tuple[str, list[str]]:
    """Return a bucket that stays for all tests, and the keys in it."""
    name = server.make_bucket("hostile-keys")
    return name, filled(server, name, KEYS)


@pytest.mark.parametrize("below", ["", "a", "a/", "h/", "d", "b/", "\u00e9", "h/%"])
def test_both_parsers_give_the_same_rows(s3_server: S3Server, below: str) -> None:
    name, held = full(s3_server)

    async def look(source: Any, shared: Running) -> tuple[list[dict[str, Any]], bool]:
        storage = await open_storage(source, shared)
        assert isinstance(storage, S3Storage)
        answer = await storage.call_s3("list_objects_v2", Prefix=below)
        try:
            return rows_of([page async for page in storage.pages()]), COLUMNS in answer
        finally:
            await storage.close()

    own = s3fs.S3FileSystem(**s3_server.storage_options, skip_instance_cache=True)
    with running() as shared, running(engine="fsspec") as by_s3fs:
        address = parse(f"s3://{name}/{below}", options=s3_server.storage_options)
        fast, taken = run(look(address, shared))
        assert run(look(address, by_s3fs)) == (fast, taken)
        slow, untaken = run(look(parse((own, f"{name}/{below}")), by_s3fs))
    assert taken
    assert not untaken
    assert fast == slow
    assert len({row["key"] for row in fast}) == len(fast)
    listed = {below.encode() + row["key"] for row in fast}
    if s3_server.name == "moto":
        assert listed == {key.encode() for key in held if key.startswith(below) and "\n" not in key}


# several requests at once --------------------------------------------------------------------------------------


@pytest.mark.parametrize("below", ["", "a", "b/", "b/b/", "h/"])
def test_pages_and_shards_of_any_size_give_the_same(s3_server: S3Server, below: str) -> None:
    name, _ = full(s3_server)

    async def look(storage: S3Storage, rows: int, *, ordered: bool) -> list[dict[str, Any]]:
        if ordered:
            await storage.probe()
            storage._order(KeyOrder.BYTES)
        # pages of a few keys, so that levels, shards and ranges end in the middle of pages
        storage.call_s3 = functools.partial(storage.call_s3, MaxKeys=rows)  # type: ignore[method-assign]
        return rows_of([page async for page in storage.pages()])

    async def compare() -> None:
        found = []
        # the first are all in one page, which nothing can get lost between
        for rows, shared.list_threads, shared.list_depth, ordered in (
            (1000, 1, 1, False), (1, 1, 1, False), (2, 1, 1, False), (5, 1, 1, False),
            (1000, 2, 1, False), (5, 4, 2, False), (2, 8, 5, False), (5, 4, 1, True), (2, 8, 2, True), (2, 3, 0, True),
        ):  # fmt: skip
            if ordered and s3_server.name != "moto":
                # SeaweedFS lists by directories
                continue
            storage = await open_storage(parse(f"s3://{name}/{below}", options=s3_server.storage_options), shared)
            assert isinstance(storage, S3Storage)
            try:
                found.append(await look(storage, rows, ordered=ordered))
            except ListingError as error:
                # tiny pages end at names that XML cannot hold: SeaweedFS is then left loudly, never with a key less
                if "SeaweedFS does not say where" not in str(error) or rows == 1000 or below not in ("", "h/"):
                    raise
            finally:
                await storage.close()
        one, *others = found
        assert others
        assert below in ("", "h/") or len(others) == (9 if s3_server.name == "moto" else 6)
        assert len({row["key"] for row in one}) == len(one) < 1000
        for other in others:
            if s3_server.name == "moto":
                assert other == one
            else:
                # the server lists by directories: the external sort comes next
                assert sorted(other, key=_by_key) == sorted(one, key=_by_key)

    with running() as shared:
        run(compare())


def _by_key(row: dict[str, Any]) -> bytes:
    key: bytes = row["key"]
    return key


def test_an_error_of_one_shard_is_the_listings(s3_server: S3Server) -> None:
    name, _ = full(s3_server)

    async def look() -> list[bytes]:
        storage = await open_storage(parse(f"s3://{name}/", options=s3_server.storage_options), shared)
        assert isinstance(storage, S3Storage)
        asked = storage.call_s3

        async def failing(method: str, **arguments: Any) -> dict[str, Any]:
            if arguments.get("Prefix") == "h/":
                raise PermissionError("refused")
            return await asked(method, **arguments)

        storage.call_s3 = failing  # type: ignore[method-assign]
        try:
            return keys_of([page async for page in storage.pages()])
        finally:
            await storage.close()

    with running(list_threads=4) as shared, pytest.raises(AccessDenied, match="refused"):
        run(look())
