"""What has become of a listed entry: asked right before something irrevocable depends on it."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from fsync.schema import Kind

if TYPE_CHECKING:
    from fsync.storage.base import Storage
    from fsync.storage.entry import Entry


class Standing(Enum):
    """What has become of a listed entry."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    GONE = "gone"
    #: only a link leads to it, which may lead out of the tree
    BEHIND_LINK = "behind a link"


async def standing_of(storage: Storage, entry: Entry) -> Standing | Exception:
    """Ask a storage for one entry and compare the facts; those that are None in ``entry`` are not compared."""
    try:
        async with storage.running.slots:
            if entry.kind is Kind.DIRECTORY:
                return Standing.UNCHANGED if await storage.exists(entry.key) else Standing.GONE
            now = await storage.entry(entry.key)
    except Exception as error:
        return error
    if now is None:
        return Standing.GONE
    if entry.size is not None and now.size != entry.size:
        return Standing.CHANGED
    if entry.etag is not None and now.etag is not None and now.etag != entry.etag:
        return Standing.CHANGED
    # a listing may tell times more precisely than the question for one object
    if entry.mtime is not None and (now.mtime is None or abs(now.mtime - entry.mtime) >= storage.traits.mtime_tick):
        return Standing.CHANGED
    return Standing.UNCHANGED
