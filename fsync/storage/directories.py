"""Directories held open by descriptor, so that a path is walked once and no planted link can redirect a write."""

from __future__ import annotations

import errno
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from fsync.errors import TypeClash, printable

_PARTIAL = re.compile(rb"\.(.*)\.fsync-([0-9a-f]{16})\.partial", re.DOTALL)
PARTIAL_END = b".partial"
_PARTIAL_EXTRA = len(b"..fsync-0123456789abcdef.partial")
_MOST_OPEN = 96


def partial_name(name: bytes, run_id: str) -> bytes:
    """Return the name under which ``name`` is written until it is whole: ``.NAME.fsync-RUNID.partial``.

    NAME is cut so that the whole fits into 255 bytes; ``run_id`` has 16 hexadecimal digits.
    """
    return b"." + name[: 255 - _PARTIAL_EXTRA] + b".fsync-" + run_id.encode() + b".partial"


def is_partial(name: bytes) -> bool:
    """Tell whether a name has exactly the form of :func:`partial_name`."""
    return _PARTIAL.fullmatch(name) is not None


class Directories:
    """The directories below one base, opened component by component and kept open while they are in use.

    Paths are relative, bytes, ``/``-separated, without trailing slash; ``b""`` is the base. With ``follow`` links are
    walked through (a source); without, a link on the way is a TypeClash (a destination is never written through one).
    Safe to use from several threads.
    """

    def __init__(self, base: bytes, *, follow: bool) -> None:
        self._base = base
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
        if not path:
            return os.open(self._base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        parent, _, name = path.rpartition(b"/")
        with self.lease(parent, create=create) as above:
            try:
                return os.open(name, self._flags, dir_fd=above)
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
            return os.open(name, self._flags, dir_fd=above)

    def _trim(self) -> None:
        if len(self._open) <= _MOST_OPEN:
            return
        for path in list(self._open):
            if path not in self._leases:
                os.close(self._open.pop(path))
                if len(self._open) <= _MOST_OPEN:
                    return


def remove_if_hollow(name: bytes, above: int) -> None:
    """Remove a directory that holds nothing but directories; raises TypeClash, touching nothing, if it holds more."""
    if _holds_entries(name, above):
        raise TypeClash(f"a directory {printable(name)} that is not empty stands in the way")
    _remove_hollow(name, above)


def _holds_entries(name: bytes, above: int) -> bool:
    descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
    try:
        with os.scandir(descriptor) as entries:
            names = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in entries]
        return any(not is_directory or _holds_entries(child, descriptor) for child, is_directory in names)
    finally:
        os.close(descriptor)


def _remove_hollow(name: bytes, above: int) -> None:
    descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
    try:
        with os.scandir(descriptor) as entries:
            children = [os.fsencode(entry.name) for entry in entries]
        for child in children:
            _remove_hollow(child, descriptor)
    finally:
        os.close(descriptor)
    os.rmdir(name, dir_fd=above)
