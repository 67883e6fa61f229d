"""Pages and streams of them, built by hand for tests of what takes or gives them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from fsync.api import run
from fsync.schema import PAGE, Kind, page_from_columns
from fsync.storage.running import Running


def page(*rows: bytes | dict[str, Any]) -> pa.RecordBatch:
    """Return a page; a row is its columns, or its key alone: then it is a file of one byte."""
    facts = [{"size": 1, **(row if isinstance(row, dict) else {"key": row})} for row in rows]
    columns: dict[str, Any] = {name: [row.get(name) for row in facts] for name in PAGE.names}
    columns["kind"] = [int(row.get("kind", Kind.FILE)) for row in facts]
    return page_from_columns(columns, len(facts))


async def stream(pages: Iterable[pa.RecordBatch]) -> AsyncIterator[pa.RecordBatch]:
    """Yield pages as a listing does."""
    for batch in pages:
        yield batch


def gathered(batches: AsyncIterator[Any]) -> list[Any]:
    """Return all that an asynchronous iterator yields."""

    async def gather() -> list[Any]:
        return [batch async for batch in batches]

    return run(gather())


def keys_of(batches: Iterable[pa.RecordBatch]) -> list[bytes]:
    """Return the keys of batches in their order."""
    return [key for batch in batches for key in batch.column("key").to_pylist()]


def rows_of(batches: Iterable[pa.RecordBatch]) -> list[dict[str, Any]]:
    """Return the rows of pages as dicts; times as integer nanoseconds, which Python's datetime cannot hold."""
    found = []
    for batch in batches:
        columns = {}
        for name in batch.schema.names:
            column = batch.column(name)
            columns[name] = (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()
        found += [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return found


@contextmanager
def running(**limits: Any) -> Iterator[Running]:
    """Give what a storage shares with its run, made on the loop that will use it, and let go of its threads."""

    async def make() -> Running:
        return Running(**limits)

    shared = run(make())
    try:
        yield shared
    finally:
        shared.shutdown()
