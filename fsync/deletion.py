"""Deletions: set aside while the run goes on, judged when it has ended well, released last.

An *extra* is a destination entry that no source entry matched. Between the listing and the removal stand, in this
order: the keys that the source protects, the keys this run has planned to write, the limits the user gave, and at the
very end one question to the source for each single key.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from fsync.errors import SafetyStop, printable
from fsync.filters import Rules
from fsync.folding import among, shared_names
from fsync.nesting import rounds
from fsync.options import Options
from fsync.pacing import describe
from fsync.schema import KEYS, PAGE, PLAN, Action, Kind, Reason, having
from fsync.spool import Spool
from fsync.storage.base import Storage
from fsync.storage.entry import Entry
from fsync.transfer.batch import copy_one, entries_of
from fsync.transfer.outcomes import Outcome, Status

#: extras judged together
_CHUNK = 100_000
#: extras confirmed, kept and removed together
_BATCH = 1000


@dataclass(slots=True)
class Withheld:
    """Why extras stayed: protected by the source, or being names that this run writes itself."""

    protected: int = 0
    planned: int = 0


class Extras:
    """The destination entries that no source entry matched, until it is known what becomes of them.

    ``protect`` takes keys that exist at the source without being copied: nothing at or below them is removed.
    ``planned`` holds the keys that this run writes.
    """

    def __init__(self, *, spill_dir: str | None) -> None:
        self._spill_dir = spill_dir
        self._protected: set[bytes] = set()
        self.clear()

    def clear(self) -> None:
        """Forget the extras, because the listing that made them was not in order; protections stay."""
        self._rows = Spool(PAGE, directory=self._spill_dir)
        self._doomed = Spool(PLAN, directory=self._spill_dir)
        self.withheld = Withheld()

    def add(self, rows: pa.RecordBatch) -> None:
        """Set aside destination rows; special files are never removed, directories only once they are empty."""
        removable = having(rows.column("kind"), Kind.FILE, Kind.LINK, Kind.DIRECTORY)
        self._rows.append(rows.filter(removable))

    def protect(self, keys: list[bytes]) -> None:
        """Protect keys and everything below them."""
        self._protected.update(key.rstrip(b"/") for key in keys)

    @property
    def count(self) -> int:
        """Return how many entries are set aside."""
        return self._rows.rows

    @property
    def doomed(self) -> Spool:
        """The entries that may go, after :meth:`judge`, as PLAN rows."""
        return self._doomed

    def rows(self) -> Iterator[pa.RecordBatch]:
        """Yield all extras as PLAN batches, whatever may become of them."""
        for batch in self._rows:
            yield _deletions(batch)

    def judge(self, planned: Spool) -> None:
        """Decide which extras may go: those that neither the source protects nor this run writes.

        Names are compared as a file system might fold them (case, Unicode normal form), so that a destination which
        lists a name otherwise than it was written does not lose it.
        """
        shared = shared_names(self._rows, planned, spill_dir=self._spill_dir)
        for batch in self._rows:
            for start in range(0, batch.num_rows, _CHUNK):
                chunk = batch.slice(start, _CHUNK)
                free = pa.array([not self._is_protected(key) for key in chunk.column("key").to_pylist()], pa.bool_())
                self.withheld.protected += chunk.num_rows - (pc.sum(free).as_py() or 0)
                chunk = chunk.filter(free)
                written = among(chunk.column("key"), shared)
                self.withheld.planned += pc.sum(written).as_py() or 0
                self._doomed.append(_deletions(chunk.filter(pc.invert(written))))

    def _is_protected(self, key: bytes) -> bool:
        if not self._protected:
            return False
        if key.rstrip(b"/") in self._protected:
            return True
        end = key.find(b"/")
        while end >= 0:
            if key[:end] in self._protected:
                return True
            end = key.find(b"/", end + 1)
        return False


def _deletions(rows: pa.RecordBatch) -> pa.RecordBatch:
    length = rows.num_rows
    columns = {
        "key": rows.column("key"),
        "action": pa.repeat(pa.scalar(int(Action.DELETE), pa.int8()), length),
        "reason": pa.repeat(pa.scalar(int(Reason.EXTRA), pa.int8()), length),
        **{"dst_" + name: rows.column(name) for name in ("kind", "size", "mtime", "etag", "digest", "link")},
    }
    return pa.RecordBatch.from_arrays(
        [columns.get(field.name, pa.nulls(length, field.type)) for field in PLAN], schema=PLAN
    )


def check_limits(
    deletions: int,
    *,
    destination_rows: int,
    considered: int,
    options: Options,
    strange: bytes | None,
    departures: int = 0,
) -> None:
    """Raise SafetyStop if the run may not delete that much.

    ``considered`` counts the source entries left after all rules, ``departures`` those of them that are to be removed
    at the source; ``strange`` is, in prefix mode, the top-level name of an extra that the source does not have.
    """
    if not considered and not options.allow_empty_source:
        raise SafetyStop(
            "nothing was deleted: no source entry is left after all rules"
            + (", so everything at the destination would go" if options.delete_dst else "")
            + "; if that is meant, add --allow-empty-source"
        )
    limit = options.max_delete
    if limit is not None:
        # a number bounds all removals together, a share those of each side
        together = 0 if limit.count is None else departures
        if not limit.allows(deletions + together, destination_rows) or not limit.allows(departures, considered):
            sides = [f"{deletions} of {destination_rows} destination entries"] if options.delete_dst else []
            sides += [f"{departures} of {considered} source entries"] if options.deletes_src else []
            told = "fsync check tells which (extra)" if deletions else "--dry tells which"
            raise SafetyStop(
                f"nothing was deleted: {' and '.join(sides)} would go, more than --max-delete {limit}; {told}; "
                "if they are to go, raise it"
            )
    if strange is not None and not options.delete_prefix:
        shown = printable(strange) or "an entry named exactly so"
        raise SafetyStop(
            f"nothing was deleted: the addresses are prefixes, and {shown} matches only at the "
            "destination; end both addresses with / if directories are meant, else add --delete-prefix"
        )


def top_names(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Return the top-level names of a page's entries, each once, as KEYS."""
    names = dict.fromkeys(top_name(key) for key in rows.column("key").to_pylist())
    return pa.RecordBatch.from_arrays([pa.array(list(names), pa.binary())], schema=KEYS)


def strange_name(doomed: Spool, source_names: Spool) -> bytes | None:
    """Return the first top-level name of the doomed entries that the source does not have, None if it has all."""
    for batch in doomed.grouped(_CHUNK):
        names = top_names(batch).column("key")
        unknown = pa.repeat(pa.scalar(True, pa.bool_()), len(names))
        for known in source_names.grouped(_CHUNK):
            unknown = pc.and_(unknown, pc.invert(pc.is_in(names, known.column("key"))))
        first = pc.index(unknown, True).as_py()
        if first >= 0:
            strange: bytes = names[first].as_py()
            return strange
    return None


def top_name(key: bytes) -> bytes:
    """Return the first component of a key."""
    return key.partition(b"/")[0]


async def release(
    source: Storage, destination: Storage, backup: Storage | None, rules: Rules, doomed: Spool, gone: set[bytes]
) -> AsyncIterator[tuple[pa.RecordBatch, list[Outcome]]]:
    """Remove the doomed entries batch by batch; yield each batch with its outcomes.

    First the source is asked for each single key once more. If one stands there after all, or the source cannot be
    asked, its listing was not the whole truth: that entry fails and nothing is removed. With ``backup`` an entry is
    removed only after it was copied there. Directories go last, the deepest first, if they are empty by then.
    ``gone`` are keys that are removed already.
    """
    refused = False
    for batch in _batches(doomed, gone):
        answers = await asyncio.gather(*(missing_at(source, rules, entry) for entry in entries_of(batch, "dst_")))
        present = pa.array([answer is not None for answer in answers], pa.bool_())
        if pc.any(present).as_py():
            refused = True
            yield batch.filter(present), [answer for answer in answers if answer is not None]
    if refused:
        return
    directories = Spool(PLAN, directory=doomed.directory)
    for batch in _batches(doomed, gone):
        is_directory = having(batch.column("dst_kind"), Kind.DIRECTORY)
        directories.append(batch.filter(is_directory))
        batch = batch.filter(pc.invert(is_directory))
        yield batch, await _remove(destination, backup, entries_of(batch, "dst_"))
    for batch in reversed(list(directories)):
        batch = batch.take(pa.array(range(batch.num_rows - 1, -1, -1), pa.int64()))
        emptied = [await destination.remove_directory(key) for key in batch.column("key").to_pylist()]
        kept = batch.filter(pa.array(emptied, pa.bool_()))
        yield kept, [Outcome(key, Status.DONE) for key in kept.column("key").to_pylist()]


#: directories that the source has, remembered at most
_KNOWN = 10_000


async def remove_emptied(source: Storage, destination: Storage, rules: Rules, released: Spool) -> None:
    """Remove the directories that a release has left without any entry and that the source does not have.

    From each released entry upwards, up to but not including the root. Only where there are directories, and where
    the storage itself refuses to remove one that is not empty.
    """
    if not destination.removes_only_empty:
        return
    kept: set[bytes] = set()
    tried = b""
    for batch in released:
        for key in batch.column("key").to_pylist():
            directory = _above(key)
            if directory == tried:
                continue
            tried = directory
            while directory and directory not in kept:
                if await missing_at(source, rules, Entry(directory + b"/", None)) is not None:
                    kept = kept if len(kept) < _KNOWN else set()
                    kept.add(directory)
                elif await destination.remove_directory(directory + b"/"):
                    directory = _above(directory)
                    continue
                break


def _above(key: bytes) -> bytes:
    return key.rpartition(b"/")[0]


def _batches(spool: Spool, gone: set[bytes]) -> Iterator[pa.RecordBatch]:
    already = pa.array(sorted(gone), pa.binary())
    for batch in spool:
        batch = batch.filter(pc.invert(pc.is_in(batch.column("key"), already)))
        for start in range(0, batch.num_rows, _BATCH):
            yield batch.slice(start, _BATCH)


async def missing_at(source: Storage, rules: Rules, entry: Entry) -> Outcome | None:
    """Return None if the source, asked now, does not have a key; else why the entry must stay.

    A key that the rules exclude is an extra whatever the source has, and only with ``--delete-excluded``.
    """
    if not rules.keeps(entry.key):
        return None
    try:
        async with source.running.slots:
            # a name that the source cannot hold is not there, and must not be asked for: it could mean another place
            if source.refuses(entry.key.rstrip(b"/")) is None and await source.exists(entry.key):
                error = "not deleted: the source has it, though it was not listed"
                return Outcome(entry.key, Status.FAILED, error=error)
    except Exception as error:
        return Outcome(entry.key, Status.FAILED, error=f"not deleted: the source could not be asked: {describe(error)}")
    return None


async def keep(destination: Storage, backup: Storage | None, entry: Entry) -> Outcome | None:
    """Copy an entry that is to go to the backup; return None if it may go now, else why not."""
    if backup is not None:
        kept = await copy_one(destination, backup, entry)
        if kept.status not in (Status.DONE, Status.VANISHED):
            error = f"not deleted: no backup of it could be made: {kept.error}"
            return Outcome(entry.key, Status.FAILED, error=error)
    return None


async def _remove(destination: Storage, backup: Storage | None, entries: list[Entry]) -> list[Outcome]:
    outcomes: list[Outcome | None] = [None] * len(entries)
    together = backup is None or backup.nests
    for found in [range(len(entries))] if together else rounds([entry.key for entry in entries]):
        kept = await asyncio.gather(*(keep(destination, backup, entries[position]) for position in found))
        for position, outcome in zip(found, kept, strict=True):
            outcomes[position] = outcome
    wanted = [position for position, outcome in enumerate(outcomes) if outcome is None]
    errors = await destination.delete([entries[position] for position in wanted])
    for position, error in zip(wanted, errors, strict=True):
        key = entries[position].key
        failed = None if error is None else Outcome(key, Status.FAILED, error=describe(error))
        outcomes[position] = failed or Outcome(key, Status.DONE)
    return [outcome for outcome in outcomes if outcome is not None]
