"""Move one object: inside the store where both ends are in it, else through this process."""

from __future__ import annotations

import asyncio
import errno
import itertools
import logging
import threading

from fsync.errors import ShortRead, SourceChanged, printable
from fsync.pacing import describe
from fsync.storage.base import Storage
from fsync.storage.entry import Entry
from fsync.storage.passed import Passed
from fsync.storage.running import Large
from fsync.storage.upload import Upload
from fsync.traits import Rename
from fsync.transfer.parts import Part, at_once, parts_of
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
    passed = Passed(upload.part_size) if destination.running.check_new else None
    large = destination.running.large
    large[entry.key] = Large(entry.size or 0)
    try:
        if upload.parallel and source.ranged:
            await _parts_at_once(source, destination, entry, upload, passed)
        else:
            await _parts_in_order(source, destination, entry, upload, passed)
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


async def _parts_at_once(
    source: Storage, destination: Storage, entry: Entry, upload: Upload, passed: Passed | None
) -> None:
    """Fetch and write parts in any order, a few at a time; each is tried again on its own.

    Parts that an earlier run has written are read only where they are to be read back.
    """
    assert entry.size is not None
    running = destination.running
    # where nobody looks at the bytes on their way, nobody has to wait for a whole part
    flowing = upload.blocking and passed is None and not running.rate

    async def carry(part: Part) -> None:
        async with running.buffers.claim(part.length):
            if flowing and source.flow(entry, part.offset, part.length) is not None:
                await running.retried(lambda: running.in_pool(_pour, source, entry, upload, part, running.stop))
                running.wrote(entry.key, part.length)
                return
            data = await running.retried(lambda: source.part(entry, part.offset, part.length))
            if passed is not None:
                passed.note(part.number, data)
            if part.number in upload.present:
                return
            await running.pass_on(part.length)
            attempts = itertools.count()

            async def write() -> None:
                next(attempts)
                await upload.write(part.number, data)

            await running.retried(write)
            running.wrote(entry.key, part.length)
            if next(attempts) == 1:
                # an attempt that failed may be reading it still, and its connection be open
                source.give_back(data)

    parts = parts_of(entry.size, upload.part_size)
    wanted = (part for part in parts if passed is not None or part.number not in upload.present)
    await at_once(running, wanted, carry)


def _pour(source: Storage, entry: Entry, upload: Upload, part: Part, stop: threading.Event) -> None:
    """Read a part and write it piece by piece, on one thread; ShortRead if it is not whole."""
    pieces = source.flow(entry, part.offset, part.length)
    assert pieces is not None
    written = 0
    for piece in pieces:
        if stop.is_set():
            raise OSError(errno.ECANCELED, "the run was stopped")
        if written + len(piece) > part.length:
            raise ShortRead(f"the server sends more than a range of {part.length} bytes")
        upload.write_now(part.number, piece, written)
        written += len(piece)
    if written != part.length:
        raise ShortRead(f"read {written} bytes of a range of {part.length}")


async def _parts_in_order(
    source: Storage, destination: Storage, entry: Entry, upload: Upload, passed: Passed | None
) -> None:
    """Stream an object part by part; its version is compared at the end, because nothing pins it meanwhile."""
    number = 0
    length = 0
    async with destination.running.buffers.claim(upload.part_size):
        async for data in source.parts(entry, upload.part_size):
            await destination.running.pass_on(len(data))
            if passed is not None:
                passed.note(number, data)
            await upload.write(number, data)
            destination.running.wrote(entry.key, len(data))
            number += 1
            length += len(data)
    if length != entry.size:
        raise ShortRead(f"read {length} bytes where the listing said {entry.size}")
    now = await source.entry(entry.key)
    if now is None or (now.size, now.etag, now.mtime) != (entry.size, entry.etag, entry.mtime):
        raise SourceChanged("the source changed while it was being read")
