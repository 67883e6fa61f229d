"""Removal at the source: noted while the run goes on, checked once more entry by entry, carried out at its very end.

What may go is what the comparison has found to be the same (``--delete-src``) and what this run has copied
(``--delete-src-after``). Right before an entry is removed both ends are asked: the source must still have what was
listed, the destination what was found or written there. Nothing that only a link leads to is ever removed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from fsync.comparison import Comparison, Times
from fsync.errors import OptionError, SafetyStop
from fsync.options import Options
from fsync.pacing import describe
from fsync.schema import PLAN, Action, Kind, Reason, concatenate, having
from fsync.spool import Spool
from fsync.storage.base import Storage
from fsync.storage.entry import Entry
from fsync.storage.standing import Standing
from fsync.traits import MtimeKind
from fsync.transfer import Outcome, Status
from fsync.transfer.batch import entries_of

#: entries checked and removed together
_BATCH = 1000

_GONE_THERE = "not removed: the destination no longer has it as it was"
_CHANGED_HERE = "not removed: it changed after it was listed"
_ONE_FILE = "not removed: the entry at the destination is this very file"
_UNKNOWABLE = "not removed: the source tells neither time nor version, so nothing shows that it is unchanged"


class Departures:
    """The source entries that may go at the end of a run, as PLAN rows; memory is that of two spools."""

    def __init__(self, options: Options, *, spill_dir: str | None) -> None:
        self._spill_dir = spill_dir
        # where everything is copied nothing is found to be the same, directories included
        self._takes_same = options.delete_src and not options.force_update
        self._takes_copied = options.delete_src_after
        self._copied = Spool(PLAN, directory=spill_dir)
        #: entries that stay because only a link leads to them
        self.linked = 0
        self.restart()

    def restart(self) -> None:
        """Forget what was found to be the same, because it is compared again; what was copied stays."""
        self._same = Spool(PLAN, directory=self._spill_dir)
        self._apart = False
        self.fresh = 0

    @property
    def takes_same(self) -> bool:
        """Tell whether entries that are the same may go."""
        return self._takes_same

    @property
    def takes_copied(self) -> bool:
        """Tell whether entries that this run copies may go."""
        return self._takes_copied

    @property
    def count(self) -> int:
        """Return how many entries may go, as far as is known."""
        return self._same.rows + self._copied.rows

    def note_same(self, rows: pa.RecordBatch, source: Storage, began: int) -> None:
        """Note decided rows whose reason is SAME; ``began`` is when deciding began, in nanoseconds since 1970.

        One without a version that changed within the tick of the source's clock at that time stays: it could have
        changed once more, unseen.
        """
        fresh = _fresh(rows, source, began)
        self.fresh += pc.sum(fresh).as_py() or 0
        ready = rows.filter(pc.invert(fresh))
        times = pc.equal(ready.column("mtime"), ready.column("dst_mtime"))
        one = pc.and_kleene(times, pc.equal(ready.column("etag"), ready.column("dst_etag")))
        self._apart = self._apart or not pc.all(pc.fill_null(one, False)).as_py()
        self._same.append(ready)

    def note_copied(self, rows: pa.RecordBatch) -> None:
        """Note copied rows."""
        if self._takes_copied:
            self._copied.append(rows.filter(having(rows.column("action"), Action.COPY, Action.UPDATE)))

    def check_places(self, source: Storage, destination: Storage) -> None:
        """Raise SafetyStop if both ends seem to be one place under two names: there, one removal takes both."""
        alike = source.address.family == destination.address.family and source.address.root == destination.address.root
        stamped = source.traits.mtime is destination.traits.mtime is MtimeKind.UPLOAD
        if self._same.rows and alike and stamped and not self._apart:
            raise SafetyStop(
                f"nothing was removed: {source.address.given} and {destination.address.given} list the same keys with "
                "the same times of upload, so they seem to be one place under two names"
            )

    def rows(self) -> Iterator[tuple[pa.RecordBatch, bool]]:
        """Yield DELETE_SRC rows of at most a thousand, and whether this run has copied them."""
        for spool, copied in ((self._same, False), (self._copied, True)):
            reason = Reason.COPIED if copied else Reason.SAME
            for batch in spool:
                for start in range(0, batch.num_rows, _BATCH):
                    yield _departing(batch.slice(start, _BATCH), reason), copied


#: a change dated further ahead of our clock than this is no recent change but a wrong date
_FUTURE = 5_000_000_000


def _fresh(rows: pa.RecordBatch, source: Storage, now: int) -> pa.BooleanArray:
    """Tell where the tick of the source's clock in which an entry changed was not over at ``now``."""
    tick = pa.scalar(source.traits.mtime_tick, pa.int64())
    now += round(source.clock()[0] * 1e9)
    changed = pc.coalesce(rows.column("changed"), rows.column("mtime")).cast(pa.int64())
    changed = pc.add(changed, pa.scalar(source.traits.clock_error, pa.int64()))
    over = pc.multiply(pc.add(pc.divide(changed, tick), pa.scalar(1, pa.int64())), tick)
    latest = now + source.traits.mtime_tick + _FUTURE
    open_still = pc.and_(pc.greater(over, pa.scalar(now, pa.int64())), pc.less(over, pa.scalar(latest, pa.int64())))
    return pc.and_(pc.fill_null(open_still, False), pc.is_null(rows.column("etag")))


def _departing(rows: pa.RecordBatch, reason: Reason) -> pa.RecordBatch:
    for position, word in ((1, Action.DELETE_SRC), (2, reason)):
        column = pa.repeat(pa.scalar(int(word), pa.int8()), rows.num_rows)
        rows = rows.set_column(position, PLAN.field(position), column)
    return rows


def check_departures(source: Storage, comparison: Comparison, options: Options) -> None:
    """Raise OptionError where removing at the source cannot be done, or not be proven safe."""
    if not options.deletes_src:
        return
    name = "--delete-src" if options.delete_src else "--delete-src-after"
    if not source.removes:
        raise OptionError(
            f"{name}: nothing can be removed from {source.address.given}, it can only be read: leave it out"
        )
    proven = options.size_only or options.checksum or options.check_all or options.force_update
    if options.delete_src and comparison.times is Times.NONE and not proven:
        raise OptionError(
            "--delete-src would remove what has the same size at the destination and nothing more, because one of the "
            "storages tells no modification times: add --checksum to compare the content, or --size-only if sizes are "
            "proof enough"
        )


async def release_sources(
    source: Storage, destination: Storage, departures: Departures, comparison: Comparison
) -> AsyncIterator[tuple[pa.RecordBatch, list[Outcome]]]:
    """Remove at the source batch by batch; yield each batch with its outcomes.

    An entry of which either end now has something else fails. Directories go last, the deepest first, those that are
    empty by then and that the destination has.
    """
    departures.check_places(source, destination)
    directories: list[pa.RecordBatch] = []
    for rows, copied in departures.rows():
        is_directory = having(rows.column("kind"), Kind.DIRECTORY)
        directories.append(rows.filter(is_directory))
        batch, outcomes = await _judged(
            source, destination, departures, comparison, rows.filter(pc.invert(is_directory)), copied
        )
        free = [position for position, outcome in enumerate(outcomes) if outcome.status is Status.DONE]
        entries = entries_of(batch.take(pa.array(free, pa.int64())))
        for position, error in zip(free, await source.delete(entries), strict=True):
            if error is not None:
                words = f"not removed: {describe(error)}"
                outcomes[position] = Outcome(outcomes[position].key, Status.FAILED, error=words)
        yield batch, outcomes
    async for batch, outcomes in _empty_directories(source, destination, directories):
        yield batch, outcomes


async def _judged(
    source: Storage,
    destination: Storage,
    departures: Departures,
    comparison: Comparison,
    rows: pa.RecordBatch,
    copied: bool,
) -> tuple[pa.RecordBatch, list[Outcome]]:
    """Ask both ends about rows; return those that no link leads to, DONE where they may go now."""
    here = _here(rows)
    there = _there(rows, comparison) if copied else entries_of(rows, "dst_")
    mine = await source.standings(here)
    theirs = await destination.standings(there)
    outcomes, kept = [], []
    for entry, other, own, far in zip(here, there, mine, theirs, strict=True):
        linked = own is Standing.BEHIND_LINK
        departures.linked += linked
        kept.append(not linked)
        if not linked:
            outcomes.append(_verdict(_Pair(entry, other, own, far), comparison))
    return rows.filter(pa.array(kept, pa.bool_())), outcomes


@dataclass(slots=True)
class _Pair:
    """An entry at both ends, and what has become of it there."""

    entry: Entry
    other: Entry
    own: Standing | Exception
    far: Standing | Exception


def _verdict(pair: _Pair, comparison: Comparison) -> Outcome:
    entry, own, far = pair.entry, pair.own, pair.far
    known = entry.mtime is not None or entry.etag is not None or comparison.size_only
    error = ""
    if own is Standing.GONE:
        return Outcome(entry.key, Status.VANISHED)
    for answer, side in ((own, "the source"), (far, "the destination")):
        if isinstance(answer, Exception):
            error = error or f"not removed: {side} could not be asked: {describe(answer)}"
    if error:
        pass
    elif own is not Standing.UNCHANGED:
        error = _CHANGED_HERE
    elif far is not Standing.UNCHANGED:
        error = _GONE_THERE
    elif not known and entry.kind is Kind.FILE:
        error = _UNKNOWABLE
    elif entry.identity is not None and pair.other.identity is not None and entry.identity == pair.other.identity:
        error = _ONE_FILE
    return Outcome(entry.key, Status.FAILED if error else Status.DONE, error=error)


def _here(rows: pa.RecordBatch) -> list[Entry]:
    entries = entries_of(rows)
    for entry, changed in zip(entries, rows.column("changed").cast(pa.int64()).to_pylist(), strict=True):
        entry.changed = changed
    return entries


def _there(rows: pa.RecordBatch, comparison: Comparison) -> list[Entry]:
    """Return what the destination must have of rows that were copied."""
    kept = comparison.times is Times.EQUAL
    return [
        Entry(entry.key, entry.size, entry.mtime if kept else None, kind=entry.kind, link=entry.link)
        for entry in entries_of(rows)
    ]


async def preview(source: Storage, destination: Storage, departures: Departures) -> AsyncIterator[pa.RecordBatch]:
    """Yield what a dry run would remove at the source; nothing that only a link leads to."""
    departures.check_places(source, destination)
    for rows, _ in departures.rows():
        standings = await source.standings(_here(rows))
        linked = [standing is Standing.BEHIND_LINK for standing in standings]
        departures.linked += sum(linked)
        yield rows.filter(pc.invert(pa.array(linked, pa.bool_())))


async def _empty_directories(
    source: Storage, destination: Storage, directories: list[pa.RecordBatch]
) -> AsyncIterator[tuple[pa.RecordBatch, list[Outcome]]]:
    whole = concatenate(directories, PLAN).sort_by([("key", "descending")])
    for start in range(0, whole.num_rows, _BATCH):
        batch = whole.slice(start, _BATCH)
        entries = entries_of(batch)
        standings = zip(await source.standings(entries), await destination.standings(entries), strict=True)
        gone = []
        for entry, pair in zip(entries, standings, strict=True):
            sound = all(standing is Standing.UNCHANGED for standing in pair)
            gone.append(sound and await source.is_empty(entry.key) and await source.remove_directory(entry.key))
        batch = batch.filter(pa.array(gone, pa.bool_()))
        yield batch, [Outcome(key, Status.DONE) for key in batch.column("key").to_pylist()]
