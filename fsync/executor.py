"""Bounded work in flight: plan batches go in, copies run, outcomes reach the report."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import pyarrow as pa
import pyarrow.compute as pc

from fsync.errors import FatalError, TooManyFailures
from fsync.nesting import Nesting
from fsync.pacing import describe
from fsync.report import Report, key_fields
from fsync.schema import KEYS, RESULT_WORDS, Action, Kind, concatenate, having, in_words
from fsync.spool import Spool
from fsync.storage.base import Storage
from fsync.storage.entry import Entry
from fsync.transfer import Outcome, Status, copy_batch
from fsync.transfer.batch import BatchStopped, copy_one, direct_copy, entries_of
from fsync.transfer.outcomes import odd_ones

#: rows of one batch that a direct copy hands over in one call, and batches under way
_ROWS, _BATCHES = 512, 4
#: rows of a batch whose objects go one by one: they are accounted for when the last of them has ended, so there are
#: few at first, and more while batches end within _SOON seconds
_FEWEST, _MOST, _SOON = 16, 256, 0.5


class Executor:
    """Copies planned rows, a bounded number at a time, and accounts for them.

    ``protect`` is told of sources that are gone: nothing below their keys may be deleted; ``copied`` gets the rows that
    were carried out. ``clashes`` collects the rows whose name is taken by another kind of entry. After a fatal
    error, or as many failures as are allowed, nothing new is started; :meth:`drain` raises what ended the run.
    """

    def __init__(
        self,
        source: Storage,
        destination: Storage,
        backup: Storage | None,
        report: Report,
        protect: Callable[[list[bytes]], None],
        *,
        perms: bool = False,
        copied: Callable[[pa.RecordBatch], None] | None = None,
    ) -> None:
        self._source, self._destination, self._backup, self._report = source, destination, backup, report
        self._protect, self._perms, self._copied = protect, perms, copied
        if direct_copy(source, destination) is None:
            # every batch under way has an object under way, so there are enough for all slots
            self._rows, self._apart, batches = _FEWEST, True, destination.running.threads + _BATCHES
        else:
            self._rows, self._apart, batches = _ROWS, False, _BATCHES
        self._room = asyncio.Semaphore(batches)
        self._tasks: set[asyncio.Task[None]] = set()
        self._nesting = Nesting()
        self._fatal: str | None = None
        self._broken: BaseException | None = None
        self._cancelled = False
        self._failures = destination.running.failures
        self.clashes: list[tuple[pa.RecordBatch, Outcome]] = []

    async def submit(self, plan: pa.RecordBatch) -> None:
        """Take rows to copy, waiting while enough are under way."""
        start = 0
        while start < plan.num_rows:
            if self._failures.reached:
                await self.drain()
            self.check()
            rows = plan.slice(start, self._rows)
            start += rows.num_rows
            if self._nests():
                await self._start(rows, [])
            else:
                await self._start_apart(rows)

    def _nests(self) -> bool:
        return self._destination.nests and (self._backup is None or self._backup.nests)

    async def _start(self, rows: pa.RecordBatch, keys: list[bytes]) -> None:
        """Begin a batch as soon as there is room; ``keys`` are noted until it has ended."""
        await self._room.acquire()
        task = asyncio.ensure_future(self._run(rows, keys))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            error = task.exception()
            self._broken = self._broken or error
        elif not self._cancelled:
            self._broken = self._broken or FatalError("stopped: copies were broken off, and nobody had asked for that")

    async def _start_apart(self, rows: pa.RecordBatch) -> None:
        """Begin a batch, but for objects above or below one that is under way, which follow when that has ended."""
        while rows.num_rows:
            keys = rows.column("key").to_pylist()
            taken = self._nesting.take(keys)
            if taken:
                await self._start(rows.take(pa.array(taken, pa.int64())), [keys[position] for position in taken])
                rows = rows.take(pa.array(sorted({*range(len(keys))}.difference(taken)), pa.int64()))
            else:
                await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
                self.check()

    async def drain(self) -> None:
        """Wait until everything submitted has ended; raises what :meth:`check` raises."""
        while self._tasks and self._broken is None:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_EXCEPTION)
        self.check()

    async def cancel(self) -> None:
        """End what is under way: partials and unfinished uploads are removed."""
        self._cancelled = True
        self._destination.running.stop.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # a cancelled task leaves its thread behind: that one ends the file at hand, in directories that are open still
        with suppress(RuntimeError):
            # without a thread of its own the disk has nothing to end
            await self._destination.running.on_disk(lambda: None)

    def check(self) -> None:
        """Raise FatalError or TooManyFailures if nothing new may be started, or what nobody has foreseen."""
        for task in [task for task in self._tasks if task.done()]:
            self._ended(task)
        if self._broken is not None:
            # its rows have no outcome: without an end of the run they would be taken for copied
            raise self._broken
        if self._fatal is not None:
            raise FatalError(self._fatal)
        self._failures.count = max(self._failures.count, self._report.counts["failed"])
        if self._failures.reached and not self._tasks:
            left, deleted = self._report.counts["not_tried"], self._report.counts["deleted"]
            raise TooManyFailures(
                f"stopped: {self._failures.count} entries failed, and --max-failure is {self._failures.most}; "
                f"{left} further ones that were planned were not tried, and {deleted or 'nothing'} was deleted"
            )

    async def _run(self, plan: pa.RecordBatch, keys: list[bytes]) -> None:
        begun = time.monotonic()
        try:
            for outcome in odd_ones(await self._copy(plan))[0].values():
                if outcome.fatal:
                    self._fatal = self._fatal or f"stopped at {outcome.key.decode('utf-8', 'replace')}: {outcome.error}"
        except BatchStopped as stopped:
            self._account_for_ended(plan, stopped.outcomes)
            raise
        finally:
            self._nesting.leave(keys)
            self._room.release()
        if self._apart:
            self._rows = min(2 * plan.num_rows, _MOST) if time.monotonic() - begun < _SOON else _FEWEST

    async def _copy(self, plan: pa.RecordBatch) -> Sequence[Outcome]:
        """Copy the rows of a PLAN batch and account for all but the clashes, which are collected."""
        outcomes = await self.attempt(plan)
        if not any(outcome.status is Status.CLASH for outcome in odd_ones(outcomes)[0].values()):
            self.account(plan, outcomes)
            return outcomes
        clashing = pa.array([outcome.status is Status.CLASH for outcome in outcomes], pa.bool_())
        blocked = [outcome for outcome in outcomes if outcome.status is Status.CLASH]
        rows = plan.filter(clashing)
        self.clashes += [(rows.slice(number, 1), outcome) for number, outcome in enumerate(blocked)]
        free = [outcome for outcome in outcomes if outcome.status is not Status.CLASH]
        self.account(plan.filter(pc.invert(clashing)), free)
        return outcomes

    def _account_for_ended(self, plan: pa.RecordBatch, outcomes: list[Outcome]) -> None:
        """Account for what had ended of a batch that goes no further; a file without its permissions is not done."""
        ended = [] if self._perms else [outcome for outcome in outcomes if outcome.status is not Status.CLASH]
        keys = pa.array([outcome.key for outcome in ended], pa.binary())
        self.account(plan.filter(pc.is_in(plan.column("key"), keys)), ended)

    async def attempt(self, plan: pa.RecordBatch) -> Sequence[Outcome]:
        """Copy the rows of a PLAN batch, backups first; give the outcomes in its order without accounting for them."""
        kept = await self._keep_back(plan)
        if not kept and not self._perms:
            return await copy_batch(self._source, self._destination, plan)
        ready = plan.filter(pc.invert(having(plan.column("action"), Action.METADATA)))
        ready = ready.filter(pc.invert(pc.is_in(ready.column("key"), pa.array(list(kept), pa.binary()))))
        done = kept | {outcome.key: outcome for outcome in await copy_batch(self._source, self._destination, ready)}
        if self._perms:
            for entry in entries_of(plan):
                done[entry.key] = await self._permit(entry, done.get(entry.key))
        return [done[key] for key in plan.column("key").to_pylist()]

    async def _permit(self, entry: Entry, outcome: Outcome | None) -> Outcome:
        """Give a file that was copied, or that needs nothing else (no outcome yet), its permissions.

        Links have none, and directories get theirs when everything in them is done.
        """
        if (outcome is not None and outcome.status is not Status.DONE) or entry.kind is not Kind.FILE:
            return outcome or Outcome(entry.key, Status.DONE)
        try:
            left = await self._destination.set_permissions(entry)
        except Exception as error:
            self._failures.count += 1
            return Outcome(entry.key, Status.FAILED, error=f"its permissions could not be set: {describe(error)}")
        self._report.counts["owners_left"] += bool(left)
        return outcome or Outcome(entry.key, Status.DONE)

    async def _keep_back(self, plan: pa.RecordBatch) -> dict[bytes, Outcome]:
        """Copy what is about to be replaced to the backup; give the outcomes of those that must not be replaced."""
        if self._backup is None:
            return {}
        replaced = plan.filter(having(plan.column("action"), Action.UPDATE))
        entries = entries_of(replaced, "dst_")
        kept = await asyncio.gather(*(copy_one(self._destination, self._backup, entry) for entry in entries))
        return {
            outcome.key: outcome
            if outcome.status is Status.NOT_TRIED
            else Outcome(
                outcome.key, Status.FAILED, error=f"not replaced: no backup of it could be made: {outcome.error}"
            )
            for outcome in kept
            if outcome.status not in (Status.DONE, Status.VANISHED)
        }

    def account(self, plan: pa.RecordBatch, outcomes: Sequence[Outcome]) -> None:
        """Put outcomes, in the order of the plan's rows, into the report."""
        report = self._report
        odd, usual = odd_ones(outcomes)
        if len(odd) < plan.num_rows:
            report.done_rows(plan.take(pa.array(sorted({*range(plan.num_rows)} - odd.keys()))) if odd else plan, usual)
        actions = plan.column("action").to_pylist() if odd else []
        for position, outcome in odd.items():
            if outcome.status is Status.DONE:
                report.done(outcome.key, actions[position], outcome.size, outcome.verified)
            elif outcome.status is Status.VANISHED:
                report.counts["vanished"] += 1
                self._protect([outcome.key])
                report.emit("vanished", **key_fields(outcome.key))
            elif outcome.status is Status.NOT_TRIED:
                report.counts["not_tried"] += 1
            else:
                if outcome.status is Status.ARCHIVED:
                    report.counts["archived"] += 1
                    self._protect([outcome.key])
                report.fail(outcome.key, _NAMES[actions[position]], outcome.error)
        if report.keeps_rows:
            report.keep(result_rows(plan, outcomes, report))
        if self._copied is not None:
            self._copied(plan.filter(pa.array([outcome.status is Status.DONE for outcome in outcomes], pa.bool_())))


def result_rows(plan: pa.RecordBatch, outcomes: Sequence[Outcome], report: Report) -> pa.RecordBatch:
    """Return a PLAN batch with its outcomes as RESULT_WORDS."""
    words = in_words(plan)
    status = pa.array([outcome.status.value for outcome in outcomes], pa.string())
    error = pa.array([report.redact(outcome.error) if outcome.error else None for outcome in outcomes], pa.string())
    verified = pa.array([outcome.verified or None for outcome in outcomes], pa.string())
    return pa.RecordBatch.from_arrays([*words.columns, status, error, verified], schema=RESULT_WORDS)


_NAMES = {int(action): action.name.lower() for action in Action}


def keep_plan(plan: pa.RecordBatch, report: Report) -> None:
    """Put the rows of a dry run's plan into the report's table."""
    if report.keeps_rows:
        outcomes = [Outcome(key, Status.DONE) for key in plan.column("key").to_pylist()]
        rows = result_rows(plan, outcomes, report)
        planned = pa.array(["planned"] * plan.num_rows, pa.string())
        report.keep(rows.set_column(rows.schema.get_field_index("status"), RESULT_WORDS.field("status"), planned))


def fail_before(rows: pa.RecordBatch, errors: Mapping[bytes, str], report: Report, action: str) -> None:
    """Report entries that failed before anything could be done with them, each with its error."""
    outcomes = [Outcome(key, Status.FAILED, error=errors[key]) for key in rows.column("key").to_pylist()]
    for outcome in outcomes:
        report.fail(outcome.key, action, outcome.error)
    if report.keeps_rows:
        report.keep(result_rows(rows, outcomes, report))


class Planned:
    """The keys that a run has planned to write, pass by pass; each pass adds them in key order."""

    def __init__(self, *, spill_dir: str | None) -> None:
        self._spill_dir = spill_dir
        self._passes = [self._new()]
        self._earlier: list[_Cursor] = []

    def _new(self) -> Spool:
        return Spool(KEYS, directory=self._spill_dir)

    def add(self, plan: pa.RecordBatch) -> None:
        """Note the keys of a plan batch."""
        self._passes[-1].append(plan.select(["key"]))

    def restart(self) -> None:
        """Begin another pass over the same listing."""
        self._passes.append(self._new())
        self._earlier = [_Cursor(spool) for spool in self._passes[:-1]]

    def fresh(self, plan: pa.RecordBatch) -> pa.RecordBatch:
        """Return the rows of a plan batch that no earlier pass has planned; batches must come in key order."""
        for cursor in self._earlier:
            plan = plan.filter(pc.invert(pc.is_in(plan.column("key"), cursor.keys_up_to(plan))))
        return plan

    def spool(self) -> Spool:
        """Return all keys as one spool."""
        if len(self._passes) == 1:
            return self._passes[0]
        whole = self._new()
        for spool in self._passes:
            for batch in spool:
                whole.append(batch)
        return whole


class _Cursor:
    def __init__(self, spool: Spool) -> None:
        self._batches = iter(spool)
        self._held: pa.RecordBatch = pa.RecordBatch.from_arrays([pa.array([], pa.binary())], schema=spool.schema)

    def keys_up_to(self, plan: pa.RecordBatch) -> pa.Array:
        """Return the keys from the first to at least the last of a plan batch."""
        keys = plan.column("key")
        if not len(keys):
            return keys
        first, last = keys[0].as_py(), keys[len(keys) - 1].as_py()
        held = [self._held.filter(pc.greater_equal(self._held.column("key"), pa.scalar(first, pa.binary())))]
        while not held[-1].num_rows or held[-1].column("key")[held[-1].num_rows - 1].as_py() < last:
            batch = next(self._batches, None)
            if batch is None:
                break
            held.append(batch)
        self._held = concatenate(held, self._held.schema)
        return self._held.column("key")
