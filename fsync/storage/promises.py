"""What each storage family promises, told without loading the family: nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping

from fsync.schemes import OBJECT_FAMILIES
from fsync.traits import KeyOrder, MtimeKind, Rename, Traits

#: what the clock of file times may lag behind: the kernel stamps with its last tick
_KERNEL_TICK = 10_000_000

#: the families with a module of their own; one opened storage may turn out to promise more or less
PROMISES: Mapping[str, Traits] = {
    "local": Traits(
        family="local",
        file_like=True,
        key_order=KeyOrder.BYTES,
        mtime=MtimeKind.SETTABLE,
        mtime_tick=1,
        clock_error=_KERNEL_TICK,
        rename=Rename.ATOMIC,
        final_put=True,
        links=True,
        permissions=True,
    ),
    "memory": Traits(
        family="memory",
        file_like=True,
        key_order=KeyOrder.BYTES,
        mtime=MtimeKind.UPLOAD,
        mtime_tick=1_000,
        final_put=True,
    ),
    "s3": Traits(
        family="s3",
        file_like=False,
        key_order=KeyOrder.CHECKED,
        mtime=MtimeKind.UPLOAD,
        mtime_tick=1_000_000_000,
        final_put=True,
        server_side_copy=True,
        metadata=True,
        storage_classes=True,
        digest="md5",
    ),
}


def generic_traits(family: str) -> Traits:
    """Return what plain fsspec calls promise for a family or protocol."""
    objects = family in OBJECT_FAMILIES
    return Traits(
        family=family,
        file_like=not objects,
        key_order=KeyOrder.BYTES,
        mtime=MtimeKind.UPLOAD,
        mtime_tick=1_000_000_000,
        final_put=objects,
    )
