"""The bytes of one large object on their way into an upload: ranges of it side by side, or all in order."""

from __future__ import annotations

import errno
import itertools
import threading
from contextlib import closing

from fsync.errors import ShortRead, SourceChanged
from fsync.storage.base import Storage
from fsync.storage.entry import Entry
from fsync.storage.passed import Passed
from fsync.storage.running import Running
from fsync.storage.upload import FLOW, Upload
from fsync.transfer.parts import Part, at_once, parts_of

#: bytes of a range that is written as it comes: a request for each should not be felt
_STRETCH = 16 << 20


async def fill(source: Storage, running: Running, entry: Entry, upload: Upload, passed: Passed | None) -> None:
    """Read an object and write all of it into an upload, the quickest way that both ends offer.

    ``passed``, where it is given, takes note of every part. Raises SourceChanged or ShortRead for an object that is
    not what was listed.
    """
    # where nobody looks at the bytes on their way, nobody has to wait for a whole part
    if upload.blocking and passed is None and not running.rate and source.flow(entry, 0, 0) is not None:
        await _flows_at_once(source, running, entry, upload)
    elif upload.parallel and source.ranged:
        await _parts_at_once(source, running, entry, upload, passed)
    else:
        await _parts_in_order(source, running, entry, upload, passed)


async def _parts_at_once(
    source: Storage, running: Running, entry: Entry, upload: Upload, passed: Passed | None
) -> None:
    """Fetch and write parts in any order, a few at a time; each is tried again on its own.

    Parts that an earlier run has written are read only where they are to be read back.
    """
    assert entry.size is not None

    async def carry(part: Part) -> None:
        async with running.buffers.claim(part.length):
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


async def _flows_at_once(source: Storage, running: Running, entry: Entry, upload: Upload) -> None:
    """Write ranges as they come, a few at a time, each on one thread; each is tried again on its own."""
    assert entry.size is not None

    async def carry(part: Part) -> None:
        async with running.buffers.claim(FLOW):
            await running.retried(lambda: running.in_pool(_pour, source, entry, upload, part, running.stop))
            running.wrote(entry.key, part.length)

    await at_once(running, parts_of(entry.size, _STRETCH), carry)


def _pour(source: Storage, entry: Entry, upload: Upload, part: Part, stop: threading.Event) -> None:
    """Read a range and write it piece by piece, on one thread; ShortRead if it is not whole."""
    pieces = source.flow(entry, part.offset, part.length)
    assert pieces is not None
    written = 0
    with closing(pieces):
        for piece in pieces:
            if stop.is_set():
                raise OSError(errno.ECANCELED, "the run was stopped")
            if written + len(piece) > part.length:
                raise ShortRead(f"the server sends more than a range of {part.length} bytes")
            upload.write_now(piece, part.offset + written)
            written += len(piece)
    if written != part.length:
        raise ShortRead(f"read {written} bytes of a range of {part.length}")


async def _parts_in_order(
    source: Storage, running: Running, entry: Entry, upload: Upload, passed: Passed | None
) -> None:
    """Stream an object part by part; its version is compared at the end, because nothing pins it meanwhile."""
    number = 0
    length = 0
    async with running.buffers.claim(upload.part_size):
        async for data in source.parts(entry, upload.part_size):
            await running.pass_on(len(data))
            if passed is not None:
                passed.note(number, data)
            await upload.write(number, data)
            running.wrote(entry.key, len(data))
            number += 1
            length += len(data)
    if length != entry.size:
        raise ShortRead(f"read {length} bytes where the listing said {entry.size}")
    now = await source.entry(entry.key)
    if now is None or (now.size, now.etag, now.mtime) != (entry.size, entry.etag, entry.mtime):
        raise SourceChanged("the source changed while it was being read")
