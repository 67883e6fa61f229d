"""Prove a copy: read back what was written, and ask both ends whether they still are what was copied."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fsync.errors import ObjectError, ShortRead, SourceChanged, SourceVanished, VerifyError, WrongCopy
from fsync.pacing import describe
from fsync.storage.base import Storage
from fsync.storage.entry import Entry
from fsync.storage.partial import WRONG
from fsync.storage.passed import Passed
from fsync.transfer.content import same_content
from fsync.transfer.parts import Part, at_once, parts_of

#: what reading a version that is no longer there raises: at a destination it means that the copy is not what it was
_NOT_THERE = (ShortRead, SourceChanged, SourceVanished)


async def read_back(destination: Storage, entry: Entry, passed: Passed) -> None:
    """Read an object that was written under its final name; raises WrongCopy if it is not what passed."""

    async def holds(found: Entry) -> bool:
        try:
            return await _holds(destination, found, passed)
        except _NOT_THERE:
            return False

    await _looked_at_twice(destination, entry, holds)


async def compare(source: Storage, destination: Storage, entry: Entry) -> None:
    """Read a source and the copy that its store made of it; raises WrongCopy if they differ."""

    async def holds(found: Entry) -> bool:
        try:
            return await destination.running.retried(lambda: same_content(source, entry, destination, found))
        except _NOT_THERE:
            await _check_source(source, entry)
            return False

    await _looked_at_twice(destination, entry, holds)


async def check_unchanged(source: Storage, destination: Storage, entry: Entry) -> None:
    """Hold both ends of a finished copy against what was listed, as ``--check-change`` wants it.

    Raises SourceChanged, ObjectError where the source is gone, WrongCopy where the copy has another size.
    """
    await _check_source(source, entry)
    there = await destination.entry(entry.key)
    if there is None or there.size != entry.size:
        raise WrongCopy("what was written has another length than its source", _version(there))


async def withdraw(source: Storage, destination: Storage, entry: Entry, error: WrongCopy) -> str:
    """Remove a wrong copy, which under its name would pass for the source's; return what became of it, in words.

    It stays where the source is gone, because then there may be nothing better, and where it is another's by now.
    """
    try:
        if await source.entry(entry.key) is None:
            return "it was left there, because the source is gone"
        there = await destination.entry(entry.key)
        if there is None:
            return "it is gone"
        if _version(there) != error.version:
            return "it was left there, because it was written anew since"
        (failed,) = await destination.delete([there])
        if failed is not None:
            raise failed
    except Exception as second:
        return f"it could not be removed: {describe(second)}"
    return "it was removed"


async def _looked_at_twice(destination: Storage, entry: Entry, holds: Callable[[Entry], Awaitable[bool]]) -> None:
    """Raise WrongCopy if two looks find something else: one alone may be the fault of the reading."""
    found: Entry | None = None
    for _ in range(2):
        found = await destination.entry(entry.key)
        if found is not None and found.size == entry.size and await holds(found):
            return
    raise WrongCopy(WRONG, _version(found))


async def _holds(destination: Storage, found: Entry, passed: Passed) -> bool:
    running = destination.running
    if destination.ranged:

        async def check(part: Part) -> None:
            async with running.buffers.claim(part.length):
                data = await running.retried(lambda: destination.part(found, part.offset, part.length))
                if not passed.matches(part.number, data):
                    raise VerifyError("a part is not what was written")

        try:
            await at_once(running, parts_of(found.size or 0, passed.part_size), check)
        except VerifyError:
            return False
        return True
    number = 0
    async with running.buffers.claim(min(passed.part_size, found.size or 0)):
        async for data in destination.parts(found, passed.part_size):
            if not passed.matches(number, data):
                return False
            number += 1
    return True


async def _check_source(source: Storage, entry: Entry) -> None:
    """Raise unless the source has the facts that the entry was copied by; times at the precision of its listing."""
    now = await source.entry(entry.key)
    if now is None:
        raise ObjectError("the source was removed while it was copied")
    times = now.mtime is None or entry.mtime is None or abs(now.mtime - entry.mtime) < source.traits.mtime_tick
    versions = not now.etag or not entry.etag or now.etag.strip('"') == entry.etag.strip('"')
    if now.size != entry.size or not times or not versions:
        raise SourceChanged("the source changed while it was copied")


def _version(entry: Entry | None) -> tuple[object, ...] | None:
    return None if entry is None else (entry.size, entry.mtime, entry.etag)
