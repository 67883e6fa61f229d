"""Copy one batch of a plan: each object has its own result, and no object's failure is another's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import repeat

import pyarrow as pa
import pyarrow.compute as pc

from fsync.errors import Archived, SourceChanged, SourceVanished, TypeClash, UnsafeName, WrongCopy
from fsync.pacing import Verdict, classify, describe
from fsync.schema import Kind, having
from fsync.storage.base import Storage
from fsync.storage.entry import Entry
from fsync.storage.naming import check_name
from fsync.storage.upload import DirectCopy
from fsync.transfer.outcomes import Outcome, Outcomes, Status
from fsync.transfer.quick import carry, quick_ones
from fsync.transfer.relay import move
from fsync.transfer.verify import check_unchanged, withdraw


class BatchStopped(asyncio.CancelledError):
    """A batch was broken off; ``outcomes`` are those of the entries that had ended by then, in the batch's order."""

    def __init__(self, outcomes: list[Outcome]) -> None:
        super().__init__()
        self.outcomes = outcomes


def entries_of(batch: pa.RecordBatch, side: str = "") -> list[Entry]:
    """Return the source entries (``side`` empty) or destination entries (``dst_``) of a PLAN batch, in its order."""
    columns = {name: batch.column(side + name) for name in _FIELDS}
    columns["mtime"] = columns["mtime"].cast(pa.int64())
    keys = batch.column("key").to_pylist()
    # columns without a value are the rule, and cost nothing
    values = [repeat(None) if held.null_count == len(held) else held.to_pylist() for held in columns.values()]
    kinds = [Kind(code or 0) for code in batch.column(side + "kind").to_pylist()]
    return [
        Entry(key, size, mtime, etag, digest, kind, link, mode, owner, group)
        for key, kind, size, mtime, etag, digest, link, mode, owner, group in zip(keys, kinds, *values, strict=False)
    ]


_FIELDS = ("size", "mtime", "etag", "digest", "link", "mode", "owner", "group")


def direct_copy(source: Storage, destination: Storage) -> DirectCopy | None:
    """Return the call that copies a whole batch at once, None where objects go one by one."""
    running = destination.running
    return None if running.rate or running.inplace else destination.direct(source)


async def copy_batch(source: Storage, destination: Storage, plan: pa.RecordBatch) -> Outcomes:
    """Copy the rows of a PLAN batch. Never raises for one object's failure.

    Where the two ends can do it directly, the first attempt at all files is one call; what fails there, and every
    other pair of ends, goes object by object with retries. Where failures are limited, every call is for one file.
    Raises BatchStopped if it is cancelled while objects go one by one.
    """
    running = destination.running
    direct = direct_copy(source, destination)
    if direct is None:
        return await _apart(source, destination, plan)
    odd: dict[int, Outcome] = {}
    step = 1 if running.failures.most > 0 else max(1, plan.num_rows)
    for start in range(0, plan.num_rows, step):
        found = await _copy_directly(direct, source, destination, plan.slice(start, step))
        odd.update((start + position, outcome) for position, outcome in found.items())
    return Outcomes(plan, odd, "read" if running.check_new else "size")


async def _copy_directly(
    direct: DirectCopy, source: Storage, destination: Storage, plan: pa.RecordBatch
) -> dict[int, Outcome]:
    """Copy the files of a PLAN batch in one call, the rest one by one; give the outcomes of the rest by position."""
    running = destination.running
    if running.failures.reached:
        return {position: Outcome(key, Status.NOT_TRIED) for position, key in enumerate(plan.column("key").to_pylist())}
    fit = pc.and_(having(plan.column("kind"), Kind.FILE), pc.is_valid(plan.column("size")))
    places = pc.indices_nonzero(fit).to_pylist()
    files = plan if len(places) == plan.num_rows else plan.filter(fit)
    failed = dict(await direct(files))
    if running.check_change:
        failed |= await _changed_since(source, destination, files, failed)
    errors = {places[position]: error for position, error in failed.items()}
    left = sorted({*range(plan.num_rows)}.difference(places) | errors.keys())
    rest = plan.take(pa.array(left, pa.int64()))
    running.moved += (pc.sum(plan.column("size")).as_py() or 0) - (pc.sum(rest.column("size")).as_py() or 0)
    return {
        position: await copy_one(source, destination, entry, errors.get(position))
        for position, entry in zip(left, entries_of(rest), strict=True)
    }


async def _changed_since(
    source: Storage, destination: Storage, files: pa.RecordBatch, failed: Mapping[int, Exception]
) -> dict[int, Exception]:
    """Return, by position, why copied files are not what was listed, or their copies are not."""
    copied = [position for position in range(files.num_rows) if position not in failed]
    entries = entries_of(files.take(pa.array(copied, pa.int64())))
    found = await asyncio.gather(
        *(check_unchanged(source, destination, entry) for entry in entries), return_exceptions=True
    )
    return {position: error for position, error in zip(copied, found, strict=True) if isinstance(error, Exception)}


async def _apart(source: Storage, destination: Storage, plan: pa.RecordBatch) -> Outcomes:
    """Copy the rows of a PLAN batch object by object: small ones by blocking calls if both ends have them."""
    entries = entries_of(plan)
    odd: dict[int, Outcome] = {}
    proofs: dict[int, str] = {}

    async def one(position: int, failure: Exception | None = None) -> None:
        odd[position] = await copy_one(source, destination, entries[position], failure)

    async def small(positions: list[int]) -> None:
        failed = await carry(source, destination, entries, positions, proofs)
        await asyncio.gather(*(one(position, failure) for position, failure in failed.items()))

    quick = quick_ones(source, destination, entries)
    tasks = [asyncio.ensure_future(one(position)) for position in sorted({*range(len(entries))}.difference(quick))]
    if quick:
        tasks.append(asyncio.ensure_future(small(quick)))
    try:
        await asyncio.gather(*tasks)
    except asyncio.CancelledError:
        await asyncio.wait(tasks)
        ended = odd | {at: Outcome(entries[at].key, Status.DONE, entries[at].size or 0, proofs[at]) for at in proofs}
        raise BatchStopped([ended[position] for position in sorted(ended)]) from None
    except BaseException:
        # nothing of a batch goes on once it has ended
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    usual = next(iter(proofs.values()), "")
    for position, proof in proofs.items():
        if proof != usual:
            odd[position] = Outcome(entries[position].key, Status.DONE, entries[position].size or 0, proof)
    return Outcomes(plan, odd, usual)


async def copy_one(source: Storage, destination: Storage, entry: Entry, failure: Exception | None = None) -> Outcome:
    """Copy one object, trying again what may succeed; ``failure`` is the error of an attempt already made.

    A source that changed since it was listed is looked at again, and what it is now is copied. A copy that every
    attempt has found to be wrong is removed, unless the source is gone.
    """
    running = destination.running
    async with running.slots:
        if running.failures.reached and failure is None:
            return Outcome(entry.key, Status.NOT_TRIED)
        attempts = _Attempts(source, destination, entry, failure)
        try:
            outcome = await attempts.made()
        except asyncio.CancelledError:
            if attempts.wrong is not None:
                await asyncio.shield(withdraw(source, destination, entry, attempts.wrong))
            raise
        if attempts.wrong is not None and outcome.status is not Status.DONE:
            became = await withdraw(source, destination, entry, attempts.wrong)
            outcome = Outcome(entry.key, Status.FAILED, error=f"{attempts.wrong}; {became}", fatal=outcome.fatal)
        running.failures.count += outcome.status is Status.FAILED
        return outcome


class _Attempts:
    """The attempts at one object; ``wrong`` is what the last look at a copy under its final name has found."""

    def __init__(self, source: Storage, destination: Storage, entry: Entry, failure: Exception | None) -> None:
        self._source, self._destination, self._entry, self._failure = source, destination, entry, failure
        self.wrong: WrongCopy | None = None

    async def made(self) -> Outcome:
        """Try until it is done or not worth another attempt; return how it ended."""
        pacing = self._destination.running.pacing
        attempt = 0
        while True:
            try:
                return await self._attempt()
            except Exception as error:
                key = self._entry.key
                if isinstance(error, WrongCopy):
                    self.wrong = error
                try:
                    verdict, outcome = await _judge(self._source, self._entry, error)
                    if outcome is not None:
                        return outcome
                    if not pacing.again(attempt, verdict):
                        status = Status.ARCHIVED if isinstance(error, Archived) else Status.FAILED
                        return Outcome(key, status, error=describe(error), fatal=verdict is Verdict.FATAL)
                    await asyncio.sleep(pacing.wait(attempt, verdict))
                    if isinstance(error, SourceChanged):
                        self._entry = await _present(self._source, self._entry)
                except SourceVanished:
                    return Outcome(key, Status.VANISHED)
                except Exception as second:
                    return Outcome(key, Status.FAILED, error=describe(second))
                attempt += 1

    async def _attempt(self) -> Outcome:
        source, destination, entry = self._source, self._destination, self._entry
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        check_name(destination, entry)
        if entry.kind is not Kind.FILE:
            await _make(destination, entry)
            return Outcome(entry.key, Status.DONE)
        if entry.size is None:
            entry = self._entry = await _present(source, entry)
        verified = await move(source, destination, entry)
        if destination.running.check_change:
            await check_unchanged(source, destination, entry)
        return Outcome(entry.key, Status.DONE, entry.size or 0, verified)


async def _make(destination: Storage, entry: Entry) -> None:
    """Make a link or a directory."""
    if entry.kind is Kind.LINK:
        await destination.put_link(entry)
    elif entry.kind is Kind.DIRECTORY:
        await destination.put_directory(entry.key)
    else:
        raise UnsafeName("it is no file, link or directory")


async def _judge(source: Storage, entry: Entry, error: Exception) -> tuple[Verdict, Outcome | None]:
    """Tell what an error of an attempt means; an outcome where it ends the object's attempts."""
    if isinstance(error, SourceVanished):
        return Verdict.GONE, Outcome(entry.key, Status.VANISHED)
    if isinstance(error, (TypeClash, NotADirectoryError, IsADirectoryError)):
        words = (
            describe(error) if isinstance(error, TypeClash) else "a file or directory of that name stands in the way"
        )
        return Verdict.PERMANENT, Outcome(entry.key, Status.CLASH, error=words)
    verdict = classify(error)
    if verdict is Verdict.GONE and await source.entry(entry.key) is None:
        return verdict, Outcome(entry.key, Status.VANISHED)
    return verdict, None


async def _present(source: Storage, entry: Entry) -> Entry:
    """Return the entry as it is now."""
    now = await source.entry(entry.key)
    if now is None:
        raise SourceVanished("the source is gone")
    if now.size is None:
        raise SourceChanged("the source does not tell its size")
    return now
