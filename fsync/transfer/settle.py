"""Settle suspects: entries of equal size whose times cannot say whether they are the same."""

from __future__ import annotations

import asyncio

import pyarrow as pa
import pyarrow.compute as pc

from fsync.comparison import Comparison
from fsync.diff import decide, settled
from fsync.join import Window
from fsync.pacing import describe
from fsync.schema import PLAN, Kind, Reason, concatenate, page_from_columns
from fsync.storage.base import Storage
from fsync.storage.entry import Entry
from fsync.storage.upload import Hasher
from fsync.transfer.batch import entries_of
from fsync.transfer.content import same_content

_CHUNK = 1 << 20


async def settle_batch(
    source: Storage, destination: Storage, batch: pa.RecordBatch, comparison: Comparison
) -> tuple[pa.RecordBatch, dict[bytes, str]]:
    """Return the suspects of a PLAN batch with their verdict, in the same order, and why some could not be read.

    An entry is the same if one side's bytes hash to what the other side's listing says; under ``--checksum`` both are
    read where that does not settle it, under ``--check-all`` always. Else a source whose reading costs as much as
    copying is not read: its suspects are copied. What could not be read counts as different.
    """
    pairs = zip(entries_of(batch), entries_of(batch, "dst_"), strict=True)
    found = await asyncio.gather(*(_judged(source, destination, mine, theirs, comparison) for mine, theirs in pairs))
    keys = batch.column("key").to_pylist()
    unread = {key: one for key, one in zip(keys, found, strict=True) if isinstance(one, str)}
    otherwise = Reason.DIGEST if comparison.reads else Reason.MTIME
    same = pa.array([one is True for one in found], pa.bool_())
    return settled(batch, same, otherwise, comparison), unread


async def _judged(
    source: Storage, destination: Storage, mine: Entry, theirs: Entry, comparison: Comparison
) -> bool | str:
    """Tell whether a pair is the same, or why that cannot be told."""
    if mine.size is None or mine.size != theirs.size:
        return False
    retried = destination.running.retried
    async with destination.running.slots:
        try:
            if not comparison.check_all and await retried(
                lambda: _same_digest(source, mine, destination, theirs, comparison)
            ):
                return True
            return comparison.reads and await retried(lambda: same_content(source, mine, destination, theirs))
        except Exception as error:
            # a run that copies meets it again, and reports it, when the entry is copied
            return describe(error)


async def _same_digest(
    source: Storage, mine: Entry, destination: Storage, theirs: Entry, comparison: Comparison
) -> bool:
    """Tell whether the bytes of one side hash to the other side's ETag; a no proves nothing.

    Without a rule that reads, only a side whose reading is much cheaper than copying is hashed.
    """
    sides = ((source, mine, destination, theirs), (destination, theirs, source, mine))
    for end, entry, other, told in sorted(sides, key=lambda side: not side[0].near):
        hasher = other.hasher(told.etag, told.size or 0) if told.etag and (end.near or comparison.reads) else None
        if hasher is not None:
            return await _hash(end, entry, hasher) == told.etag
    return False


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
