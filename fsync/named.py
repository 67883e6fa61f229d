"""What ``--files-from`` names, looked up at the source and given as both sides' rows in key order.

Single names are asked for one by one, many at once; directories are listed, on both sides; nothing else is. At the
destination a single name is asked for only where the source has it, so it is never an extra.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from fsync.errors import SourceNotFound, printable
from fsync.executor import fail_before
from fsync.keyrange import KeyRange
from fsync.listing import Listing, look_ahead, of_kind
from fsync.namelist import NameReader, RowLog
from fsync.options import Options
from fsync.report import Report
from fsync.schema import PAGE, PLAN, Action, Kind, Reason, having, page_from_columns
from fsync.spool import Spool
from fsync.storage.base import Storage
from fsync.storage.turns import closing

#: names looked up together
_TOGETHER = 1000
#: missing names that a notice shows
_SHOWN = 5


class Named:
    """The rows that a list of names stands for at the source, looked up as far as somebody reads, and kept.

    ``names`` are sorted and distinct. A row of kind DIRECTORY stands for everything below it; what lies in a directory
    that is named too comes once. Names that the source does not have are told to ``report`` once: as failures, or
    counted for :meth:`tell_missing` under ``--ignore-missing``.
    """

    def __init__(self, source: Storage, names: Spool, options: Options, within: KeyRange, report: Report) -> None:
        self._source, self._within, self._report = source, within, report
        self._follow, self._ignore = not options.links, options.ignore_missing
        self._chunks = _chunks(names)
        self._log = RowLog(options.spill_dir)
        self._ignored: list[str] = []
        self._lock = asyncio.Lock()
        self._pending: list[pa.RecordBatch] = []
        self._inside: bytes | None = None
        self._ended = False
        self._error: Exception | None = None

    async def batches(self) -> AsyncIterator[pa.RecordBatch]:
        """Yield the rows as pages in key order, from the first one, for each caller anew; raises ListingError."""
        number = 0
        while True:
            async with self._lock:
                while number == len(self._log) and not self._ended:
                    await self._further()
            if number == len(self._log):
                return
            yield self._log[number]
            number += 1

    async def _further(self) -> None:
        """Look up the next names; an error stays one for whoever asks again."""
        if self._error is not None:
            raise self._error
        try:
            names = next(self._chunks, None)
            if names is None:
                self._ended = True
                self._emit(None)
            else:
                await self._look_up(names)
        except Exception as error:
            self._error = error
            raise

    async def _look_up(self, names: Sequence[bytes]) -> None:
        wanted = [name for name in names if not self._is_inside(name) and not self._within.misses(name)]
        root = [name for name in wanted if not name and self._source.address.is_directory]
        asked = [name for name in wanted if name not in root] if root else wanted
        page = await self._source.rows(asked, follow=self._follow)
        there = set(page.column("key").to_pylist())
        gone = [name for name in asked if name not in there and name.rstrip(b"/") + b"/" not in there]
        if gone:
            self._note_missing(gone)
        self._pending.append(page)
        if root:
            self._pending.append(page_from_columns({"key": [b""], "kind": [int(Kind.DIRECTORY)]}, 1))
        self._emit(names[-1])

    def _note_missing(self, keys: list[bytes]) -> None:
        if self._ignore:
            self._report.counts["missing"] += len(keys)
            self._ignored += [printable(key) for key in keys[: _SHOWN - len(self._ignored)]]
            return
        columns = {
            "key": pa.array(keys, pa.binary()),
            "action": pa.repeat(pa.scalar(int(Action.COPY), pa.int8()), len(keys)),
            "reason": pa.repeat(pa.scalar(int(Reason.ABSENT), pa.int8()), len(keys)),
        }
        arrays = [columns.get(field.name, pa.nulls(len(keys), field.type)) for field in PLAN]
        rows = pa.RecordBatch.from_arrays(arrays, schema=PLAN)
        fail_before(
            rows, dict.fromkeys(keys, "--files-from names it, but the source does not have it"), self._report, "copy"
        )

    def tell_missing(self) -> None:
        """Say how many names the source did not have, and the first of them, where that is no failure."""
        count = self._report.counts["missing"]
        if count:
            more = f" and {count - len(self._ignored)} more" if count > len(self._ignored) else ""
            self._report.notice(
                f"--ignore-missing: the source does not have {count} of the names in the list: "
                f"{', '.join(self._ignored)}{more}"
            )

    def _is_inside(self, key: bytes) -> bool:
        return self._inside is not None and key.startswith(self._inside)

    def _emit(self, last: bytes | None) -> None:
        """Put what no later name can come before into the log: a directory's key may follow many names."""
        rows = pa.Table.from_batches(self._pending, PAGE).combine_chunks().sort_by([("key", "ascending")])
        keys = rows.column("key").to_pylist()
        ready = len(keys) if last is None else sum(key <= last for key in keys)
        kept = []
        kinds = rows.column("kind").to_pylist()
        previous: bytes | None = None
        for position, key in enumerate(keys[:ready]):
            if self._is_inside(key) or key == previous:
                continue
            kept.append(position)
            previous = key
            if kinds[position] == Kind.DIRECTORY:
                self._inside = key
        if kept:
            for batch in rows.take(pa.array(kept, pa.int64())).combine_chunks().to_batches():
                self._log.append(batch)
        self._pending = rows.slice(ready).to_batches()

    def close(self) -> None:
        """Let go of what was kept."""
        self._log.close()


async def read_named(source: Storage, options: Options, within: KeyRange, report: Report) -> Named | None:
    """Read the list that a run is given, if any; raises OptionError before anything is looked up."""
    if options.files_from is None:
        return None
    whole, file_like = source.address.is_directory, source.traits.file_like
    reader = NameReader(options.files_from, whole=whole, file_like=file_like)
    names = await reader.read(memory=options.memory // 4, directory=options.spill_dir)
    if not names.rows:
        report.notice("--files-from names nothing")
    if reader.trimmed:
        report.notice(
            f"--files-from: {reader.trimmed} names end in blanks, which were cut off; "
            "a list whose names are separated by NUL bytes keeps them"
        )
    if reader.left:
        report.notice(
            f"--files-from: {reader.left} deletions failed in that run; only a whole run with --delete-dst repeats them"
        )
    return Named(source, names, options, within, report)


def _chunks(names: Spool) -> Iterator[list[bytes]]:
    for batch in names:
        for start in range(0, batch.num_rows, _TOGETHER):
            yield batch.slice(start, _TOGETHER).column("key").to_pylist()


class NamedListing:
    """One side of a run over named entries; it is read like a :class:`fsync.listing.Listing`.

    ``listing(within)`` makes the listing of one side, ``sight`` judges single names by the rules and the range.
    ``destination`` is given where single names are to be asked for there; ``kinds`` are those that can be copied.
    """

    def __init__(
        self,
        named: Named,
        listing: Callable[[KeyRange], Listing],
        sight: Listing,
        within: KeyRange,
        kinds: Sequence[Kind],
        destination: Storage | None,
    ) -> None:
        self._named, self._listing, self._sight, self._within, self._kinds = named, listing, sight, within, kinds
        self._destination = destination
        self._current: Listing | None = None
        self._before = 0
        self.rows = 0
        self.ended = False

    @property
    def excluded(self) -> int:
        """Return how many rows the key rules have dropped; single names count at the source."""
        current = self._current.excluded if self._current else 0
        return self._before + current + (self._sight.excluded if self._destination is None else 0)

    async def pages(self) -> AsyncIterator[pa.RecordBatch]:
        """Yield pages in key order; raises ListingError, OrderError."""
        ahead = look_ahead(self._pages())
        try:
            async for page in ahead:
                self.rows += page.num_rows
                yield page
        finally:
            await ahead.aclose()
        self.ended = True

    async def _pages(self) -> AsyncIterator[pa.RecordBatch]:
        async with closing(self._named.batches()) as batches:
            async for batch in batches:
                directories = having(batch.column("kind"), Kind.DIRECTORY).to_pylist()
                start = 0
                for position, is_directory in enumerate(directories):
                    if is_directory:
                        async for page in self._singles(batch.slice(start, position - start)):
                            yield page
                        async with closing(self._below(batch.column("key")[position].as_py())) as pages:
                            async for page in pages:
                                yield page
                        start = position + 1
                async for page in self._singles(batch.slice(start)):
                    yield page

    async def _singles(self, rows: pa.RecordBatch) -> AsyncIterator[pa.RecordBatch]:
        seen = self._sight.seen(rows)
        if self._destination is not None and seen.num_rows:
            keys = of_kind(seen, *self._kinds).column("key")
            seen = await self._destination.rows(keys.to_pylist(), follow=False, directories=False)
            # a directory of that name is another entry
            seen = seen.filter(pc.is_in(seen.column("key"), keys))
        if seen.num_rows:
            yield seen

    async def _below(self, directory: bytes) -> AsyncIterator[pa.RecordBatch]:
        listing = self._current = self._listing(self._within.below(directory))
        pages = listing.pages()
        try:
            async for page in pages:
                yield page
        except SourceNotFound:
            # the destination need not have the directory yet
            if self._destination is None:
                raise
        finally:
            await pages.aclose()
            self._before += listing.excluded
            self._current = None
