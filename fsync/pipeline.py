"""The whole sync on one screen: addresses, pages, rules, join, comparison, plan, copies, and deletions last."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pyarrow as pa

from fsync.clash import resolve_clashes
from fsync.deletion import check_limits, release, strange_name
from fsync.diff import decide, split_late
from fsync.ends import Ends, tell_what_was_not_kept
from fsync.errors import FsyncError, OrderError, TypeClash
from fsync.executor import Executor
from fsync.join import windows
from fsync.report import SyncResult
from fsync.selection import Selection
from fsync.spool import Spool
from fsync.transfer.batch import entries_of


async def sync(ends: Ends) -> SyncResult:
    """Make the destination hold what the source holds.

    Raises the FsyncError that ended the run early, with what was done so far as its ``result``. Failures of single
    objects do not raise: the result counts them, and nothing is deleted then.
    """
    report = ends.report
    perms = ends.comparison.perms
    executor = Executor(ends.source, ends.destination, ends.backup, report, ends.extras.protect, perms=perms)
    late = ends.spool_of_plans()
    try:
        await ends.prepare()
        async for plan in planned(ends):
            ready, waiting = split_late(plan, ends.comparison, time.time_ns())
            late.append(waiting)
            await executor.submit(ready)
        await _copy_late(ends, executor, late)
        await executor.drain()
        doomed = _doomed(ends) if ends.options.delete_dst and not report.counts["failed"] else None
        gone = await resolve_clashes(ends, executor, doomed)
        if doomed is not None and not report.counts["failed"]:
            async for batch, outcomes in release(ends.source, ends.destination, ends.backup, ends.rules, doomed, gone):
                executor.account(batch, outcomes)
                executor.check()
        elif ends.options.delete_dst:
            report.notice(
                f"nothing was deleted, because {report.counts['failed']} entries failed: {ends.extras.count} entries "
                "at the destination that the source does not have were left alone"
            )
        await _finish_directories(ends)
        if not report.counts["failed"]:
            await ends.destination.sweep()
        tell_what_was_not_kept(ends)
    except BaseException as error:
        await executor.cancel()
        if isinstance(error, FsyncError):
            error.result = report.result(complete=False, exit_code=error.exit_code)
        elif isinstance(error, asyncio.CancelledError):
            # nobody gets this result, but listeners get its event
            report.result(complete=False, exit_code=130)
        raise
    return report.result(complete=True, exit_code=1 if report.counts["failed"] else 0)


async def plan(ends: Ends) -> AsyncIterator[pa.RecordBatch]:
    """Yield what a sync would do, as PLAN batches: copies in key order, then deletions; nothing is touched."""
    async for batch in planned(ends):
        yield batch
    if ends.options.delete_dst:
        for batch in _doomed(ends):
            ends.report.plan(batch)
            yield batch


async def check(ends: Ends) -> AsyncIterator[pa.RecordBatch]:
    """Yield every difference as PLAN batches: what is missing or different in key order, then what is extra."""
    async for batch in planned(ends):
        yield batch
    for batch in ends.extras.rows():
        ends.report.plan(batch)
        yield batch


async def planned(ends: Ends) -> AsyncIterator[pa.RecordBatch]:
    """Yield the copies to be made as PLAN batches; extras are set aside in ``ends.extras``.

    A side that turns out not to list in key order is listed again through the external sort: its extras are
    forgotten, and what was planned already is not planned twice.
    """
    while True:
        selection = Selection(ends)
        try:
            async for window in windows(selection.source(), selection.destination()):
                decisions = decide(await selection.complete(window), ends.comparison, ends.criteria)
                selection.set_aside(decisions.extras)
                plan = await selection.note(decisions)
                if plan.num_rows:
                    yield plan
        except OrderError as error:
            if not selection.can_sort(error):
                raise
            ends.restart()
        else:
            selection.end()
            return


async def _copy_late(ends: Ends, executor: Executor, late: Spool) -> None:
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


async def _finish_directories(ends: Ends) -> None:
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


def _doomed(ends: Ends) -> Spool:
    """Return the deletions that all rules allow; raises SafetyStop where they go too far."""
    extras, options, report = ends.extras, ends.options, ends.report
    extras.judge(ends.planned.spool())
    strange = None if ends.source.address.is_directory else strange_name(extras.doomed, ends.source_names)
    check_limits(
        extras.doomed.rows,
        destination_rows=report.counts["destination"],
        considered=report.counts["considered"],
        options=options,
        strange=strange,
    )
    return extras.doomed
