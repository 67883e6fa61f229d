"""Move one object: inside the store where both ends are in it, else through this process."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterator

from fsync.errors import ShortRead, SourceChanged, VerifyError, printable
from fsync.pacing import describe
from fsync.storage.base import Entry, Storage, Upload
from fsync.storage.running import Large

_log = logging.getLogger("fsync")

#: objects up to this size are read and written in one request each
SMALL = 8 << 20
#: bytes read at once to compare
_CHUNK = 4 << 20
#: parts of one object under way at once
_PARTS = 8


async def move(source: Storage, destination: Storage, entry: Entry) -> str:
    """Copy one object, once, to its final name; return what verified it.

    Whatever goes wrong, the final name holds what it held before, or the whole new object.
    """
    assert entry.size is not None
    if destination.same_store(source):
        return await destination.server_copy(source, entry)
    if entry.size <= SMALL:
        async with destination.running.buffers.claim(entry.size):
            data = await source.read(entry)
            await destination.running.pass_on(len(data))
            verified = await destination.put(entry, data)
            destination.running.wrote(entry.key, len(data))
            return verified
    return await _move_parts(source, destination, entry)


async def _move_parts(source: Storage, destination: Storage, entry: Entry) -> str:
    if source.ranged and (present := await source.entry(entry.key)) is not None:
        # every part must be of this one version
        entry.metadata, entry.identity = present.metadata, present.identity
    upload = await destination.begin(entry)
    large = destination.running.large
    large[entry.key] = Large(entry.size or 0)
    try:
        if upload.parallel and source.ranged:
            await _parts_at_once(source, destination, entry, upload)
        else:
            await _parts_in_order(source, destination, entry, upload)
        return await upload.commit()
    except BaseException:
        await asyncio.shield(give_up(upload, entry))
        raise
    finally:
        large.pop(entry.key, None)


async def give_up(upload: Upload, entry: Entry) -> None:
    """Abort an upload after an error, which stays the one that is reported."""
    try:
        await upload.abort()
    except Exception as error:
        _log.warning("could not remove what was written of %s: %s", printable(entry.key), describe(error))


async def _parts_at_once(source: Storage, destination: Storage, entry: Entry, upload: Upload) -> None:
    """Fetch and write parts in any order, a few at a time; each is tried again on its own.

    The object's own slot carries one part after the other; further parts run beside it while there are free slots.
    """
    ranges = enumerate(_ranges(entry, upload.part_size))
    pending = ((number, span) for number, span in ranges if number not in upload.present)
    running = destination.running
    busy: set[asyncio.Task[None] | None] = set()

    async def carry(number: int, offset: int, length: int) -> None:
        async with running.buffers.claim(length):
            data = await running.retried(lambda: source.part(entry, offset, length))
            await running.pass_on(length)
            await running.retried(lambda: upload.write(number, data))
            running.wrote(entry.key, length)

    async def beside() -> None:
        while True:
            async with running.slots:
                item = next(pending, None)
                if item is None:
                    return
                busy.add(asyncio.current_task())
                await carry(item[0], *item[1])
                busy.discard(asyncio.current_task())

    helpers = [asyncio.ensure_future(beside()) for _ in range(min(_PARTS, running.threads) - 1)]
    try:
        for number, (offset, length) in pending:
            await carry(number, offset, length)
        await asyncio.gather(*(helper for helper in helpers if helper in busy or helper.done()))
    finally:
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)


async def _parts_in_order(source: Storage, destination: Storage, entry: Entry, upload: Upload) -> None:
    """Stream an object part by part; its version is compared at the end, because nothing pins it meanwhile."""
    number = 0
    length = 0
    async with destination.running.buffers.claim(upload.part_size):
        async for data in source.parts(entry, upload.part_size):
            await destination.running.pass_on(len(data))
            await upload.write(number, data)
            destination.running.wrote(entry.key, len(data))
            number += 1
            length += len(data)
    if length != entry.size:
        raise ShortRead(f"read {length} bytes where the listing said {entry.size}")
    now = await source.entry(entry.key)
    if now is None or (now.size, now.etag, now.mtime) != (entry.size, entry.etag, entry.mtime):
        raise SourceChanged("the source changed while it was being read")


def _ranges(entry: Entry, part_size: int) -> Iterator[tuple[int, int]]:
    assert entry.size is not None
    for offset in range(0, entry.size, part_size):
        yield offset, min(part_size, entry.size - offset)


async def compare(source: Storage, destination: Storage, entry: Entry) -> str:
    """Read a copied object back and compare it with its source; raises VerifyError where they differ."""
    written = await destination.entry(entry.key)
    if written is None or written.size != entry.size:
        raise VerifyError("what was written has another length than its source")
    digests = [await _digest(end, one) for end, one in ((source, entry), (destination, written))]
    if digests[0] != digests[1]:
        raise VerifyError("what was written is not what its source holds")
    return "read"


async def _digest(storage: Storage, entry: Entry) -> bytes:
    digest = hashlib.blake2b()
    async for data in storage.parts(entry, _CHUNK):
        digest.update(data)
    return digest.digest()
