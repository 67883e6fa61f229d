"""A local file on its way: written beside its final name, read back where that is wanted, renamed when it is whole."""

from __future__ import annotations

import asyncio
import errno
import os

from fsync.errors import VerifyError
from fsync.storage.descriptor import Descriptor
from fsync.storage.directories import Directories
from fsync.storage.entry import Entry
from fsync.storage.partial import (
    WRONG,
    create_partial,
    partial_name,
    pieces_of,
    rename_into_place,
    reopen_partial,
)
from fsync.storage.passed import Passed
from fsync.storage.running import Running
from fsync.storage.upload import Upload


class PartialFile:
    """A file being written beside its final name; leaving the ``with`` block without :meth:`finish` removes it.

    It stands in ``directory`` of ``directories``, which is made where it is missing; ``mask`` are the permission bits
    that it may have.
    """

    def __init__(self, directories: Directories, directory: bytes, name: bytes, run_id: str, mask: int) -> None:
        self._directories, self._directory, self._name = directories, directory, name
        self._partial = partial_name(name, run_id)
        self._above = directories.take(directory, create=True)
        try:
            self.file = Descriptor(create_partial(self._partial, mask, self._above))
        except BaseException:
            directories.give_back(directory)
            raise
        self._open = self._there = True

    def __enter__(self) -> PartialFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def write(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        """Write all of ``data`` at ``offset``."""
        self.file.write(data, offset)

    def end(self, mtime: int | None, size: int) -> None:
        """Check the length, set the time and close the file, which keeps its hidden name."""
        if os.fstat(self.file.number).st_size != size:
            raise OSError(errno.EIO, "the file written has not the length that was written")
        if mtime is not None:
            os.utime(self.file.number, ns=(mtime, mtime))
        self._open = False
        self.file.close()

    def check(self, passed: Passed) -> None:
        """Read the ended file anew; VerifyError if it is not what passed."""
        descriptor = reopen_partial(self._partial, self._above)
        try:
            for number, piece in enumerate(pieces_of(descriptor, passed.part_size)):
                if not passed.matches(number, piece):
                    raise VerifyError(WRONG)
        finally:
            os.close(descriptor)

    def finish(self, mtime: int | None, size: int) -> None:
        """End the file if that has not been done, and give it its final name; TypeClash if a directory has it."""
        if self._open:
            self.end(mtime, size)
        rename_into_place(self._partial, self._name, self._above)
        self._there = False
        self._directories.give_back(self._directory)

    def discard(self) -> None:
        """Close and remove the partial unless it was finished."""
        if self._open:
            self._open = False
            self.file.close()
        if self._there:
            self._there = False
            try:
                os.unlink(self._partial, dir_fd=self._above)
            finally:
                self._directories.give_back(self._directory)


class LocalUpload(Upload):
    """A large file: a partial of its full length, into which parts are written in any order."""

    parallel = True
    blocking = True

    def __init__(self, partial: PartialFile, entry: Entry, running: Running) -> None:
        assert entry.size is not None
        self._partial, self._running, self._mtime, self._size = partial, running, entry.mtime, entry.size
        try:
            os.posix_fallocate(partial.file.number, 0, entry.size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                partial.discard()
                raise
            os.ftruncate(partial.file.number, entry.size)

    async def write(self, number: int, data: bytes | bytearray | memoryview) -> None:
        await self._running.in_pool(self.write_now, data, number * self.part_size)

    def write_now(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        self._partial.write(data, offset)

    async def check(self, passed: Passed) -> bool:
        await self._running.in_pool(self._end_and_check, passed)
        return True

    def _end_and_check(self, passed: Passed) -> None:
        # some file systems send what was written, and tell of its errors, when it is closed
        self._partial.end(self._mtime, self._size)
        self._partial.check(passed)

    async def commit(self) -> str:
        await self._running.in_pool(self._partial.finish, self._mtime, self._size)
        return "size"

    async def abort(self) -> None:
        # all threads of the pool may be waiting for a server that hangs
        await asyncio.shield(self._running.on_disk(self._partial.discard))
