"""Every registered fsspec protocol without a module of its own, through plain fsspec calls."""

from __future__ import annotations

from fsync.address import Address
from fsync.storage.base import Storage
from fsync.storage.running import Running
from fsync.traits import KeyOrder, MtimeKind, Traits

#: families that hold objects under keys, not files in directories
_OBJECTS = {"oss", "cos", "gcs", "azure"}


class GenericStorage(Storage):
    """A storage of which nothing is known but what fsspec's own interface promises.

    Times are taken as times of writing: plain fsspec has no way to set them.
    """

    def __init__(self, address: Address, running: Running) -> None:
        super().__init__(address, running)
        self.traits = generic_traits(address.family if address.family in _OBJECTS else address.protocol)


def generic_traits(family: str) -> Traits:
    """Return what plain fsspec calls promise for a family or protocol."""
    objects = family in _OBJECTS
    return Traits(
        family=family,
        file_like=not objects,
        key_order=KeyOrder.BYTES,
        mtime=MtimeKind.UPLOAD,
        mtime_tick=1_000_000_000,
        final_put=objects,
    )
