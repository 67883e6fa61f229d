"""Settle suspects: entries of equal size whose times cannot say whether they are the same."""

from __future__ import annotations

import asyncio
import hashlib

import pyarrow as pa
import pyarrow.compute as pc

from fsync.comparison import Comparison
from fsync.diff import decide, settled
from fsync.join import Window
from fsync.schema import PLAN, Kind, Reason, concatenate, page_from_columns
from fsync.storage.base import Entry, Hasher, Storage
from fsync.transfer.batch import entries_of

_CHUNK = 1 << 20


async def settle_batch(
    source: Storage, destination: Storage, batch: pa.RecordBatch, comparison: Comparison
) -> pa.RecordBatch:
    """Return the suspects of a PLAN batch with their verdict, in the same order.

    An entry is the same if the source's bytes hash to what the destination's listing says; under ``--checksum`` both
    are read where the listing says nothing. Else a source whose reading costs as much as copying is not read: its
    suspects are copied.
    """
    read_both = comparison.checksum
    pairs = zip(entries_of(batch), entries_of(batch, "dst_"), strict=True)
    same = await asyncio.gather(*(_same(source, destination, mine, theirs, read_both) for mine, theirs in pairs))
    otherwise = Reason.DIGEST if read_both else Reason.MTIME
    return settled(batch, pa.array(same, pa.bool_()), otherwise, comparison)


async def _same(source: Storage, destination: Storage, mine: Entry, theirs: Entry, read_both: bool) -> bool:
    if mine.size is None or mine.size != theirs.size:
        return False
    hasher = destination.hasher(theirs.etag, mine.size) if theirs.etag else None
    if hasher is None and not read_both:
        return False
    if not (source.near or read_both):
        return False
    async with destination.running.slots:
        try:
            if hasher is not None and await _hash(source, mine, hasher) == theirs.etag:
                return True
            if not read_both:
                return False
            digests = [
                await _hash(end, entry, hashlib.sha256()) for end, entry in ((source, mine), (destination, theirs))
            ]
        except Exception:
            # whatever keeps an entry from being compared is met again, and reported, when it is copied
            return False
    return digests[0] == digests[1]


async def _hash(storage: Storage, entry: Entry, hasher: Hasher) -> str:
    async for data in storage.parts(entry, _CHUNK):
        hasher.update(data)
    return hasher.hexdigest()


async def fill_unknown(
    source: Storage, destination: Storage, rows: pa.RecordBatch, comparison: Comparison
) -> pa.RecordBatch:
    """Compare entries again whose listing lacks size or time, with what one ``info`` of each side says.

    What stays unknown keeps the reason UNKNOWN and is copied.
    """
    if not rows.num_rows:
        return rows
    keys = rows.column("key").to_pylist()
    sides = []
    for storage in (source, destination):
        found = await asyncio.gather(*(_ask(storage, key) for key in keys))
        present = [entry for entry in found if entry is not None]
        sides.append(
            page_from_columns(
                {
                    "key": [entry.key for entry in present],
                    "kind": [int(Kind.FILE)] * len(present),
                    "size": [entry.size for entry in present],
                    "mtime": [entry.mtime for entry in present],
                    "etag": [entry.etag for entry in present],
                    "digest": [entry.digest for entry in present],
                },
                len(present),
            )
        )
    again = decide(Window(*sides), comparison).rows
    gone = pc.invert(pc.is_in(rows.column("key"), again.column("key")))
    return concatenate([again, rows.filter(gone)], PLAN)


async def _ask(storage: Storage, key: bytes) -> Entry | None:
    async with storage.running.slots:
        return await storage.entry(key)
