"""Record batches set aside: in memory while they are few, in a file once they are many."""

from __future__ import annotations

import io
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import IO, Any

import pyarrow as pa

from fsync.errors import FatalError
from fsync.pacing import describe
from fsync.schema import concatenate


@contextmanager
def spilling(directory: str | None) -> Iterator[None]:
    """Raise FatalError where what is set aside below a directory (None: the system's) cannot be written."""
    try:
        yield
    except OSError as error:
        place = f"--spill-dir {directory}" if directory else "the directory for temporary files"
        raise FatalError(
            f"stopped: {place} cannot be written: {describe(error)}; name a directory with more room by --spill-dir"
        ) from error


def close_unkept(file: IO[bytes]) -> None:
    """Close a file whose content nobody wants any more, also if its last bytes cannot be written."""
    with suppress(OSError):
        file.close()


class Spool:
    """An append-only sequence of record batches of one schema.

    Up to ``memory`` bytes stay in memory; then everything moves to one Arrow IPC stream in an unnamed file below
    ``directory`` (None: the system's temporary directory), whose space the system takes back when it is closed.
    """

    def __init__(self, schema: pa.Schema, *, directory: str | None = None, memory: int = 8 << 20) -> None:
        self.schema = schema
        self.rows = 0
        self.directory, self._memory = directory, memory
        self._held: list[pa.RecordBatch] = []
        self._bytes = 0
        self._file: IO[bytes] | None = None
        self._writer: pa.RecordBatchStreamWriter | None = None
        self._finalizer: weakref.finalize[..., Spool] | None = None

    def append(self, batch: pa.RecordBatch) -> None:
        """Add a batch; batches without rows are dropped. Raises FatalError if the directory cannot be written."""
        if not batch.num_rows:
            return
        self.rows += batch.num_rows
        with spilling(self.directory):
            if self._writer is not None:
                self._writer.write_batch(batch)
                return
            self._held.append(batch)
            self._bytes += batch.nbytes
            if self._bytes > self._memory:
                self._move_out()
            elif len(self._held) > 256:
                self._held = [concatenate(self._held, self.schema)]

    def _move_out(self) -> None:
        # closed by close(), at the latest when the spool is collected
        # it brings compression along, and most runs put nothing aside
        import tempfile

        file = tempfile.TemporaryFile(dir=self.directory, prefix="fsync-")  # noqa: SIM115
        self._finalizer = weakref.finalize(self, close_unkept, file)
        self._file, self._writer = file, pa.ipc.new_stream(file, self.schema)
        for batch in self._held:
            self._writer.write_batch(batch)
        self._held = []

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Yield the batches that are there now, in the order in which they were added; iterations are independent."""
        if self._file is None:
            yield from list(self._held)
            return
        with spilling(self.directory):
            self._file.flush()
        yield from pa.ipc.open_stream(io.BufferedReader(_View(self._file.fileno()), 1 << 20))

    def grouped(self, rows: int) -> Iterator[pa.RecordBatch]:
        """Yield the same rows in batches of at least so many rows, the last one less."""
        held: list[pa.RecordBatch] = []
        count = 0
        for batch in self:
            held.append(batch)
            count += batch.num_rows
            if count >= rows:
                yield concatenate(held, self.schema)
                held, count = [], 0
        if held:
            yield concatenate(held, self.schema)

    def close(self) -> None:
        """Let go of the file and the memory."""
        self._held = []
        if self._finalizer is not None:
            self._finalizer()

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _View(io.RawIOBase):
    """A file read from its start, with a position of its own, up to where it ends now."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor, self._position = descriptor, 0
        self._end = os.fstat(descriptor).st_size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer)[: self._end - self._position]
        count = os.preadv(self._descriptor, [view], self._position) if view else 0
        self._position += count
        return count
