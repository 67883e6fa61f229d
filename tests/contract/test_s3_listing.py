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
from fsync.storage import open_storage
from fsync.storage.s3 import S3Storage
from fsync.storage.s3_columns import COLUMNS
from tests.servers.s3 import S3Server
from tests.strategies import _HOSTILE
from tests.unit.pages import rows_of, running

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

    async def look(source: Any) -> tuple[list[dict[str, Any]], bool]:
        storage = await open_storage(source, shared)
        assert isinstance(storage, S3Storage)
        answer = await storage.call_s3("list_objects_v2", Prefix=below)
        try:
            return rows_of([page async for page in storage.pages()]), COLUMNS in answer
        finally:
            await storage.close()

    own = s3fs.S3FileSystem(**s3_server.storage_options, skip_instance_cache=True)
    with running() as shared:
        fast, taken = run(look(parse(f"s3://{name}/{below}", options=s3_server.storage_options)))
        slow, untaken = run(look(parse((own, f"{name}/{below}"))))
    assert taken
    assert not untaken
    assert fast == slow
    assert len({row["key"] for row in fast}) == len(fast)
    listed = {below.encode() + row["key"] for row in fast}
    if s3_server.name == "moto":
        assert listed == {key.encode() for key in held if key.startswith(below) and "\n" not in key}
