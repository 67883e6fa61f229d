"""The open file that threads write to: one writes at a time, and its number is given away when none of them does."""

from __future__ import annotations

import errno
import os
import threading

#: bytes that one call writes: for more the kernel takes larger pages, for which it has to make room where memory is
#: full of cached files (512 KiB a call took twice the time then), and for 2 MiB a virtual machine may have to ask its
#: host (six times; seen with Linux 6.18 on ext4)
_PIECE = 128 << 10


class Descriptor:
    """An open file.

    A task that is cancelled leaves its thread behind. Were the file closed then, the number could be another file's by
    the time the thread goes on writing. And a file system lets one thread at a time write into a file; the others would
    wait for it in the kernel, at work.
    """

    __slots__ = ("_lock", "_open", "_taking", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self._lock = threading.Lock()
        self._taking = self._open = True

    def write(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        """Write all of ``data`` at ``offset``; OSError, EBADF for a file that takes nothing any more."""
        view = memoryview(data)
        while view:
            with self._lock:
                self._check()
                written = os.pwrite(self.number, view[:_PIECE], offset)
            view = view[written:]
            offset += written

    def empty(self) -> None:
        """Cut the file to nothing; OSError, EBADF as for :meth:`write`."""
        with self._lock:
            self._check()
            os.ftruncate(self.number, 0)

    def settle(self) -> None:
        """Take nothing more; nobody writes when this returns."""
        with self._lock:
            self._taking = False

    def close(self) -> None:
        """Close the file, once, when nobody writes to it."""
        with self._lock:
            self._taking = False
            if self._open:
                self._open = False
                os.close(self.number)

    def _check(self) -> None:
        if not self._taking:
            raise OSError(errno.EBADF, "the file is closed")
