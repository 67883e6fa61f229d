"""Directories held open by descriptor, so that a path is walked once and no planted link can redirect a write."""

from __future__ import annotations

import errno
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from fsync.errors import TypeClash, printable

_MOST_OPEN = 96


class Directories:
    """The directories below one base, opened component by component and kept open while they are in use.

    Paths are relative, bytes, ``/``-separated, without trailing slash; ``b""`` is the base. With ``follow`` links are
    walked through (a source); without, a link on the way is a TypeClash (a destination is never written through one),
    except for ``own``: the name that an address without trailing slash gives itself.
    Safe to use from several threads.
    """

    def __init__(self, base: bytes, *, follow: bool, own: bytes = b"") -> None:
        self._base, self._own = base, own
        self._flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
        self._open: OrderedDict[bytes, int] = OrderedDict()
        self._leases: dict[bytes, int] = {}
        self._lock = threading.RLock()

    @contextmanager
    def lease(self, path: bytes, *, create: bool = False) -> Iterator[int]:
        """Give the descriptor of a directory for the length of a ``with`` block; ``create`` makes what is missing."""
        descriptor = self.take(path, create=create)
        try:
            yield descriptor
        finally:
            self.give_back(path)

    def take(self, path: bytes, *, create: bool = False) -> int:
        """Return the descriptor of a directory, which stays open until :meth:`give_back`."""
        with self._lock:
            descriptor = self._open.get(path)
            if descriptor is None:
                descriptor = self._descend(path, create)
                self._open[path] = descriptor
            self._leases[path] = self._leases.get(path, 0) + 1
            self._open.move_to_end(path)
            self._trim()
            return descriptor

    def give_back(self, path: bytes) -> None:
        """End one :meth:`take`."""
        with self._lock:
            self._leases[path] -= 1
            if not self._leases[path]:
                del self._leases[path]

    def forget(self, path: bytes) -> None:
        """Close what is open at or below a path that is about to be moved or replaced."""
        with self._lock:
            for known in [known for known in self._open if known == path or known.startswith(path + b"/")]:
                if known not in self._leases:
                    os.close(self._open.pop(known))

    def close(self) -> None:
        """Close everything; nothing may be leased."""
        with self._lock:
            for descriptor in self._open.values():
                os.close(descriptor)
            self._open.clear()

    def _descend(self, path: bytes, create: bool) -> int:
        """Open a directory from the nearest one above it that is open, name by name."""
        descriptor, below = self._nearest(path)
        here = path[: len(path) - len(below)]
        for name in below.split(b"/") if below else []:
            here += name
            try:
                following = self._enter(name, descriptor, here, create)
            finally:
                os.close(descriptor)
            descriptor = following
            here += b"/"
        return descriptor

    def _nearest(self, path: bytes) -> tuple[int, bytes]:
        """Return a new descriptor of the nearest open directory at or above a path, and the rest of the path."""
        end = path.rfind(b"/")
        while end > 0:
            known = self._open.get(path[:end])
            if known is not None:
                return os.dup(known), path[end + 1 :]
            end = path.rfind(b"/", 0, end)
        return os.open(self._base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), path

    def _enter(self, name: bytes, above: int, path: bytes, create: bool) -> int:
        flags = self._flags & ~os.O_NOFOLLOW if path == self._own else self._flags
        try:
            return os.open(name, flags, dir_fd=above)
        except FileNotFoundError:
            if not create:
                raise
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                raise TypeClash(f"{printable(path)} stands in the way: it is not a directory") from error
            raise
        try:
            os.mkdir(name, 0o777, dir_fd=above)
        except FileExistsError:
            pass
        return os.open(name, flags, dir_fd=above)

    def _trim(self) -> None:
        if len(self._open) <= _MOST_OPEN:
            return
        for path in list(self._open):
            if path not in self._leases:
                os.close(self._open.pop(path))
                if len(self._open) <= _MOST_OPEN:
                    return
