"""The Python API: what ``import fsync`` offers, each function also as a coroutine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fsync.address import parse
from fsync.ends import Ends, opened, parse_pair
from fsync.errors import FsyncError, OptionError, SyncError, UsageError
from fsync.loops import pumped, run, start
from fsync.options import Options, options_from
from fsync.report import Listener, SyncResult
from fsync.storage.turns import closing

if TYPE_CHECKING:
    import pyarrow as pa

    from fsync.listing import Listing

Progress = bool | Callable[[dict[str, Any]], None]
StorageOptions = Mapping[str, Any] | None


def resolve(address: Any, *, storage_options: StorageOptions = None, **options: Any) -> tuple[str, dict[str, Any]]:
    """Normalise an address into an fsspec URL without secrets and its storage options.

    Options of the storage may be given as ``storage_options`` or one by one. The pair is ready for
    ``pandas.read_parquet(url, storage_options=options)``. Raises AddressError.
    """
    parsed = parse(address, options={**(storage_options or {}), **options})
    return parsed.url, dict(parsed.storage_options)


def sync(
    src: Any,
    dst: Any,
    *,
    storage_options: StorageOptions = None,
    src_storage_options: StorageOptions = None,
    dst_storage_options: StorageOptions = None,
    progress: Progress = False,
    raise_on_error: bool = True,
    **options: Any,
) -> SyncResult:
    """Make DST hold what SRC holds and return what was done.

    Addresses are texts, paths, UPaths or ``(fs, path)`` pairs. ``storage_options`` applies to the remote end, or to
    both when both have one protocol. ``progress``: True for a display on stderr, or a callable that gets the events
    of ``--json``. Options carry the flags' names with underscores; ``include`` and ``exclude`` count in the order
    given. Raises UsageError before anything is touched, ListingError, SafetyStop, and SyncError (with the result)
    where objects failed; with ``raise_on_error=False`` all but UsageError come back as the result's ``exit_code``.
    """
    call = Call(src, dst, storage_options, src_storage_options, dst_storage_options, options, verb="sync")
    with _listening(progress) as listener:
        try:
            result = run(call.sync(listener, keep_rows=True), alone=call.alone)
        except FsyncError as error:
            return _ended(error, raise_on_error)
        return _judged(result, raise_on_error)


async def async_sync(
    src: Any,
    dst: Any,
    *,
    storage_options: StorageOptions = None,
    src_storage_options: StorageOptions = None,
    dst_storage_options: StorageOptions = None,
    progress: Progress = False,
    raise_on_error: bool = True,
    **options: Any,
) -> SyncResult:
    """Do what :func:`sync` does, awaited on any loop; cancelling the awaiting task cancels the run."""
    call = Call(src, dst, storage_options, src_storage_options, dst_storage_options, options, verb="sync")
    with _listening(progress) as listener:
        future = start(call.sync(listener, keep_rows=True), alone=call.alone)
        try:
            result = await asyncio.wrap_future(future)
        except FsyncError as error:
            return _ended(error, raise_on_error)
        return _judged(result, raise_on_error)


def check(
    src: Any,
    dst: Any,
    *,
    storage_options: StorageOptions = None,
    src_storage_options: StorageOptions = None,
    dst_storage_options: StorageOptions = None,
    progress: Progress = False,
    **options: Any,
) -> SyncResult:
    """Compare two trees and touch nothing.

    In the result ``copied`` counts what is missing at DST, ``updated`` what is different, ``deleted`` what only DST
    has, ``failed`` what could not be read to be compared; ``exit_code`` is 1 if anything failed, else 5 if anything is
    different, else 0, and ``table()`` has a row for each. Raises UsageError, ListingError.
    """
    call = Call(src, dst, storage_options, src_storage_options, dst_storage_options, options, verb="check")
    with _listening(progress) as listener:
        return run(call.check(listener, keep_rows=True), alone=call.alone)


async def async_check(src: Any, dst: Any, **arguments: Any) -> SyncResult:
    """Return what :func:`check` returns, awaited."""
    return await asyncio.to_thread(lambda: check(src, dst, **arguments))


def plan(
    src: Any,
    dst: Any,
    *,
    storage_options: StorageOptions = None,
    src_storage_options: StorageOptions = None,
    dst_storage_options: StorageOptions = None,
    **options: Any,
) -> pa.RecordBatchReader:
    """Return what a sync would do as a reader of Arrow record batches (``.read_all()`` for a table).

    Columns: key (binary), action, reason, kind, then size, times and digests of both sides. Copies come in key order,
    deletions after them. Errors are raised where the reader meets them; nothing is ever touched.
    """
    import pyarrow as pa

    from fsync.schema import PLAN_WORDS, in_words

    call = Call(src, dst, storage_options, src_storage_options, dst_storage_options, options, verb="sync")
    batches = pumped(call.plan())
    return pa.RecordBatchReader.from_batches(PLAN_WORDS, (in_words(batch) for batch in batches))


async def async_plan(src: Any, dst: Any, **arguments: Any) -> pa.Table:
    """Return what :func:`plan` reads, as one table."""
    return await asyncio.to_thread(lambda: plan(src, dst, **arguments).read_all())


def ls(address: Any, *, storage_options: StorageOptions = None, **options: Any) -> pa.Table:
    """Return the entries below an address as a table, seen through the same rules as a sync sees them.

    Columns: key (binary, relative to the address), kind, size, mtime, changed, etag, digest, link, mode, owner, group.
    Raises UsageError, ListingError.
    """
    import pyarrow as pa

    from fsync.schema import PAGE_WORDS, page_in_words

    listing = pumped(list_pages(address, options_from(options, verb="ls"), storage_options))
    return pa.Table.from_batches([page_in_words(page) for page in listing], PAGE_WORDS)


async def async_ls(address: Any, **arguments: Any) -> pa.Table:
    """Return what :func:`ls` returns, awaited."""
    return await asyncio.to_thread(lambda: ls(address, **arguments))


class Call:
    """One checked call of :func:`sync`, :func:`check` or :func:`plan`; ``from_cli`` for the command line's own."""

    def __init__(
        self,
        src: Any,
        dst: Any,
        both: StorageOptions,
        of_src: StorageOptions,
        of_dst: StorageOptions,
        options: Mapping[str, Any],
        *,
        verb: str,
        from_cli: bool = False,
    ) -> None:
        self.options = options_from(options, verb=verb, from_cli=from_cli)
        src_options, dst_options = _shared(src, dst, both, of_src, of_dst)
        self.src, self.dst = parse_pair(src, dst, self.options, src_options, dst_options)
        backup = self.options.backup_dir
        addresses = [self.src, self.dst, *([parse(backup)] if backup is not None else [])]
        #: only local trees take part, which need no fsspec
        self.alone = all(address.family == "local" for address in addresses)

    async def sync(self, listener: Listener | None, *, keep_rows: bool, details: bool = True) -> SyncResult:
        """Run the sync, or its plan alone where the call is a dry run; ``details`` tells each finished action."""
        from fsync import pipeline

        async with opened(self.src, self.dst, self.options, listener, keep_rows=keep_rows, details=details) as ends:
            if self.options.dry:
                return await _told(ends, pipeline.plan(ends), found_code=5 if self.options.exit_code else 0)
            return await pipeline.sync(ends)

    async def check(self, listener: Listener | None, *, keep_rows: bool) -> SyncResult:
        """Compare only."""
        from fsync import pipeline

        options = replace(self.options, dry=True)
        async with opened(self.src, self.dst, options, listener, keep_rows=keep_rows, check=True) as ends:
            return await _told(ends, pipeline.check(ends), found_code=5)

    async def plan(self) -> AsyncIterator[pa.RecordBatch]:
        """Yield the plan."""
        from fsync import pipeline
        from fsync.executor import keep_plan

        async with opened(self.src, self.dst, self.options, None) as ends, closing(pipeline.plan(ends)) as plans:
            async for batch in plans:
                keep_plan(batch, ends.report)
                yield batch


async def _told(ends: Ends, batches: AsyncIterator[pa.RecordBatch], *, found_code: int) -> SyncResult:
    """Take a plan that is not carried out into the report; ``found_code`` is the exit code if it has rows."""
    from fsync.executor import keep_plan

    found = 0
    try:
        async with closing(batches):
            async for batch in batches:
                found += batch.num_rows
                keep_plan(batch, ends.report)
    except FsyncError as error:
        error.result = ends.report.result(complete=False, exit_code=error.exit_code)
        raise
    exit_code = 1 if ends.report.counts["failed"] else found_code if found else 0
    return ends.report.result(complete=True, exit_code=exit_code)


async def list_pages(
    address: Any, options: Options, storage_options: StorageOptions = None
) -> AsyncIterator[pa.RecordBatch]:
    """Yield the pages of one address through its rules and ``--limit``."""
    from fsync.ends import opened_one
    from fsync.notices import speaks_http
    from fsync.schema import PAGE_WORDS, page_in_words
    from fsync.tables import TableFile

    parsed = parse(address, options={**(storage_options or {}), **options.src_option}, no_https=options.no_https)
    if options.no_https and not speaks_http(parsed):
        raise OptionError(f"--no-https has no effect: {parsed.given} names no endpoint that is reached over http")
    async with opened_one(parsed, options) as listing:
        table = None if options.report is None else TableFile(options.report, PAGE_WORDS)
        try:
            async with closing(limited(wanted(listing, options), options.limit)) as pages:
                async for page in pages:
                    if table is not None:
                        table.write(page_in_words(page))
                    yield page
        finally:
            if table is not None:
                table.close()


async def wanted(listing: Listing, options: Options) -> AsyncIterator[pa.RecordBatch]:
    """Yield a listing's pages with the files only that the size, age and time rules want."""
    from fsync.criteria import criteria_for
    from fsync.listing import completed

    criteria = criteria_for(options)
    async with closing(listing.pages()) as pages:
        async for page in pages:
            if criteria:
                page = await completed(listing.storage, page, criteria.unknown(page))
                page = page.filter(criteria.wanted(page))
            if page.num_rows:
                yield page


async def limited(pages: AsyncIterator[pa.RecordBatch], rows: int) -> AsyncIterator[pa.RecordBatch]:
    """Yield pages up to a number of rows (-1: all)."""
    left = rows
    async with closing(pages):
        async for page in pages:
            yield page if left < 0 else page.slice(0, left)
            if left >= 0:
                left -= min(left, page.num_rows)
                if not left:
                    return


def _shared(
    src: Any, dst: Any, both: StorageOptions, of_src: StorageOptions, of_dst: StorageOptions
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the storage options of each end; TypeError where it is not clear which end is meant."""
    src_options, dst_options = dict(of_src or {}), dict(of_dst or {})
    if not both:
        return src_options, dst_options
    ends = [
        (parse(end, options={**both, **options}), options) for end, options in ((src, src_options), (dst, dst_options))
    ]
    remote = [end for end in ends if end[0].family != "local"]
    if len(remote) == 2 and remote[0][0].protocol != remote[1][0].protocol:
        raise TypeError(
            "storage_options is for one remote end, or for two of one protocol: "
            "give src_storage_options and dst_storage_options instead"
        )
    if not remote:
        raise TypeError("storage_options is for a remote end, and both ends are local")
    for _, options in remote:
        for name, value in both.items():
            options.setdefault(name, value)
    return src_options, dst_options


def _ended(error: FsyncError, raise_on_error: bool) -> SyncResult:
    """Return the result of a run that an error ended early, or raise the error."""
    if raise_on_error or isinstance(error, UsageError):
        raise error
    result = error.result or SyncResult(exit_code=error.exit_code)
    return replace(result, notices=(*result.notices, str(error)))


def _judged(result: SyncResult, raise_on_error: bool) -> SyncResult:
    if raise_on_error and result.failed:
        first = f"; the first: {result.failures[0]}" if result.failures else ""
        entries = "1 entry" if result.failed == 1 else f"{result.failed} entries"
        raise SyncError(f"{entries} could not be handled{first}", result)
    return result


@contextmanager
def _listening(progress: Progress) -> Iterator[Listener | None]:
    """Give the listener that ``progress`` asks for."""
    if progress is True:
        from fsync.display import Display

        with Display() as display:
            yield display.listen
    else:
        yield progress if callable(progress) else None
