"""Every registered fsspec protocol without a module of its own, through plain fsspec calls."""

from __future__ import annotations

from fsync.address import Address
from fsync.errors import BucketNotFound
from fsync.schemes import OBJECT_FAMILIES
from fsync.storage.base import Storage
from fsync.storage.entry import Presence
from fsync.storage.promises import generic_traits
from fsync.storage.running import Running


class GenericStorage(Storage):
    """A storage of which nothing is known but what fsspec's own interface promises.

    Times are taken as times of writing: plain fsspec has no way to set them.
    """

    def __init__(self, address: Address, running: Running) -> None:
        super().__init__(address, running)
        self.traits = generic_traits(address.family if address.family in OBJECT_FAMILIES else address.protocol)

    async def probe(self) -> Presence:
        """Tell what stands at the root; BucketNotFound where the bucket itself is missing."""
        found = await super().probe()
        bucket = self.address.bucket
        if found is Presence.NOTHING and bucket:
            try:
                await self.listing_call("info", bucket)
            except FileNotFoundError:
                raise BucketNotFound(
                    f"{self.address.given}: the bucket {bucket} does not exist; make it with the storage's own tools"
                ) from None
        return found
