"""One pass over both listings: which rows take part, what is counted, and which suspects turn out to be the same."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator

import pyarrow as pa
import pyarrow.compute as pc

from fsync.deletion import top_name, top_names
from fsync.diff import Decisions
from fsync.ends import Ends
from fsync.errors import OrderError, SourceNotFound, printable
from fsync.executor import fail_before
from fsync.filters import Rules
from fsync.join import Window
from fsync.keyrange import KeyRange
from fsync.listing import Listing, completed, of_kind, without_root
from fsync.named import NamedListing
from fsync.report import key_fields
from fsync.schema import PLAN, Action, Kind, Reason, concatenate, having
from fsync.storage.turns import closing
from fsync.traits import KeyOrder
from fsync.transfer import settle_batch
from fsync.transfer.settle import fill_unknown

#: names that an announcement shows
_NAMES = 10


class Selection:
    """The rows of both sides that one pass of a run considers.

    Directories and markers take part only with ``--dirs``, links as themselves only with ``--links``. A source row of
    kind OTHER exists but is nothing to copy: it protects its key and all below it, also where no rule lets it be seen.
    After ``--limit`` source rows the pass ends, and destination rows beyond the last one considered are out of sight.
    Size, age and time rules take nothing out of sight: they skip source rows once these have met the destination's.
    """

    def __init__(self, ends: Ends) -> None:
        self._ends = ends
        options = ends.options
        self._failing = ""
        keeps_links = options.links and ends.destination.traits.links
        self._kinds = [Kind.FILE, *([Kind.LINK] if keeps_links else []), *([Kind.DIRECTORY] if options.dirs else [])]
        self._protected = [Kind.OTHER, *([] if keeps_links else [Kind.LINK])]
        self._source = self._side("source", follow=not options.links)
        self._destination = self._side("destination", follow=False)
        self._left = options.limit
        self._announced = False
        self._last: bytes | None = None

    def _side(self, side: str, *, follow: bool) -> Listing | NamedListing:
        ends = self._ends
        unseen = self._note_unseen if side == "source" else None
        bare = side == "destination" and ends.options.delete_excluded

        def listing(within: KeyRange) -> Listing:
            return Listing(
                ends.side(side),
                Rules() if bare else ends.rules,
                follow=follow,
                within=within,
                sort=side in ends.sorted_sides,
                memory=ends.options.memory // 4,
                spill_dir=ends.options.spill_dir,
                unseen=unseen,
            )

        if ends.named is None:
            return listing(ends.within)
        sight = Listing(ends.source, ends.rules, follow=follow, within=ends.within, unseen=unseen)
        destination = ends.destination if side == "destination" else None
        return NamedListing(ends.named, listing, sight, ends.within, self._kinds, destination)

    async def source(self) -> AsyncIterator[pa.RecordBatch]:
        """Yield the source rows to be considered, and protect what exists without being copied."""
        if self._ends.source_missing and self._ends.named is None:
            return
        counts = self._ends.report.counts
        async with closing(self._watched(self._source, "source")) as pages:
            async for page in pages:
                self._announce(page)
                self._protect(of_kind(page, *self._protected))
                files = without_root(of_kind(page, *self._kinds))
                if self._left >= 0:
                    files = self._within_limit(files)
                counts["listed"] += files.num_rows
                if files.num_rows:
                    self._last = files.column("key")[files.num_rows - 1].as_py()
                    self._note_names(files)
                    yield files
                if self._left == 0:
                    return

    def _within_limit(self, files: pa.RecordBatch) -> pa.RecordBatch:
        """Return the rows up to the last one that ``--limit`` allows; those that size and time leave out do not count.

        A file that lacks what those rules ask for counts.
        """
        criteria = self._ends.criteria
        counting = pc.or_(criteria.wanted(files), criteria.unknown(files)).cast(pa.int64())
        sofar = pc.cumulative_sum(counting)
        rows = pc.sum(pc.less(sofar, pa.scalar(self._left, pa.int64()))).as_py() or 0
        # the one that fills the limit is the last
        files = files.slice(0, rows + 1 if self._left else 0)
        self._left -= pc.sum(counting.slice(0, files.num_rows)).as_py() or 0
        return files

    async def destination(self) -> AsyncIterator[pa.RecordBatch]:
        """Yield the destination rows that can be matched or be extras."""
        counts = self._ends.report.counts
        kinds = [Kind.FILE, Kind.LINK, Kind.OTHER, *([Kind.DIRECTORY] if self._ends.options.dirs else [])]
        async with closing(self._watched(self._destination, "destination")) as pages:
            async for page in pages:
                rows = without_root(of_kind(page, *kinds))
                counts["destination"] += rows.num_rows
                if rows.num_rows:
                    yield rows

    async def _watched(self, listing: Listing | NamedListing, side: str) -> AsyncIterator[pa.RecordBatch]:
        """Yield a listing's pages, remembering which side an error came from."""
        report = self._ends.report
        excluded = 0
        try:
            async with closing(self._one(listing) if self._ends.options.exact else listing.pages()) as pages:
                async for page in pages:
                    report.counts["excluded"] += listing.excluded - excluded
                    excluded = listing.excluded
                    yield page
        except SourceNotFound:
            # a destination that did not exist when the run began holds nothing
            if side == "source" or not self._ends.destination_missing:
                raise
        except OrderError:
            self._failing = side
            raise
        report.counts["excluded"] += listing.excluded - excluded

    async def _one(self, listing: Listing | NamedListing) -> AsyncIterator[pa.RecordBatch]:
        """Yield the row of the object that has exactly the address as its name: no key comes before the empty one."""
        async with closing(listing.pages()) as pages:
            async for page in pages:
                yield page.filter(pc.equal(page.column("key"), pa.scalar(b"", pa.binary())))
                return

    def _announce(self, page: pa.RecordBatch) -> None:
        """Say once which names a source prefix matches, as far as the first page shows, where they are several."""
        if self._announced or self._ends.options.exact:
            return
        self._announced = True
        address = self._ends.source.address
        names = sorted({top_name(key) for key in page.column("key").to_pylist()})
        if address.is_directory or len(names) < 2:
            return
        start = os.fsencode(address.root.rpartition("/")[2])
        shown = [printable(start + name) for name in names[:_NAMES]]
        more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
        self._ends.report.notice(
            f"{address.given} is a prefix, which {len(names)} names begin with: {', '.join(shown)}{more}; "
            "a / at the end of both addresses would mean the directory alone"
        )

    def _protect(self, rows: pa.RecordBatch) -> None:
        if not rows.num_rows:
            return
        keys = rows.column("key").to_pylist()
        self._ends.extras.protect(keys)
        self._ends.report.counts["protected"] += len(keys)
        self._note_names(rows)
        if self._ends.report.listening:
            for key, why in zip(keys, rows.column("link").to_pylist(), strict=True):
                self._ends.report.emit("not_copied", **key_fields(key), why=(why or b"special").decode())

    def _note_unseen(self, rows: pa.RecordBatch) -> None:
        """Note what stands at the source though this run does not look at it."""
        self._ends.extras.protect(of_kind(rows, *self._protected).column("key").to_pylist())
        self._note_names(rows)

    def _note_names(self, rows: pa.RecordBatch) -> None:
        if self._ends.options.delete_dst and not self._ends.source.address.is_directory:
            self._ends.source_names.append(top_names(rows))

    async def complete(self, window: Window) -> Window:
        """Return a window whose source rows have all that the size, age and time rules ask for, if it can be had."""
        ends = self._ends
        if not ends.criteria:
            return window
        source = await completed(ends.source, window.source, ends.criteria.unknown(window.source))
        ends.report.counts["unknown"] += pc.sum(ends.criteria.unknown(source)).as_py() or 0
        return Window(source, window.destination)

    def set_aside(self, extras: pa.RecordBatch) -> None:
        """Set aside destination rows without a source row, up to the last key that was considered."""
        if self._left == 0 and extras.num_rows:
            last = pa.scalar(self._last or b"", pa.binary())
            within = (
                pc.less_equal(extras.column("key"), last)
                if self._last is not None
                else pa.repeat(False, extras.num_rows)
            )
            extras = extras.filter(within)
        self._ends.report.counts["extra"] += extras.num_rows
        if self._ends.wants_extras:
            self._ends.extras.add(extras)

    async def note(self, decisions: Decisions) -> pa.RecordBatch:
        """Account for a window's decisions; return what is to be copied, suspects settled, in key order."""
        ends, began = self._ends, time.time_ns()
        rows = decisions.rows
        doubtful = having(rows.column("reason"), Reason.SUSPECT, Reason.UNKNOWN)
        if pc.any(doubtful).as_py():
            rows = concatenate(
                [rows.filter(pc.invert(doubtful)), await self._settle(rows.filter(doubtful))], PLAN
            ).sort_by([("key", "ascending")])
        unselected = pc.sum(having(rows.column("reason"), Reason.UNSELECTED)).as_py() or 0
        ends.report.counts["considered"] += rows.num_rows - unselected
        skipped = having(rows.column("action"), Action.SKIP)
        ends.report.counts["skipped"] += pc.sum(skipped).as_py() or 0
        wanted = pc.invert(skipped)
        if ends.departures.takes_same:
            wanted = pc.or_(wanted, having(rows.column("reason"), Reason.SAME))
        fresh = ends.planned.fresh(rows.filter(wanted))
        skipped = having(fresh.column("action"), Action.SKIP)
        plan = fresh.filter(pc.invert(skipped))
        if ends.departures.takes_same:
            ends.departures.note_same(fresh.filter(skipped), ends.source, began)
        if ends.options.delete_dst or ends.may_restart:
            ends.planned.add(plan)
        if ends.options.dirs:
            ends.note_directories(rows)
        ends.report.plan(plan)
        return plan

    async def _settle(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        ends = self._ends
        unknown = having(rows.column("reason"), Reason.UNKNOWN)
        filled = await fill_unknown(ends.source, ends.destination, rows.filter(unknown), ends.comparison)
        suspects = concatenate([rows.filter(pc.invert(unknown)), filled], PLAN)
        open_still = having(suspects.column("reason"), Reason.SUSPECT)
        verdicts, unread = await settle_batch(
            ends.source, ends.destination, suspects.filter(open_still), ends.comparison
        )
        if ends.check and unread:
            unknown = pc.is_in(verdicts.column("key"), pa.array(list(unread), pa.binary()))
            fail_before(verdicts.filter(unknown), unread, ends.report, "compare")
            verdicts = verdicts.filter(pc.invert(unknown))
        return concatenate([suspects.filter(pc.invert(open_still)), verdicts], PLAN)

    def can_sort(self, error: OrderError) -> bool:
        """Tell whether the side that failed may be listed again through the external sort, and note to do so."""
        side = self._failing
        if side in self._ends.sorted_sides or self._ends.side(side).traits.key_order is not KeyOrder.CHECKED:
            return False
        self._ends.sorted_sides.add(side)
        self._ends.report.notice(f"{error}; the {side} is listed again and sorted")
        return True

    def end(self) -> None:
        """Note the end of both listings; raises SourceNotFound if nothing at all begins with a source prefix."""
        ends = self._ends
        ends.report.listing = False
        nothing = not self._source.rows and not self._source.excluded and not ends.report.counts["protected"]
        if ends.named is not None:
            ends.named.tell_missing()
        elif nothing and not ends.source.address.is_directory and not ends.options.allow_empty_source:
            ranged = (ends.options.start, ends.options.end) != (None, None)
            within = " and lies within --start and --end" if ranged else ""
            raise SourceNotFound(f"nothing begins with {ends.source.address.given}{within}")
        if ends.report.counts["unknown"]:
            ends.report.notice(
                f"{ends.report.counts['unknown']} files were left out, because the source does not tell their size or "
                "time, which the rules of size, age and time ask for"
            )
