"""The open file that threads write to: its number must not be given away while one of them may still use it."""

from __future__ import annotations

import errno
import os
import threading

#: bytes that one call writes: for more the kernel takes pages of 2 MiB, and a virtual machine may have to ask its host
#: for each of them, which took six times as long (seen with Linux 6.18 on ext4)
_PIECE = 512 << 10


class Descriptor:
    """An open file and how many threads are writing to it.

    A task that is cancelled leaves its thread behind. Were the file closed then, the number could be another file's by
    the time the thread goes on writing.
    """

    __slots__ = ("_changed", "_open", "_taking", "_writing", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self._changed = threading.Condition(threading.Lock())
        self._writing = 0
        self._taking = self._open = True

    def write(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        """Write all of ``data`` at ``offset``; OSError, EBADF for a file that takes nothing any more."""
        with self._changed:
            if not self._taking:
                raise OSError(errno.EBADF, "the file is closed")
            self._writing += 1
        try:
            view = memoryview(data)
            while view and self._taking:
                written = os.pwrite(self.number, view[:_PIECE], offset)
                view = view[written:]
                offset += written
        finally:
            with self._changed:
                self._writing -= 1
                self._changed.notify_all()
        if view:
            raise OSError(errno.EBADF, "the file was closed")

    def empty(self) -> None:
        """Cut the file to nothing; OSError, EBADF as for :meth:`write`."""
        with self._changed:
            if not self._taking:
                raise OSError(errno.EBADF, "the file is closed")
            os.ftruncate(self.number, 0)

    def settle(self) -> None:
        """Take nothing more, and wait until nobody writes."""
        with self._changed:
            self._taking = False
            self._changed.wait_for(lambda: not self._writing)

    def close(self) -> None:
        """Close the file, once, when nobody writes to it."""
        self.settle()
        if self._open:
            self._open = False
            os.close(self.number)
