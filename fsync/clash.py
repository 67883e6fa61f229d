"""Type clashes: a file where a directory is needed at the destination, or the other way round."""

from __future__ import annotations

from fsync.ends import Ends
from fsync.executor import Executor


async def resolve_clashes(ends: Ends, executor: Executor) -> None:
    """Settle the rows whose name is taken by another kind of entry."""
    for row, outcome in executor.clashes:
        executor.account(row, [outcome])
