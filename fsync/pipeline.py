"""The whole sync on one screen: addresses, pages, rules, join, comparison, plan, copies, and deletions last."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pyarrow as pa

from fsync.clash import resolve_clashes
from fsync.diff import decide, split_late
from fsync.ending import copy_last, copy_late, finish_directories, judged, removals, remove
from fsync.ends import Ends
from fsync.errors import FsyncError, OrderError
from fsync.executor import Executor
from fsync.join import windows
from fsync.report import SyncResult
from fsync.selection import Selection
from fsync.storage.turns import closing


async def sync(ends: Ends) -> SyncResult:
    """Make the destination hold what the source holds.

    Raises the FsyncError that ended the run early, with what was done so far as its ``result``. Failures of single
    objects do not raise: the result counts them, and nothing is deleted then.
    """
    report = ends.report
    perms = ends.comparison.perms
    executor = Executor(
        ends.source, ends.destination, ends.backup, report, ends.extras.protect,
        perms=perms, copied=ends.departures.note_copied if ends.departures.takes_copied else None,
    )  # fmt: skip
    late = ends.spool_of_plans()
    try:
        await ends.prepare()
        async with closing(planned(ends)) as plans:
            async for plan in plans:
                ready, waiting = split_late(ends.hold_back(plan), ends.comparison, time.time_ns())
                late.append(waiting)
                await executor.submit(ready)
        await copy_late(ends, executor, late)
        doomed = judged(ends, len(executor.clashes))
        gone = await resolve_clashes(ends, executor, doomed)
        gone |= await copy_last(ends, executor, doomed)
        await remove(ends, executor, doomed, gone)
        await finish_directories(ends)
        if not report.counts["failed"]:
            await ends.destination.sweep()
        ends.tell_counts()
        report.close()
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
    """Yield what a sync would do, as PLAN batches: copies in key order, then removals; nothing is touched."""
    async with closing(planned(ends)) as plans:
        async for batch in plans:
            ends.departures.note_copied(batch)
            yield batch
    async with closing(removals(ends)) as plans:
        async for batch in plans:
            ends.report.plan(batch)
            yield batch


async def check(ends: Ends) -> AsyncIterator[pa.RecordBatch]:
    """Yield every difference as PLAN batches: what is missing or different in key order, then what is extra."""
    async with closing(planned(ends)) as plans:
        async for batch in plans:
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
            async with (
                closing(selection.source()) as mine,
                closing(selection.destination()) as theirs,
                closing(windows(mine, theirs)) as found,
            ):
                async for window in found:
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
