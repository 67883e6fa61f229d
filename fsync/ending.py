"""How a run ends: what was held back is copied, what may go is judged and removed, directories get their times."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pyarrow as pa

from fsync.clash import resolve_clashes
from fsync.deletion import check_limits, release, remove_emptied, strange_name
from fsync.diff import split_late
from fsync.ends import Ends
from fsync.errors import TypeClash
from fsync.executor import Executor
from fsync.removal import preview, release_sources
from fsync.spool import Spool
from fsync.transfer import Outcome, Status
from fsync.transfer.batch import entries_of

_NOT_LAST = "not copied: --last copies it only after everything else has succeeded"


async def copy_late(ends: Ends, executor: Executor, late: Spool) -> None:
    """Copy what changed within the current tick of a clock once that tick is over."""
    waiting = list(late)
    while waiting:
        await asyncio.sleep(0.05)
        again = []
        for batch in waiting:
            ready, rest = split_late(batch, ends.comparison, time.time_ns())
            await executor.submit(ready)
            if rest.num_rows:
                again.append(rest)
        waiting = again
    await executor.drain()


async def copy_last(ends: Ends, executor: Executor, doomed: Spool | None) -> set[bytes]:
    """Copy what ``--last`` has held back, if nothing has failed; return the extras that are gone thereby."""
    if ends.report.counts["failed"]:
        for batch in ends.last:
            keys = batch.column("key").to_pylist()
            executor.account(batch, [Outcome(key, Status.FAILED, error=_NOT_LAST) for key in keys])
        return set()
    await copy_late(ends, executor, ends.last)
    return await resolve_clashes(ends, executor, doomed)


def judged(ends: Ends, clashes: int = 0) -> Spool | None:
    """Return the destination entries that may go, None where nothing may be removed on either side.

    ``clashes`` are copies that have not succeeded yet. Raises SafetyStop where the removals on both sides go too far.
    """
    extras, options, report = ends.extras, ends.options, ends.report
    if not options.deletes or report.counts["failed"]:
        return None
    if options.delete_dst:
        extras.judge(ends.planned.spool())
    strange = None if ends.source.address.is_directory else strange_name(extras.doomed, ends.source_names)
    outstanding = clashes + ends.last.rows if options.delete_src_after else 0
    check_limits(
        extras.doomed.rows,
        destination_rows=report.counts["destination"],
        considered=report.counts["considered"],
        options=options,
        strange=strange,
        departures=ends.departures.count + outstanding,
    )
    return extras.doomed if options.delete_dst else None


async def remove(ends: Ends, executor: Executor, doomed: Spool | None, gone: set[bytes]) -> None:
    """Remove what may go, first at the destination, then at the source; nothing once anything has failed.

    ``gone`` are extras that are removed already.
    """
    report, options = ends.report, ends.options
    if doomed is not None and not report.counts["failed"]:
        async for batch, outcomes in release(ends.source, ends.destination, ends.backup, ends.rules, doomed, gone):
            executor.account(batch, outcomes)
            executor.check()
        if not options.dirs and not report.counts["failed"]:
            await remove_emptied(ends.source, ends.destination, ends.rules, doomed)
    elif options.delete_dst:
        report.notice(
            f"nothing was deleted, because {report.counts['failed']} entries failed: {ends.extras.count} entries "
            "at the destination that the source does not have were left alone"
        )
    if options.deletes_src and not report.counts["failed"]:
        async for batch, outcomes in release_sources(ends.source, ends.destination, ends.departures, ends.comparison):
            executor.account(batch, outcomes)
            executor.check()
    elif options.deletes_src:
        report.notice(f"nothing was removed at the source, because {report.counts['failed']} entries failed")


async def removals(ends: Ends) -> AsyncIterator[pa.RecordBatch]:
    """Yield as PLAN batches what a run would remove: at the destination, then at the source."""
    for batch in judged(ends) or ():
        yield batch
    async for batch in preview(ends.source, ends.destination, ends.departures):
        yield batch


async def finish_directories(ends: Ends) -> None:
    """Give directories the times and permissions of the source's, now that nothing more changes in them.

    The deepest come first: a directory may be one that its own rights close.
    """
    left = 0
    for batch in reversed(list(ends.directories)):
        for entry in reversed(entries_of(batch)):
            try:
                if entry.mtime is not None:
                    await ends.destination.set_directory_time(entry.key, entry.mtime)
                if ends.comparison.perms:
                    ends.report.counts["owners_left"] += bool(await ends.destination.set_permissions(entry))
            except (FileNotFoundError, NotADirectoryError, TypeClash):
                continue
            except OSError:
                left += 1
    if left:
        ends.report.notice(f"times or permissions of {left} directories could not be set: they belong to somebody else")
