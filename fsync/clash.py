"""Type clashes: a file where a directory is needed at the destination, or the other way round.

What is in the way is moved aside only with ``--delete-dst``, only where every single entry of it is an extra that may
go, and only after everything else has succeeded. It is removed once all that it stood in the way of is in place, and
put back if not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from fsync.deletion import clear
from fsync.ends import Ends
from fsync.executor import Executor
from fsync.schema import PLAN, concatenate
from fsync.spool import Spool
from fsync.storage.base import Entry
from fsync.traits import Rename
from fsync.transfer import Outcome, Status
from fsync.transfer.batch import entries_of

_HINT = "; --delete-dst resolves it where the source has nothing of what is in the way"


async def resolve_clashes(ends: Ends, executor: Executor, doomed: Spool | None) -> set[bytes]:
    """Settle the rows whose name is taken by another kind of entry; return the extras that are gone thereby.

    ``doomed`` holds the entries that may be deleted, None where nothing may: then every clash is a failure.
    """
    if not executor.clashes:
        return set()
    if doomed is None or ends.destination.traits.rename is not Rename.ATOMIC:
        for row, outcome in executor.clashes:
            outcome.error += "" if ends.options.delete_dst else _HINT
            executor.account(row, [outcome])
        return set()
    groups: dict[bytes, list[pa.RecordBatch]] = defaultdict(list)
    for row, _ in executor.clashes:
        groups[await ends.destination.obstacle(row.column("key")[0].as_py())].append(row)
    removable = await _removable(ends, groups, doomed)
    gone: set[bytes] = set()
    for obstacle, rows in groups.items():
        plan = concatenate(rows, PLAN)
        entries = removable.get(obstacle)
        if entries is None:
            _fail(executor, plan, "what stands in the way is not only entries that the source lacks")
        elif await _replace(ends, executor, obstacle, entries, plan):
            gone.update(entry.key for entry in entries)
    return gone


async def _removable(ends: Ends, obstacles: Iterable[bytes], doomed: Spool) -> dict[bytes, list[Entry]]:
    """Return the entries at and below each obstacle, for the obstacles all of whose entries are doomed."""
    inside = {obstacle: await ends.destination.inside(obstacle) for obstacle in obstacles}
    wanted = pa.array(sorted({key for keys in inside.values() for key in keys}), pa.binary())
    found: dict[bytes, Entry] = {}
    for batch in doomed:
        chosen = batch.filter(pc.is_in(batch.column("key"), wanted))
        found.update((entry.key, entry) for entry in entries_of(chosen, "dst_"))
    return {
        obstacle: [found[key] for key in keys] for obstacle, keys in inside.items() if all(key in found for key in keys)
    }


async def _replace(ends: Ends, executor: Executor, obstacle: bytes, entries: list[Entry], plan: pa.RecordBatch) -> bool:
    """Put the rows of ``plan`` in the place of an obstacle, or leave everything as it was."""
    for entry in entries:
        refusal = await clear(ends.source, ends.destination, ends.backup, entry)
        if refusal is not None:
            _fail(executor, plan, refusal.error)
            return False
    aside = await ends.destination.move_aside(obstacle)
    outcomes = await executor.attempt(plan)
    if all(outcome.status is Status.DONE for outcome in outcomes):
        executor.account(plan, outcomes)
        await ends.destination.remove_aside(aside)
        ends.report.deleted(entries)
        return True
    copied = {outcome.key for outcome in outcomes if outcome.status is Status.DONE}
    await ends.destination.delete([entry for entry in entries_of(plan) if entry.key in copied])
    await ends.destination.put_back(aside, obstacle)
    for outcome in outcomes:
        if outcome.status is Status.DONE:
            outcome.status, outcome.error = Status.FAILED, "undone, because another entry in the same place failed"
    executor.account(plan, outcomes)
    return False


def _fail(executor: Executor, plan: pa.RecordBatch, error: str) -> None:
    keys = plan.column("key").to_pylist()
    executor.account(plan, [Outcome(key, Status.FAILED, error=error) for key in keys])
