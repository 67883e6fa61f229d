"""Type clashes: a file where a directory is needed at the destination, or the other way round.

What is in the way is moved aside only with ``--delete-dst``, only where every single entry of it is an extra that may
go, and only after everything else has succeeded. It is removed once all that it stood in the way of is in place, and
put back if not.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from fsync.deletion import keep, missing_at
from fsync.ends import Ends
from fsync.executor import Executor
from fsync.schema import PLAN, concatenate
from fsync.spool import Spool
from fsync.storage.entry import Entry
from fsync.traits import Rename
from fsync.transfer import Outcome, Status
from fsync.transfer.batch import entries_of

_HINT = "; --delete-dst resolves it where the source has nothing of what is in the way"


async def resolve_clashes(ends: Ends, executor: Executor, doomed: Spool | None) -> set[bytes]:
    """Settle the rows whose name is taken by another kind of entry; return the extras that are gone thereby.

    ``doomed`` holds the entries that may be deleted, None where nothing may: then every clash is a failure.
    """
    clashes, executor.clashes = executor.clashes, []
    if not clashes:
        return set()
    if doomed is None or ends.destination.traits.rename is not Rename.ATOMIC:
        for row, outcome in clashes:
            outcome.status = Status.FAILED
            outcome.error += "" if ends.options.delete_dst else _HINT
            executor.account(row, [outcome])
        return set()
    groups: dict[bytes, list[pa.RecordBatch]] = defaultdict(list)
    for row, _ in clashes:
        groups[await ends.destination.obstacle(row.column("key")[0].as_py().rstrip(b"/"))].append(row)
    removable = await _removable(ends, groups, doomed)
    attempts = [
        await _attempt(ends, executor, obstacle, removable.get(obstacle), concatenate(rows, PLAN))
        for obstacle, rows in groups.items()
    ]
    if not all(attempt.succeeded for attempt in attempts):
        for attempt in reversed(attempts):
            await _undo(ends, attempt)
            executor.account(attempt.plan, attempt.outcomes)
        return set()
    for attempt in attempts:
        executor.account(attempt.plan, attempt.outcomes)
        assert attempt.aside is not None
        await ends.destination.remove_aside(attempt.aside)
    gone = {key for attempt in attempts for key in attempt.removed}
    for batch in doomed:
        rows = batch.filter(pc.is_in(batch.column("key"), pa.array(sorted(gone), pa.binary())))
        executor.account(rows, [Outcome(key, Status.DONE) for key in rows.column("key").to_pylist()])
    return gone


@dataclass(slots=True)
class _Attempt:
    """The rows of one obstacle, how far they got, and where the obstacle is meanwhile."""

    obstacle: bytes
    plan: pa.RecordBatch
    outcomes: list[Outcome]
    aside: bytes | None = None
    removed: list[bytes] = field(default_factory=list)

    @property
    def succeeded(self) -> bool:
        return all(outcome.status is Status.DONE for outcome in self.outcomes)


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


async def _attempt(
    ends: Ends, executor: Executor, obstacle: bytes, entries: list[Entry] | None, plan: pa.RecordBatch
) -> _Attempt:
    """Move an obstacle aside and copy what it stood in the way of; nothing is moved where it may not go."""
    if entries is None:
        return _Attempt(
            obstacle, plan, _failed(plan, "what stands in the way is not only entries that the source lacks")
        )
    for entry in entries:
        refusal = await missing_at(ends.source, ends.rules, entry) or await keep(ends.destination, ends.backup, entry)
        if refusal is not None:
            return _Attempt(obstacle, plan, _failed(plan, refusal.error))
    aside = await ends.destination.move_aside(obstacle)
    try:
        outcomes = await executor.attempt(plan)
    except BaseException:
        await asyncio.shield(_undo(ends, _Attempt(obstacle, plan, _failed(plan, "interrupted"), aside)))
        raise
    return _Attempt(obstacle, plan, list(outcomes), aside, [entry.key for entry in entries])


async def _undo(ends: Ends, attempt: _Attempt) -> None:
    """Remove what an attempt has copied and put its obstacle back."""
    if attempt.aside is None:
        return
    copied = {outcome.key for outcome in attempt.outcomes if outcome.status is Status.DONE}
    await ends.destination.delete([entry for entry in entries_of(attempt.plan) if entry.key in copied])
    await ends.destination.put_back(attempt.aside, attempt.obstacle)
    for outcome in attempt.outcomes:
        if outcome.status is Status.DONE:
            outcome.status, outcome.error = Status.FAILED, "undone, because another entry whose name is taken failed"


def _failed(plan: pa.RecordBatch, error: str) -> list[Outcome]:
    return [Outcome(key, Status.FAILED, error=error) for key in plan.column("key").to_pylist()]
