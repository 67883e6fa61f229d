"""The external sort of a listing whose storage does not give keys in order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from fsync.schema import PAGE, concatenate, last_key, rows_up_to
from fsync.spool import Spool
from fsync.storage.turns import closing

#: rows of the batches that a sort writes and yields
_ROWS = 8192
#: runs merged in one pass
_FAN_IN = 32


async def sorted_pages(
    pages: AsyncIterator[pa.RecordBatch], *, memory: int, directory: str | None = None
) -> AsyncIterator[pa.RecordBatch]:
    """Yield the rows of all pages as pages in the order of the keys' bytes.

    Rows of equal keys come next to each other in no particular order. About ``memory`` bytes are held; what goes
    beyond is put into files below ``directory``, in runs that are merged at the end.
    """
    runs: list[Spool] = []
    held: list[pa.RecordBatch] = []
    size = 0
    try:
        async with closing(pages):
            async for page in pages:
                held.append(page)
                size += page.nbytes
                if size > memory // 3:
                    runs.append(_spill(_sorted_slices(held), directory))
                    held, size = [], 0
        if not runs:
            for batch in _sorted_slices(held):
                yield batch
            return
        runs.append(_spill(_sorted_slices(held), directory))
        held = []
        while len(runs) > _FAN_IN:
            merged = _spill(_merge([iter(run) for run in runs[:_FAN_IN]]), directory)
            for run in runs[:_FAN_IN]:
                run.close()
            runs = [*runs[_FAN_IN:], merged]
        for batch in _merge([iter(run) for run in runs]):
            yield batch
    finally:
        for run in runs:
            run.close()


def _spill(batches: Iterator[pa.RecordBatch], directory: str | None) -> Spool:
    spool = Spool(PAGE, directory=directory, memory=0)
    for batch in batches:
        spool.append(batch)
    return spool


def _sorted_slices(batches: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    whole = concatenate(batches, PAGE)
    keys = whole.column("key")
    if pc.all(pc.less_equal(keys[:-1], keys[1:])).as_py() is not False:
        for start in range(0, whole.num_rows, _ROWS):
            yield whole.slice(start, _ROWS)
        return
    order = pc.sort_indices(keys)
    for start in range(0, whole.num_rows, _ROWS):
        yield whole.take(order.slice(start, _ROWS))


def _merge(runs: list[Iterator[pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
    """Merge sorted runs: again and again what is not beyond the smallest last key among the runs' batches."""
    heads = [(batch, run) for run in runs if (batch := next(run, None)) is not None]
    while heads:
        cut = min(last_key(batch) for batch, _ in heads)
        taken: list[pa.RecordBatch] = []
        left: list[tuple[pa.RecordBatch, Iterator[pa.RecordBatch]]] = []
        for batch, run in heads:
            rows = rows_up_to(batch.column("key"), cut)
            taken.append(batch.slice(0, rows))
            rest: pa.RecordBatch | None = batch.slice(rows)
            if rows == batch.num_rows:
                rest = next(run, None)
            if rest is not None:
                left.append((rest, run))
        heads = left
        yield from _sorted_slices(taken)
