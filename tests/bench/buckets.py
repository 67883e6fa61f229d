"""The harness's own view of an S3 server, through none of the programs in the race."""

from __future__ import annotations

import asyncio
from pathlib import Path

import obstore
from obstore.store import S3Store

from tests.bench.datasets import Dataset, Found
from tests.bench.programs import Place
from tests.servers.s3 import REGION, S3Server

_IN_FLIGHT = 32
#: what every tree in a bucket lies below
PREFIX = "tree/"


class Bucket:
    """One bucket of a server; making it has the server prepare the room for its first objects."""

    def __init__(self, server: S3Server, name: str) -> None:
        self.server, self.name = server, server.make_bucket(name)
        self.place = Place(f"{name}/{PREFIX}", server.host)
        self._store = S3Store(
            name,
            endpoint=server.endpoint,
            access_key_id=server.key,
            secret_access_key=server.secret,
            region=REGION,
            client_options={"allow_http": True},
        )
        for number in range(_IN_FLIGHT):
            obstore.put(self._store, f"warm/{number}", b"-")

    def fill(self, dataset: Dataset, directory: Path) -> None:
        """Put a tree that stands in a directory under the prefix."""

        async def put(numbers: range) -> None:
            for number in numbers:
                key = dataset.key(number)
                await obstore.put_async(self._store, PREFIX + key, directory / key)

        async def put_all() -> None:
            await asyncio.gather(*(put(range(first, dataset.files, _IN_FLIGHT)) for first in range(_IN_FLIGHT)))

        asyncio.run(put_all())

    def found(self) -> Found:
        """Count what lies below the prefix."""
        files = size = 0
        for batch in obstore.list(self._store, PREFIX, chunk_size=5000):
            files += len(batch)
            size += sum(one["size"] for one in batch)
        return Found(files, size)

    def remove(self, key: str) -> None:
        """Remove one object of the tree."""
        obstore.delete(self._store, PREFIX + key)

    def restore(self, key: str, directory: Path) -> None:
        """Put one object back from the tree in a directory."""
        obstore.put(self._store, PREFIX + key, directory / key)

    def drop(self) -> None:
        """Remove the bucket with all it holds, in one request."""
        self.server.client().delete_bucket(Bucket=self.name)
