"""Copy one batch of a plan: each object has its own result, and no object's failure is another's."""

from __future__ import annotations

import asyncio
from itertools import repeat

import pyarrow as pa
import pyarrow.compute as pc

from fsync.errors import SourceChanged, SourceVanished, TypeClash, UnsafeName, VerifyError
from fsync.pacing import Verdict, classify, describe
from fsync.schema import Kind, having
from fsync.storage.base import DirectCopy, Entry, Storage, check_name
from fsync.transfer.outcomes import Outcome, Outcomes, Status
from fsync.transfer.relay import compare, move


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
    return None if running.rate or running.check_new else destination.direct(source)


async def copy_batch(source: Storage, destination: Storage, plan: pa.RecordBatch) -> Outcomes:
    """Copy the rows of a PLAN batch. Never raises for one object's failure.

    Where the two ends can do it directly, the first attempt at all files is one call; what fails there, and every
    other pair of ends, goes object by object with retries. Raises BatchStopped if it is cancelled while those do.
    """
    running = destination.running
    direct = direct_copy(source, destination)
    if direct is None:
        return Outcomes(plan, dict(enumerate(await _one_by_one(source, destination, entries_of(plan)))))
    fit = pc.and_(having(plan.column("kind"), Kind.FILE), pc.is_valid(plan.column("size")))
    places = pc.indices_nonzero(fit).to_pylist()
    failed = await direct(plan if len(places) == plan.num_rows else plan.filter(fit))
    errors = {places[position]: error for position, error in failed.items()}
    left = sorted({*range(plan.num_rows)}.difference(places) | errors.keys())
    rest = plan.take(pa.array(left, pa.int64()))
    running.moved += (pc.sum(plan.column("size")).as_py() or 0) - (pc.sum(rest.column("size")).as_py() or 0)
    odd = {
        position: await copy_one(source, destination, entry, errors.get(position))
        for position, entry in zip(left, entries_of(rest), strict=True)
    }
    return Outcomes(plan, odd, "size")


async def _one_by_one(source: Storage, destination: Storage, entries: list[Entry]) -> list[Outcome]:
    tasks = [asyncio.ensure_future(copy_one(source, destination, entry)) for entry in entries]
    try:
        return list(await asyncio.gather(*tasks))
    except asyncio.CancelledError:
        await asyncio.wait(tasks)
        raise BatchStopped([task.result() for task in tasks if not task.cancelled()]) from None


async def copy_one(source: Storage, destination: Storage, entry: Entry, failure: Exception | None = None) -> Outcome:
    """Copy one object, trying again what may succeed; ``failure`` is the error of an attempt already made.

    A source that changed since it was listed is looked at again, and what it is now is copied.
    """
    async with destination.running.slots:
        attempt = 0
        while True:
            try:
                if failure is not None:
                    raise failure
                check_name(destination, entry)
                if entry.kind is not Kind.FILE:
                    await _make(destination, entry)
                    return Outcome(entry.key, Status.DONE)
                if entry.size is None:
                    entry = await _present(source, entry)
                verified = await move(source, destination, entry)
                if destination.running.check_new:
                    verified = await compare(source, destination, entry)
                return Outcome(entry.key, Status.DONE, entry.size or 0, verified)
            except Exception as error:
                failure = None
                try:
                    verdict, outcome = await _judge(source, entry, error)
                    if outcome is None and not destination.running.pacing.again(attempt, verdict):
                        outcome = Outcome(
                            entry.key, Status.FAILED, error=describe(error), fatal=verdict is Verdict.FATAL
                        )
                    if outcome is not None:
                        if isinstance(error, VerifyError):
                            await _withdraw(destination, entry)
                        return outcome
                    await asyncio.sleep(destination.running.pacing.wait(attempt, verdict))
                    if isinstance(error, SourceChanged):
                        entry = await _present(source, entry)
                except SourceVanished:
                    return Outcome(entry.key, Status.VANISHED)
                except Exception as second:
                    return Outcome(entry.key, Status.FAILED, error=describe(second))
                attempt += 1


async def _make(destination: Storage, entry: Entry) -> None:
    """Make a link or a directory."""
    if entry.kind is Kind.LINK:
        await destination.put_link(entry)
    elif entry.kind is Kind.DIRECTORY:
        await destination.put_directory(entry.key)
    else:
        raise UnsafeName("it is no file, link or directory")


async def _withdraw(destination: Storage, entry: Entry) -> None:
    """Remove a copy that every attempt has found to be wrong: under its name it would pass for the source's."""
    wrong = await destination.entry(entry.key)
    if wrong is not None:
        await destination.delete([wrong])


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
