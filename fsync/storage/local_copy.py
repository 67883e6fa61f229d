"""Local to local: files of one directory pair after the other, by descriptor, in one thread.

Both directories stay open while their files are copied; every name is opened relative to them, so no path is walked
twice and no link planted at the destination can redirect a write.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from fsync.errors import FsyncError, ObjectError
from fsync.storage.base import Entry
from fsync.storage.local import LocalStorage, PartialFile, check_unchanged

#: up to this many bytes a file is read and written in one piece
_AT_ONCE = 1 << 20
_CHUNK = 64 << 20


def copy_files(source: LocalStorage, destination: LocalStorage, entries: Sequence[Entry]) -> list[str | Exception]:
    """Copy a batch; give for each entry what verified it, or the error of its only attempt."""
    results: list[str | Exception] = []
    for entry in entries:
        if destination.running.stop.is_set():
            results.append(ObjectError("not copied: the run was stopped"))
            continue
        try:
            _copy_file(source, destination, entry)
        except (OSError, FsyncError) as error:
            results.append(error)
        else:
            results.append("size")
    return results


def _copy_file(source: LocalStorage, destination: LocalStorage, entry: Entry) -> None:
    descriptor, facts = source.open_source(entry)
    try:
        with PartialFile(destination, entry.key) as partial:
            if facts.st_size <= _AT_ONCE:
                data = os.read(descriptor, facts.st_size)
                length = len(data)
                partial.write(data, 0)
            else:
                length = _copy_extents(descriptor, partial.descriptor, facts.st_size)
            check_unchanged(descriptor, facts, length)
            partial.finish(entry.mtime, facts.st_size)
    finally:
        os.close(descriptor)


def _copy_extents(source: int, target: int, size: int) -> int:
    """Copy what holds data, leave holes as holes; return the length, less than ``size`` if the source shrank."""
    os.ftruncate(target, size)
    position = 0
    while position < size:
        try:
            start = os.lseek(source, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return size
            if error.errno != errno.EINVAL:
                raise
            start = position
            end = size
        else:
            end = min(os.lseek(source, start, os.SEEK_HOLE), size)
        position = _copy_range(source, target, start, end)
        if position < end:
            return position
    return size


def _copy_range(source: int, target: int, start: int, end: int) -> int:
    """Copy one extent inside the kernel where it can, else through this process; return where it stopped."""
    position = start
    while position < end:
        wanted = min(_CHUNK, end - position)
        try:
            copied = os.copy_file_range(source, target, wanted, position, position)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
                raise
            copied = os.pwrite(target, os.pread(source, min(_AT_ONCE, wanted), position), position)
        if not copied:
            return position
        position += copied
    return position
