"""Who copies local files: the one thread of the local disk, and a helper process once there is much to do."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from itertools import chain

import pyarrow as pa

from fsync.storage.copier import Copier
from fsync.storage.local_copy import Row, Tree, copy_files
from fsync.storage.running import Large, Running

#: files, and bytes of files, after which a helper process is worth its start
_MANY, _MUCH = 1024, 128 << 20
#: bytes of files that go to one lane at once, where there is more than one file
_PIECE = 64 << 20


class Lanes:
    """The copying between one pair of local trees; a batch goes to whoever is free.

    ``setup`` holds base and prefix of the source, then of the destination.
    """

    def __init__(
        self, source: Tree, destination: Tree, setup: tuple[bytes, bytes, bytes, bytes], running: Running
    ) -> None:
        self._source, self._destination, self._setup, self._running = source, destination, setup, running
        self._free: asyncio.Queue[Copier | None] = asyncio.Queue()
        self._free.put_nowait(None)
        self._helpers: list[Copier] = []
        self._rows = self._bytes = 0

    async def copy(self, plan: pa.RecordBatch) -> dict[int, Exception]:
        """Copy the files of a PLAN batch by whoever is free; give by position the errors of those not copied."""
        columns = (plan.column("key"), plan.column("size"), plan.column("mtime").cast(pa.int64()))
        rows: list[Row] = list(zip(*(column.to_pylist() for column in columns), strict=True))
        errors = await asyncio.gather(*(self._copy(piece) for piece in _pieces(rows)))
        return {position: error for position, error in enumerate(chain(*errors)) if error is not None}

    async def _copy(self, rows: list[Row]) -> list[Exception | None]:
        running = self._running
        self._rows += len(rows)
        self._bytes += sum(size for _, size, _ in rows)
        worth = self._rows >= _MANY or self._bytes >= _MUCH
        if worth and len(self._helpers) < running.processes and self._free.empty():
            self._start()
        lane = await self._free.get()
        died = False
        try:
            errors = None if lane is None else await running.in_pool(lane.copy, rows, self._tell)
            if errors is None:
                # a helper that has died gets nothing more, and what it had is copied here
                died = lane is not None
                errors = await running.on_disk(self._copy_here, rows)
        finally:
            for key, _, _ in rows:
                running.large.pop(key, None)
            if not died:
                self._free.put_nowait(lane)
        return errors

    def _copy_here(self, rows: Sequence[Row]) -> list[Exception | None]:
        running = self._running
        return copy_files(
            self._source, self._destination, running.run_id, running.mask, rows, running.stop.is_set, self._tell,
            running.check_new,
        )  # fmt: skip

    def _tell(self, key: bytes, size: int, written: int) -> None:
        # these bytes are counted as moved when the whole batch is
        self._running.large[key] = Large(size, written, counted=False)

    def _start(self) -> None:
        umask = os.umask(0)
        os.umask(umask)
        helper = Copier((*self._setup, self._running.run_id, umask, self._running.mask, self._running.check_new))
        self._helpers.append(helper)
        self._free.put_nowait(helper)

    async def close(self) -> None:
        """End the helpers."""
        for helper in self._helpers:
            await self._running.in_pool(helper.close)


def _pieces(rows: list[Row]) -> Iterator[list[Row]]:
    """Cut rows where their bytes are many enough to keep one lane busy."""
    piece: list[Row] = []
    left = _PIECE
    for row in rows:
        piece.append(row)
        left -= row[1]
        if left <= 0:
            yield piece
            piece, left = [], _PIECE
    if piece:
        yield piece
