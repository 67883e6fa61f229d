"""Who reads a local tree: the one thread of the local disk, and a helper process for the rest of a large one."""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator

import pyarrow as pa
import pyarrow.compute as pc

from fsync.keyrange import EVERY_KEY, KeyRange
from fsync.schema import page_from_columns
from fsync.storage.child import DIED, Child
from fsync.storage.rows import UNKNOWN, Packed
from fsync.storage.running import Running
from fsync.storage.scan import Scan
from fsync.storage.walk import PAGE_ROWS, Prunes

#: rows after which a helper process is worth its start
_MANY = 2 * PAGE_ROWS


class Scanning:
    """One listing of a local tree as pages; ``partials`` counts hidden leftovers once it has ended.

    What a helper process has taken over and does not end is read again from the beginning, up to where it was.
    """

    def __init__(
        self,
        root: bytes,
        given: str,
        running: Running,
        *,
        follow: bool,
        prunes: Prunes | None = None,
        within: KeyRange = EVERY_KEY,
    ) -> None:
        self._root, self._given, self._running, self._follow, self._prunes = root, given, running, follow, prunes
        self._within = within
        self._scan = self._begin()
        self._child: Child | None = None

    def _begin(self) -> Scan:
        owners = self._running.mask != 0o666
        return Scan(
            self._root, self._given, follow=self._follow, prunes=self._prunes, owners=owners, page_rows=PAGE_ROWS,
            within=self._within,
        )  # fmt: skip

    @property
    def partials(self) -> int:
        """Return how many hidden leftovers of unfinished runs were seen."""
        return self._scan.partials

    async def pages(self) -> AsyncIterator[pa.RecordBatch]:
        """Yield the pages; raises SourceNotFound, AccessDenied or ListingError."""
        running = self._running
        rows, last = 0, b""
        try:
            while (page := await running.on_disk(self._here)) is not None:
                rows += page.num_rows
                last = page.column("key")[page.num_rows - 1].as_py()
                yield page
                if rows >= _MANY and self._prunes is None and running.scanners < running.processes:
                    running.scanners += 1
                    self._child = await running.in_pool(Child, "scan")
                    break
            else:
                return
            try:
                await running.in_pool(self._child.send, self._scan)
                while (page := await running.in_pool(self._there)) is not None:
                    last = page.column("key")[page.num_rows - 1].as_py()
                    yield page
                return
            except DIED:
                self._scan = self._begin()
        finally:
            if self._child is not None:
                # it only reads, so it may be ended anywhere
                self._child.kill()
                self._child.close()
        while (page := await running.on_disk(self._here)) is not None:
            yield page.filter(pc.greater(page.column("key"), pa.scalar(last, pa.binary())))

    def _here(self) -> pa.RecordBatch | None:
        """Return the next page, read by this thread."""
        rows = self._scan.more()
        return None if rows is None else page_of(rows.packed())

    def _there(self) -> pa.RecordBatch | None:
        """Return the next page, read by the helper."""
        assert self._child is not None
        answer = self._child.receive()
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Scan):
            self._scan = answer
            return None
        return page_of(answer)


def page_of(rows: Packed) -> pa.RecordBatch:
    """Return the rows of a scan as a page."""
    count = len(rows.kinds)
    links = [rows.links.get(position) for position in range(count)] if rows.links else None
    modes = pa.Array.from_buffers(pa.int32(), count, [None, pa.py_buffer(rows.modes)])
    return page_from_columns(
        {
            "key": pa.Array.from_buffers(pa.binary(), count, [None, pa.py_buffer(rows.ends), pa.py_buffer(rows.text)]),
            "kind": pa.Array.from_buffers(pa.int8(), count, [None, pa.py_buffer(rows.kinds)]),
            "size": _known(rows.sizes),
            "mtime": _known(rows.mtimes),
            "changed": _known(rows.changed),
            "link": links,
            "mode": pc.if_else(pc.less(modes, pa.scalar(0, pa.int32())), pa.scalar(None, pa.int32()), modes),
            "owner": rows.owners or None,
            "group": rows.groups or None,
        },
        count,
    )


def _known(column: array[int]) -> pa.Int64Array:
    """Return a column of numbers, null where they are unknown."""
    numbers = pa.Array.from_buffers(pa.int64(), len(column), [None, pa.py_buffer(column)])
    unknown = pc.equal(numbers, pa.scalar(UNKNOWN, pa.int64()))
    return pc.if_else(unknown, pa.scalar(None, pa.int64()), numbers) if UNKNOWN in column else numbers
