"""Small objects that both ends carry by one blocking call each: a thread does one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from fsync.schema import Kind
from fsync.storage.base import NotQuick, Storage
from fsync.storage.crew import Unfinished
from fsync.storage.entry import Entry
from fsync.storage.naming import check_name

#: bytes of the largest object that is carried so: a blocking call cannot be broken off
QUICK = 256 << 10
#: the same for what a store copies by itself
QUICK_COPY = 8 << 20
#: bytes of an object, in the mean, up to which its carrying is many calls and little work
_SMALL = 64 << 10


def quick_ones(source: Storage, destination: Storage, entries: Sequence[Entry]) -> list[int]:
    """Return the positions of the entries that both ends carry by blocking calls."""
    running = destination.running
    if running.rate or running.check_new or running.check_change:
        return []
    most = QUICK
    if destination.same_store(source):
        most = QUICK_COPY

        def quick(key: bytes) -> bool:
            return destination.quick_copy(source, key)
    else:

        def quick(key: bytes) -> bool:
            return source.quick(key) and destination.quick(key)

    return [
        position
        for position, entry in enumerate(entries)
        if entry.kind is Kind.FILE and entry.size is not None and entry.size <= most and quick(entry.key)
    ]


async def carry(
    source: Storage, destination: Storage, entries: Sequence[Entry], positions: Sequence[int], proofs: dict[int, str]
) -> dict[int, Exception | None]:
    """Copy entries by blocking calls, once each; note in ``proofs`` what verified those that are done.

    Returns the rest by position, with the error of the attempt, None if there was none. Raises CancelledError when
    those under way have ended.
    """
    running = destination.running
    inside = destination.same_store(source)
    mean = sum(entries[position].size or 0 for position in positions) / len(positions)
    failed: dict[int, Exception | None] = {}

    def one(position: int) -> str:
        entry = entries[position]
        # where failures are counted, the attempts that decide are made one by one
        if running.stop.is_set() or (failed and running.failures.most > 0):
            raise NotQuick("not begun")
        try:
            check_name(destination, entry)
            if inside:
                return destination.copy_now(source, entry)
            data = source.read_now(entry)
            if running.stop.is_set():
                raise NotQuick("not written")
            return destination.write_now(entry, data)
        except NotQuick:
            raise
        except Exception as error:
            failed[position] = error
            raise

    def note(results: Sequence[str | Exception | None]) -> None:
        for position, result in zip(positions, results, strict=True):
            if isinstance(result, str):
                proofs[position] = result
                if not inside:
                    running.wrote(entries[position].key, entries[position].size or 0)

    try:
        results = await running.crew.map(one, positions, together=inside or mean <= _SMALL)
    except Unfinished as stopped:
        note(stopped.results)
        raise
    note(results)
    for position, result in zip(positions, results, strict=True):
        if position not in proofs:
            # also of a job that was never begun: what is in neither would be taken for copied
            failed[position] = result if isinstance(result, Exception) and not isinstance(result, NotQuick) else None
    return failed
