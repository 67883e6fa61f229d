"""The storages: one module a family, loaded only when an address needs it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # the helper process that copies files imports this package and must not wait for pyarrow
    from fsync.address import Address
    from fsync.storage.base import Storage
    from fsync.storage.running import Running
    from fsync.traits import Traits

#: family of an address -> module and class; every other family is served by plain fsspec calls
_FAMILIES = {
    "local": ("fsync.storage.local", "LocalStorage"),
    "memory": ("fsync.storage.memory", "MemoryStorage"),
    "oss": ("fsync.storage.oss", "OssStorage"),
    "s3": ("fsync.storage.s3", "S3Storage"),
}


async def open_storage(address: Address, running: Running) -> Storage:
    """Open one end of a run; raises UsageError for a missing package or options that do not fit."""
    module, name = _FAMILIES.get(address.family, ("fsync.storage.generic", "GenericStorage"))
    storage: Storage = getattr(import_module(module), name)(address, running)
    await storage.open()
    return storage


def check_engine(engine: str, *ends: Address) -> None:
    """Refuse an engine that none of the ends has; what an end's options mean to it is looked at when it is opened."""
    if engine == "obstore" and not any(end.family == "s3" for end in ends):
        from fsync.errors import OptionError

        names = " nor ".join(end.given for end in ends)
        raise OptionError(f"--engine obstore: it carries the bytes of S3 objects, and neither {names} is on S3")


def traits_of(family: str) -> Traits:
    """Return what a family promises, without loading it or its package."""
    from fsync.storage.promises import PROMISES, generic_traits

    return PROMISES[family] if family in PROMISES else generic_traits(family)


def has_module(family: str) -> bool:
    """Tell whether a family has a module of its own; the others are served by plain fsspec calls."""
    return family in _FAMILIES
