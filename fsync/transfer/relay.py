"""Move one object: inside the store where both ends are in it, else through this process."""

from __future__ import annotations

import asyncio
import logging

from fsync.errors import printable
from fsync.pacing import describe
from fsync.storage.base import Storage
from fsync.storage.entry import Entry
from fsync.storage.passed import Passed
from fsync.storage.running import Large
from fsync.storage.upload import Upload
from fsync.traits import Rename
from fsync.transfer.large import fill
from fsync.transfer.parts import parts_of
from fsync.transfer.verify import compare, read_back

_log = logging.getLogger("fsync")

#: objects up to this size are read and written in one request each
SMALL = 8 << 20


async def move(source: Storage, destination: Storage, entry: Entry) -> str:
    """Copy one object, once, to its final name; return what verified it.

    Whatever goes wrong, the final name holds what it held before, or the whole new object. Where copies are to be
    read back, that happens before the object has its name if it can be renamed, else after it: raises VerifyError.
    """
    assert entry.size is not None
    running = destination.running
    if destination.same_store(source):
        verified = await destination.server_copy(source, entry)
        if running.check_new:
            await compare(source, destination, entry)
        return "read" if running.check_new else verified
    if entry.size <= SMALL:
        async with running.buffers.claim(entry.size):
            data = await source.read(entry)
            await running.pass_on(len(data))
            verified = await _put(destination, entry, data)
            running.wrote(entry.key, len(data))
        return verified
    return await _move_parts(source, destination, entry)


async def _put(destination: Storage, entry: Entry, data: bytes) -> str:
    """Write a small object, read back where that is wanted."""
    if not destination.running.check_new:
        return await destination.put(entry, data)
    passed = Passed(SMALL)
    if destination.traits.rename is not Rename.ATOMIC:
        passed.note(0, data)
        await destination.put(entry, data)
        await read_back(destination, entry, passed)
        return "read"
    upload = await destination.begin(entry)
    passed.part_size = upload.part_size
    try:
        for number, offset, length in parts_of(len(data), upload.part_size):
            passed.note(number, data[offset : offset + length])
            await upload.write(number, data[offset : offset + length])
        proven = await upload.check(passed)
        verified = await upload.commit()
    except BaseException:
        await asyncio.shield(give_up(upload, entry))
        raise
    return await _proven(destination, entry, passed, "read" if proven else verified)


async def _move_parts(source: Storage, destination: Storage, entry: Entry) -> str:
    if source.ranged and (present := await source.entry(entry.key)) is not None:
        # every part must be of this one version
        entry.metadata, entry.identity = present.metadata, present.identity
    upload = await destination.begin(entry)
    running = destination.running
    passed = Passed(upload.part_size) if running.check_new else None
    large = running.large
    large[entry.key] = Large(entry.size or 0)
    try:
        await fill(source, running, entry, upload, passed)
        proven = passed is not None and await upload.check(passed)
        verified = await upload.commit()
    except BaseException:
        await asyncio.shield(give_up(upload, entry))
        raise
    finally:
        large.pop(entry.key, None)
    return await _proven(destination, entry, passed, "read" if proven else verified)


async def _proven(destination: Storage, entry: Entry, passed: Passed | None, verified: str) -> str:
    """Read a finished object back unless that has been done or is not wanted; return what verified it."""
    if passed is None or verified == "read":
        return verified
    await read_back(destination, entry, passed)
    return "read"


async def give_up(upload: Upload, entry: Entry) -> None:
    """Abort an upload after an error, which stays the one that is reported."""
    try:
        await upload.abort()
    except Exception as error:
        _log.warning("could not remove what was written of %s: %s", printable(entry.key), describe(error))
