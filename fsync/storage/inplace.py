"""Existing local files overwritten where they are, for ``--inplace``: the inode and all its names stay."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from fsync.errors import TypeClash
from fsync.storage.descriptor import Descriptor
from fsync.storage.directories import Directories
from fsync.storage.entry import Entry
from fsync.storage.running import Running
from fsync.storage.upload import Upload

#: what stands there is no file to be written into: a link, a directory, a pipe without a reader
_NO_FILE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENXIO}
_WRITE = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class InPlaceFile:
    """A file being overwritten; leaving the ``with`` block without :meth:`finish` leaves it empty.

    What is written comes in order from the start, after the file was emptied, and the time is set last: until then
    size and time show every later run that the content is not the source's.
    """

    def __init__(self, descriptor: int) -> None:
        self._file = Descriptor(descriptor)
        self._begun, self._open = False, True

    @classmethod
    def of(cls, directories: Directories, directory: bytes, name: bytes, entry: Entry) -> InPlaceFile | None:
        """Open what stands at the destination; None where that is no regular file, or is the source itself."""
        try:
            with directories.lease(directory) as above:
                descriptor = os.open(name, _WRITE, dir_fd=above)
        except TypeClash:
            return None
        except OSError as error:
            if error.errno in _NO_FILE:
                return None
            raise
        facts = os.fstat(descriptor)
        itself = entry.identity is not None and entry.identity[:2] == (facts.st_dev, facts.st_ino)
        if itself or not stat.S_ISREG(facts.st_mode):
            os.close(descriptor)
            return None
        return cls(descriptor)

    def __enter__(self) -> InPlaceFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._file.empty()

    def write(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        """Write all of ``data`` at ``offset``; what was there is gone with the first call."""
        self._begin()
        self._file.write(data, offset)

    def finish(self, mtime: int | None, size: int) -> None:
        """Check the length and set the time."""
        self._begin()
        if os.fstat(self._file.number).st_size != size:
            raise OSError(errno.EIO, "the file written has not the length that was written")
        if mtime is not None:
            os.utime(self._file.number, ns=(mtime, mtime))
        self._open = False
        self._file.close()

    def discard(self) -> None:
        """Close the file, emptied if anything was written: half of a content must not have the whole one's size."""
        if self._open:
            self._open = False
            self._file.settle()
            try:
                if self._begun:
                    os.ftruncate(self._file.number, 0)
            finally:
                self._file.close()


class InPlaceUpload(Upload):
    """A large file written in order into an existing one."""

    def __init__(self, file: InPlaceFile, entry: Entry, running: Running) -> None:
        assert entry.size is not None
        self._file, self._entry, self._size, self._running = file, entry, entry.size, running

    async def write(self, number: int, data: bytes | bytearray | memoryview) -> None:
        await self._in_pool(lambda: self._file.write(data, number * self.part_size))

    async def commit(self) -> str:
        await self._in_pool(lambda: self._file.finish(self._entry.mtime, self._size))
        return "size"

    async def abort(self) -> None:
        await self._in_pool(self._file.discard)

    async def _in_pool(self, call: Callable[[], None]) -> None:
        await self._running.in_pool(call)
