"""Local to local: files of one directory pair after the other, by descriptor, in one thread.

Both directories stay open while their files are copied; every name is opened relative to them, so no path is walked
twice and no link planted at the destination can redirect a write.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Sequence

from fsync.errors import FsyncError, ObjectError, SourceChanged
from fsync.storage.base import Entry
from fsync.storage.directories import partial_name
from fsync.storage.local import CREATE, READ, LocalStorage, check_unchanged, rename_into_place

#: up to this many bytes a file is read and written in one piece
_AT_ONCE = 1 << 20
_CHUNK = 64 << 20
_STOPPED = "not copied: the run was stopped"


def copy_files(source: LocalStorage, destination: LocalStorage, entries: Sequence[Entry]) -> list[str | Exception]:
    """Copy a batch; give for each entry what verified it, or the error of its only attempt."""
    results: list[str | Exception] = []
    pair = _Pair(source, destination)
    stop = destination.running.stop
    try:
        for entry in entries:
            if stop.is_set():
                results.append(ObjectError(_STOPPED))
                continue
            try:
                pair.copy(entry)
            except (OSError, FsyncError) as error:
                results.append(error)
            else:
                results.append("size")
    finally:
        pair.leave()
    return results


class _Pair:
    """The source and destination directory of the file at hand, kept open while the next file is in them too."""

    def __init__(self, source: LocalStorage, destination: LocalStorage) -> None:
        self._source, self._destination = source, destination
        self._run_id, self._stop = destination.running.run_id, destination.running.stop
        self._here: bytes | None = None
        self._from = self._to = -1

    def _enter(self, directory: bytes) -> None:
        self.leave()
        source, destination = self._source, self._destination
        self._from = source.source_directories.take(source.below(directory))
        try:
            self._to = destination.destination_directories.take(destination.below(directory), create=True)
        except BaseException:
            source.source_directories.give_back(source.below(directory))
            raise
        self._here = directory

    def leave(self) -> None:
        """Give back the directories at hand."""
        if self._here is not None:
            self._source.source_directories.give_back(self._source.below(self._here))
            self._destination.destination_directories.give_back(self._destination.below(self._here))
            self._here = None

    def copy(self, entry: Entry) -> None:
        """Copy one file to its final name, or leave everything as it was."""
        directory, slash, name = entry.key.rpartition(b"/")
        directory += slash
        if directory != self._here:
            self._enter(directory)
        old, new = name, name
        if not directory:
            old, new = self._source.name_of(name), self._destination.name_of(name)
        descriptor = os.open(old, READ, dir_fd=self._from)
        try:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode) or facts.st_size != entry.size or facts.st_mtime_ns != entry.mtime:
                raise SourceChanged("the source changed after it was listed")
            self._write(descriptor, facts, new)
        finally:
            os.close(descriptor)

    def _write(self, source: int, facts: os.stat_result, name: bytes) -> None:
        partial = partial_name(name, self._run_id)
        target = os.open(partial, CREATE, 0o666, dir_fd=self._to)
        try:
            try:
                check_unchanged(source, facts, _copy_content(source, target, facts.st_size, self._stop))
                os.utime(target, ns=(facts.st_mtime_ns, facts.st_mtime_ns))
            finally:
                os.close(target)
            rename_into_place(partial, name, self._to)
        except BaseException:
            os.unlink(partial, dir_fd=self._to)
            raise


def _copy_content(source: int, target: int, size: int, stop: threading.Event) -> int:
    """Copy a file's bytes; return how many, fewer than ``size`` if the source shrank."""
    if size > _AT_ONCE:
        return _copy_extents(source, target, size, stop)
    data = os.read(source, size)
    return os.write(target, data) if data else 0


def _copy_extents(source: int, target: int, size: int, stop: threading.Event) -> int:
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
        position = _copy_range(source, target, start, end, stop)
        if position < end:
            return position
    return size


def _copy_range(source: int, target: int, start: int, end: int, stop: threading.Event) -> int:
    """Copy one extent inside the kernel where it can, else through this process; return where it stopped."""
    position = start
    while position < end:
        if stop.is_set():
            raise ObjectError(_STOPPED)
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
