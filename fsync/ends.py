"""The two ends of a run, opened, and everything the steps of the run share."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fsync.address import Address, parse
from fsync.comparison import Comparison, Times, comparison_for
from fsync.criteria import Criteria, criteria_for
from fsync.deletion import Extras
from fsync.errors import (
    AccessDenied,
    AddressError,
    FsyncError,
    ListingError,
    OptionError,
    Redactor,
    RuleError,
    SourceNotFound,
)
from fsync.executor import Planned
from fsync.filters import Rules
from fsync.keyrange import KeyRange
from fsync.listing import Listing
from fsync.named import Named, read_named
from fsync.notices import tell_counts, tell_unkept
from fsync.options import Options
from fsync.pacing import Pacing, describe
from fsync.pairing import check_pair, reconcile
from fsync.removal import Departures, check_departures
from fsync.report import Listener, Report
from fsync.schema import KEYS, PLAN, RESULT_WORDS, Kind, having
from fsync.spool import Spool
from fsync.storage import check_engine, open_storage
from fsync.storage.base import Storage
from fsync.storage.entry import Presence
from fsync.storage.running import Failures, Running
from fsync.storage.turns import closing
from fsync.tables import TableFile
from fsync.traits import KeyOrder, MtimeKind


@dataclass
class Ends:
    """Both ends of one run and what its steps hand to each other.

    ``sorted_sides`` names the sides (``source``, ``destination``) whose listings go through the external sort;
    ``check`` says that the run compares only; ``source_names`` holds the source's top-level names in prefix mode.
    """

    source: Storage
    destination: Storage
    backup: Storage | None
    options: Options
    rules: Rules
    report: Report
    comparison: Comparison
    source_missing: bool = False
    destination_missing: bool = False
    check: bool = False
    #: with ``--files-from``: what it names
    named: Named | None = None
    criteria: Criteria = field(init=False)
    within: KeyRange = field(init=False)
    #: keeps what ``--last`` does not hold back
    first: Rules = field(default_factory=Rules)
    extras: Extras = field(init=False)
    departures: Departures = field(init=False)
    planned: Planned = field(init=False)
    #: with ``--dirs``: the source's directories, whose times are set when everything in them is done
    directories: Spool = field(init=False)
    source_names: Spool = field(init=False)
    #: what ``--last`` holds back
    last: Spool = field(init=False)
    sorted_sides: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.criteria = criteria_for(self.options)
        self.within = KeyRange(self.options.start, self.options.end)
        self.extras = Extras(spill_dir=self.options.spill_dir)
        self.departures = Departures(self.options, spill_dir=self.options.spill_dir)
        self.planned = Planned(spill_dir=self.options.spill_dir)
        self.directories = self.spool_of_plans()
        self.source_names = self._spool_of_keys()
        self.last = self.spool_of_plans()
        options = self.options
        if self.destination.traits.key_order is KeyOrder.CHECKED and (
            options.update or options.ignore_existing or options.existing or options.backup_dir is not None
        ):
            # an entry overlooked for a while must not be overwritten under these options
            self.sorted_sides.add("destination")
        if options.limit >= 0:
            # "the first N" means nothing in a listing that may still turn out not to be in order
            self.sorted_sides.update(
                side for side in ("source", "destination") if self.side(side).traits.key_order is KeyOrder.CHECKED
            )

    def side(self, name: str) -> Storage:
        """Return the storage of ``source`` or ``destination``."""
        return self.source if name == "source" else self.destination

    @property
    def wants_extras(self) -> bool:
        """Tell whether destination entries without a source are kept until the end."""
        return self.options.delete_dst or self.check

    @property
    def may_restart(self) -> bool:
        """Tell whether a listing may turn out to need the external sort after copies were planned."""
        return any(
            self.side(name).traits.key_order is KeyOrder.CHECKED and name not in self.sorted_sides
            for name in ("source", "destination")
        )

    def spool_of_plans(self) -> Spool:
        """Return an empty spool for PLAN batches."""
        return Spool(PLAN, directory=self.options.spill_dir)

    def _spool_of_keys(self) -> Spool:
        return Spool(KEYS, directory=self.options.spill_dir)

    async def prepare(self) -> None:
        """Make the destination's directory, and open the account of single results."""
        for storage in (self.destination, *([self.backup] if self.backup else [])):
            try:
                await storage.prepare_destination()
            except OSError as error:
                kind = AccessDenied if isinstance(error, PermissionError) else ListingError
                raise kind(f"cannot make the directory {storage.address.given}: {describe(error)}") from error

    def hold_back(self, plan: pa.RecordBatch) -> pa.RecordBatch:
        """Return planned rows without those that ``--last`` wants to be copied when all others are."""
        if not self.options.last:
            return plan
        first = self.first.mask(plan.column("key"))
        self.last.append(plan.filter(pc.invert(first)))
        return plan.filter(first)

    def note_directories(self, rows: pa.RecordBatch) -> None:
        """Keep the directories among decided rows for the end of the run, where the destination keeps their times."""
        if self.destination.traits.mtime is MtimeKind.SETTABLE and not self.options.dry:
            self.directories.append(rows.filter(having(rows.column("kind"), Kind.DIRECTORY)))

    def tell_counts(self) -> None:
        """Count at the end of the run what could not be kept, and what was left."""
        tell_counts(self.options, self.report, self.destination, self.departures, permitted=self.comparison.perms)

    def restart(self) -> None:
        """Forget what a listing that was out of order has led to, except for what was planned."""
        self.extras.clear()
        self.departures.restart()
        self.planned.restart()
        self.report.restart()
        self.source_names = self._spool_of_keys()


def parse_pair(
    src: Any, dst: Any, options: Options, src_options: dict[str, Any], dst_options: dict[str, Any]
) -> tuple[Address, Address]:
    """Read both addresses; raises AddressError, also for two that overlap as they are written."""
    plain = options.no_https
    source = parse(src, options={**src_options, **options.src_option}, no_https=plain or options.src_no_https)
    destination = parse(dst, options={**dst_options, **options.dst_option}, no_https=plain or options.dst_no_https)
    if destination.family == "http":
        raise AddressError(f"{destination.given}: a web server can be a source only")
    check_engine(options.engine, source, destination)
    if options.exact and source.is_directory:
        raise AddressError(f"--exact names one object, and {source.given} ends in / like a directory")
    if source.is_directory == destination.is_directory:
        check_pair(source, destination, exact=options.exact)
    return source, destination


@asynccontextmanager
async def opened(
    src: Address,
    dst: Address,
    options: Options,
    listener: Listener | None,
    *,
    keep_rows: bool = False,
    details: bool = True,
    check: bool = False,
) -> AsyncIterator[Ends]:
    """Open both ends, settle their spelling, refuse what overlaps, and close them at the end.

    ``details`` says that the listener wants an event for each completed action.
    Must run on the loop that the storages' sessions belong to. Raises UsageError before anything is touched,
    ListingError where an end is missing or refuses access.
    """
    rules = Rules.parse(options.rules, full_path=options.match_full_path)
    first = _first(options)
    _check_spill_dir(options.spill_dir)
    backup_address = (
        None
        if options.backup_dir is None
        else parse(options.backup_dir, options=_backup_options(dst, options), no_https=options.no_https)
    )
    secrets = [*src.secrets, *dst.secrets, *(backup_address.secrets if backup_address else ())]
    redact = Redactor(secrets)
    report = Report(listener, redact, dry=options.dry, details=details)
    running = _running(options)
    running.origin = src.url
    storages: list[Storage] = []
    ends: Ends | None = None
    try:
        for address in (src, dst, *([backup_address] if backup_address else [])):
            storages.append(await open_storage(address, running))  # noqa: PERF401 - closed if a later one fails
        source, destination, *others = storages
        found, there = await _probed(source, destination)
        source, destination = await _reconciled(source, destination, found, there, exact=options.exact)
        backup = _backup_at(others[0], source, destination) if others else None
        storages = [source, destination, *([backup] if backup else [])]
        if options.exact and found is not Presence.FILE:
            raise SourceNotFound(f"{source.address.given} is not one object, as --exact wants it")
        if found is Presence.NOTHING and source.address.is_directory and not options.allow_empty_source:
            raise SourceNotFound(
                f"{source.address.given} does not exist; if an empty source is meant, add --allow-empty-source"
            )
        # the times of one store come from one clock
        clocks = () if destination.same_store(source) else (source.clock(), destination.clock())
        comparison = comparison_for(source.traits, destination.traits, options, *clocks, owners=os.geteuid() == 0)
        check_departures(source, comparison, options)
        running.mask = 0o600 if comparison.perms else 0o666
        ends = Ends(
            source, destination, backup, options, rules, report, comparison,
            source_missing=found is Presence.NOTHING and source.address.is_directory,
            destination_missing=there is Presence.NOTHING,
            check=check, first=first,
        )  # fmt: skip
        ends.named = await read_named(source, options, ends.within, report)
        if keep_rows:
            report.rows = Spool(RESULT_WORDS, directory=options.spill_dir)
        if options.report is not None:
            check_outside("--report", options.report, source.address, destination.address)
            report.file = TableFile(options.report, RESULT_WORDS)
        report.emit(
            "start", source=source.address.given, destination=destination.address.given, rule=comparison.words(),
            verb="check" if check else "sync", server_side=destination.same_store(source),
        )  # fmt: skip
        if comparison.times is Times.NONE and not (options.size_only or comparison.reads or options.force_update):
            report.notice("entries are compared by size alone: one of the storages tells no modification times")
        tell_unkept(options, report, source, destination)
        ticker = asyncio.ensure_future(_tick(report, running))
        try:
            yield ends
        finally:
            ticker.cancel()
    except FsyncError as error:
        error.args = (redact(error), *error.args[1:])
        raise
    finally:
        ended_by = sys.exc_info()[1]
        try:
            # also of a run that failed: its rows are what was done
            report.close()
        except FsyncError:
            if ended_by is None:
                raise
        finally:
            if ends is not None and ends.named is not None:
                ends.named.close()
            for storage in storages:
                await storage.close()
            running.shutdown()


@asynccontextmanager
async def opened_one(address: Address, options: Options) -> AsyncIterator[Listing]:
    """Open one address to be listed through the key rules."""
    rules = Rules.parse(options.rules, full_path=options.match_full_path)
    _check_spill_dir(options.spill_dir)
    running = _running(options)
    storage = await open_storage(address, running)
    try:
        found = await storage.probe()
        if found is Presence.DIRECTORY and not address.is_directory:
            storage = storage.at(address.as_directory())
        elif found is Presence.NOTHING and address.is_directory:
            raise SourceNotFound(f"{address.given} does not exist")
        listing = Listing(
            storage, rules, follow=True, within=KeyRange(options.start, options.end),
            sort=storage.traits.key_order is KeyOrder.CHECKED and options.limit >= 0,
            memory=options.memory // 4, spill_dir=options.spill_dir,
        )  # fmt: skip
        yield listing
        if listing.ended and not (listing.rows or listing.excluded or storage.address.is_directory):
            raise SourceNotFound(f"nothing begins with {address.given}")
    finally:
        await storage.close()
        running.shutdown()


def check_outside(option: str, path: str, *ends: Address) -> None:
    """Refuse an output file inside one of the trees: it would be copied, or removed, while it is written."""
    place = os.path.join(os.path.realpath(os.path.dirname(path) or "."), os.path.basename(path))
    for end in ends:
        root = _real(end)
        if root is None:
            continue
        root = os.path.join(root, "") if os.path.isdir(root) else root
        if place.startswith(root):
            raise OptionError(f"{option} {path} lies in {end.given}: give a place outside both trees")


async def _probed(source: Storage, destination: Storage) -> tuple[Presence, Presence]:
    """Look at both ends at once; where both fail, the source's error is the one that is raised."""
    there = asyncio.ensure_future(destination.probe())
    try:
        return await source.probe(), await there
    finally:
        there.cancel()
        await asyncio.gather(there, return_exceptions=True)


def _backup_options(dst: Address, options: Options) -> dict[str, Any]:
    """Return the destination's storage options for a backup address of the same protocol."""
    text = options.backup_dir if isinstance(options.backup_dir, str) else ""
    scheme = text.partition("://")[0] if "://" in text else ""
    return dict(dst.storage_options) if scheme and scheme == dst.protocol else {}


def _first(options: Options) -> Rules:
    """Return the rules that keep what ``--last`` does not hold back."""
    try:
        return Rules.parse([("exclude", pattern) for pattern in options.last], full_path=options.match_full_path)
    except RuleError as error:
        raise RuleError(str(error).replace("--exclude", "--last", 1)) from None


def _check_spill_dir(directory: str | None) -> None:
    if directory is not None and not (os.path.isdir(directory) and os.access(directory, os.W_OK | os.X_OK)):
        raise OptionError(f"--spill-dir {directory} is no directory that can be written to")


def _running(options: Options) -> Running:
    return Running(
        threads=options.threads,
        list_threads=options.list_threads,
        list_depth=options.list_depth,
        processes=options.processes,
        timeout=options.timeout,
        memory=options.memory,
        pacing=Pacing(retries=options.retries),
        rate=options.bwlimit * 1e6 / 8,
        check_new=options.check_new or options.check_all,
        check_change=options.check_change,
        failures=Failures(options.max_failure),
        engine=options.engine,
        inplace=options.inplace,
        storage_class=options.storage_class,
        metadata=not options.no_metadata,
    )


async def _tick(report: Report, running: Running) -> None:
    while True:
        await asyncio.sleep(0.2)
        report.tell_progress(*running.progress())


async def _reconciled(
    source: Storage, destination: Storage, found: Presence, there: Presence, *, exact: bool
) -> tuple[Storage, Storage]:
    """Bring both addresses into one spelling by what stands there, and refuse pairs that overlap."""
    src, dst = source.address, destination.address
    single = None
    if not src.is_directory and dst.is_directory and found is Presence.FILE:
        single = exact or await _stands_alone(source)
    src, dst = reconcile(
        src, dst,
        src_is_directory=found is Presence.DIRECTORY,
        dst_is_directory=there is Presence.DIRECTORY,
        src_is_file=single,
    )  # fmt: skip
    check_pair(src, dst, src_real=_real(src), dst_real=_real(dst), exact=exact or bool(single))
    if src != source.address:
        source = source.at(src)
    if dst != destination.address:
        destination = destination.at(dst)
    return source, destination


async def _stands_alone(source: Storage) -> bool:
    """Tell whether exactly one name begins with a prefix."""
    rows = 0
    async with closing(source.pages()) as pages:
        async for page in pages:
            rows += page.num_rows
            if rows > 1:
                return False
    return rows == 1


def _real(address: Address) -> str | None:
    """Return a local root with all links resolved, its slash kept."""
    if address.family != "local":
        return None
    return os.path.realpath(address.root).rstrip("/") + ("/" if address.is_directory else "")


def _backup_at(backup: Storage, source: Storage, destination: Storage) -> Storage:
    address = backup.address.as_directory()
    for end, name in ((source, "SRC"), (destination, "DST")):
        try:
            check_pair(address, end.address, src_real=_real(address), dst_real=_real(end.address))
        except AddressError:
            raise AddressError(f"--backup-dir {address.given} overlaps {name}: keep backups outside both") from None
    return backup.at(address)
